package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
)

const (
	tenantsPath = "/logto_auth/tenants"
	refreshPath = "/logto_auth/tenants/refresh"
	metricsPath = "/metrics"
)

// startAdmin serves what Caddy's admin endpoint has about this module, on a
// free port. Caddy's own endpoint would not tell which port it got, and it can
// change the configuration.
func startAdmin(ctx context.Context) (*server, error) {
	mux := http.NewServeMux()
	for _, id := range []string{"admin.api.logto_auth", "admin.api.metrics"} {
		module, err := caddy.ActiveContext().LoadModuleByID(id, nil)
		if err != nil {
			return nil, fmt.Errorf("loading %s: %w", id, err)
		}
		for _, route := range module.(caddy.AdminRouter).Routes() {
			mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) {
				if err := route.Handler.ServeHTTP(w, r); err != nil {
					status := http.StatusInternalServerError
					if api, ok := errors.AsType[caddy.APIError](err); ok {
						status = api.HTTPStatus
					}
					http.Error(w, err.Error(), status)
				}
			})
		}
	}
	started, err := listen(ctx, "127.0.0.1:0", mux)
	if err != nil {
		return nil, fmt.Errorf("listening for the admin API: %w", err)
	}
	return started, nil
}

// refresh asks Caddy to fetch the tenant's keys now, and returns what it says
// of the attempt: empty is a success.
func refresh(ctx context.Context, s *stack) (lastError string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.admin+refreshPath, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var tenants []struct {
		LastError string `json:"last_error"`
	}
	if err := json.NewDecoder(response.Body).Decode(&tenants); err != nil {
		return "", fmt.Errorf("reading the state of the tenants: %w", err)
	}
	if len(tenants) == 0 {
		return "", errors.New("the admin API shows no tenant")
	}
	// Sites that have other settings for the same tenant fetch by themselves.
	for _, tenant := range tenants {
		if tenant.LastError != "" {
			return tenant.LastError, nil
		}
	}
	return "", nil
}
