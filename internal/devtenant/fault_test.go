package devtenant_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// clients are the two ways to reach a tenant; faults look alike through both.
func clients(server *devtenanttest.Server) map[string]*http.Client {
	return map[string]*http.Client{
		"socket":    server.Client(),
		"in memory": {Transport: devtenanttest.Transport(server.Tenant)},
	}
}

func TestFaultsThatAnswer(t *testing.T) {
	for name, test := range map[string]struct {
		fault  devtenant.Fault
		status int
		body   func(served, right []byte) bool
	}{
		"none":         {devtenant.None, 200, bytes.Equal},
		"nil is none":  {nil, 200, bytes.Equal},
		"server error": {devtenant.ServerError, 500, func(served, _ []byte) bool { return json.Valid(served) }},
		"garbage":      {devtenant.Garbage, 200, func(served, _ []byte) bool { return len(served) == 1024 && !json.Valid(served) }},
		"html":         {devtenant.HTML, 200, func(served, _ []byte) bool { return bytes.HasPrefix(served, []byte("<!doctype html>")) }},
		"empty set":    {devtenant.EmptySet, 200, func(served, _ []byte) bool { return string(served) == `{"keys":[]}` }},
		"truncated":    {devtenant.Truncated, 200, func(served, right []byte) bool { return !json.Valid(served) && bytes.HasPrefix(right, served) }},
		"huge": {devtenant.Huge, 200, func(served, right []byte) bool {
			return len(served) > 10<<20 && bytes.HasSuffix(served, right) && json.Valid(served)
		}},
		"not modified":  {devtenant.NotModifiedAlways, 304, func(served, _ []byte) bool { return len(served) == 0 }},
		"two redirects": {devtenant.Redirects(2), 200, bytes.Equal},
		"redirected to": {devtenant.RedirectTo("/elsewhere"), 404, func(served, _ []byte) bool { return json.Valid(served) }},
	} {
		t.Run(name, func(t *testing.T) {
			server := devtenanttest.NewServer(t, devtenant.Options{})
			server.SetFault(test.fault)
			for path, right := range map[string][]byte{devtenant.DiscoveryPath: server.Discovery(), devtenant.JWKSPath: server.JWKS()} {
				for way, client := range clients(server) {
					status, body, err := get(t, client, server.Endpoint()+path)
					if err != nil {
						t.Errorf("%s, %s: %v", way, path, err)
					} else if status != test.status || !test.body(body, right) {
						t.Errorf("%s, %s: status %d, body %.80q", way, path, status, body)
					}
				}
			}
		})
	}
}

func TestFaultsThatEndWithoutAnAnswer(t *testing.T) {
	server := devtenanttest.NewServer(t, devtenant.Options{})
	for name, test := range map[string]struct {
		fault devtenant.Fault
		want  string
	}{
		"down":          {devtenant.Down, ""},
		"redirect loop": {devtenant.RedirectLoop, "stopped after 10 redirects"},
	} {
		t.Run(name, func(t *testing.T) {
			server.SetFault(test.fault)
			for way, client := range clients(server) {
				_, _, err := get(t, client, server.Endpoint()+devtenant.JWKSPath)
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("%s: error %v, want one with %q", way, err, test.want)
				}
			}
		})
	}
}

// The tenant answers nothing, or half, until the client gives up; then the
// handler ends too, or closing the server would hang.
func TestFaultsThatHoldARequestUntilItEnds(t *testing.T) {
	for name, fault := range map[string]devtenant.Fault{"hang": devtenant.Hang, "stall": devtenant.Stall, "slow": devtenant.Slow} {
		t.Run(name+" through a socket", func(t *testing.T) {
			server := devtenanttest.NewServer(t, devtenant.Options{})
			ended := make(chan struct{})
			server.SetFault(func(e *devtenant.Exchange) {
				defer close(ended)
				fault(e)
			})
			ctx, giveUp := context.WithCancel(t.Context())
			failed := make(chan error, 1)
			go func() { failed <- attempt(ctx, server.Client(), server.Endpoint()+devtenant.JWKSPath) }()
			waitFor(t, server.Tenant, func(c devtenant.Counts) bool { return c.JWKS == 1 })
			giveUp()
			if err := <-failed; !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want %v", err, context.Canceled)
			}
			<-ended
		})
		t.Run(name+" in memory, without real time", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tenant := devtenant.New(devtenant.Options{})
				tenant.SetFault(fault)
				client := &http.Client{Transport: devtenanttest.Transport(tenant), Timeout: time.Hour}
				begin := time.Now()
				err := attempt(t.Context(), client, tenant.Endpoint()+devtenant.JWKSPath)
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Hour {
					t.Errorf("error %v after %v, want the timeout", err, time.Since(begin))
				}
			})
		})
	}
}

func TestStallSendsHalfOfTheBody(t *testing.T) {
	server := devtenanttest.NewServer(t, devtenant.Options{})
	server.SetFault(devtenant.Stall)
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.Endpoint()+devtenant.JWKSPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	right := server.JWKS()
	half := make([]byte, len(right)/2)
	if _, err := io.ReadFull(response.Body, half); err != nil || !bytes.HasPrefix(right, half) {
		t.Errorf("read %q, %v", half, err)
	}
	if response.ContentLength != int64(len(right)) {
		t.Errorf("promised %d bytes, want %d", response.ContentLength, len(right))
	}
}

// An answer of a header alone would be complete, and its connection free for
// a next request while the handler still waits.
func TestStallDoesNotBeginAnAnswerWithoutABody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := devtenant.New(devtenant.Options{})
		tenant.SetFault(devtenant.Stall)
		ctx, giveUp := context.WithTimeout(t.Context(), time.Hour)
		defer giveUp()
		request := httptest.NewRequestWithContext(ctx, http.MethodGet, devtenant.JWKSPath, http.NoBody)
		request.Header.Set("If-None-Match", "*")
		recorder := httptest.NewRecorder()
		defer func() {
			if thrown := recover(); thrown != any(http.ErrAbortHandler) {
				panic(thrown)
			}
			if recorder.Flushed {
				t.Errorf("began to answer: %v", recorder.Result())
			}
		}()
		tenant.ServeHTTP(recorder, request)
		t.Error("the handler did not wait until the request ends")
	})
}

func TestSlowAnswersWhatIsRightAtTheRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := devtenant.New(devtenant.Options{})
		client := &http.Client{Transport: devtenanttest.Transport(tenant)}
		tenant.SetFault(devtenant.Slow)
		tenant.Release() // nobody waits: lets nobody through later
		for range 2 {
			answered := make(chan []byte, 1)
			go func() {
				_, body, _ := get(t, client, tenant.Endpoint()+devtenant.JWKSPath)
				answered <- body
			}()
			synctest.Wait()
			if len(answered) != 0 {
				t.Fatalf("answered before the release: %q", <-answered)
			}
			tenant.Rotate("")
			tenant.Release()
			if body := <-answered; !bytes.Equal(body, tenant.JWKS()) {
				t.Errorf("body %q, want the set after the rotation", body)
			}
		}
	})
}

// Wait sees a request at its arrival; a Release right after may not miss it.
func TestReleaseDoesNotMissARequestThatWasSeen(t *testing.T) {
	server := devtenanttest.NewServer(t, devtenant.Options{})
	server.SetFault(devtenant.Slow)
	for seen := range 50 {
		failed := make(chan error, 1)
		go func() { failed <- attempt(t.Context(), server.Client(), server.Endpoint()+devtenant.JWKSPath) }()
		waitFor(t, server.Tenant, func(c devtenant.Counts) bool { return c.JWKS == seen+1 })
		server.Release()
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
}

func TestFaultsApplyWhereTheyAreSet(t *testing.T) {
	for name, test := range map[string]struct {
		set                    func(*devtenant.Tenant, devtenant.Fault)
		discovery, jwks, token int
	}{
		"both documents": {(*devtenant.Tenant).SetFault, 500, 500, 401},
		"discovery":      {(*devtenant.Tenant).SetDiscoveryFault, 500, 200, 401},
		"keys":           {(*devtenant.Tenant).SetJWKSFault, 200, 500, 401},
		"token endpoint": {(*devtenant.Tenant).SetTokenFault, 200, 200, 500},
	} {
		t.Run(name, func(t *testing.T) {
			tenant := devtenant.New(devtenant.Options{})
			client := &http.Client{Transport: devtenanttest.Transport(tenant)}
			test.set(tenant, devtenant.ServerError)
			discovery, _, _ := get(t, client, tenant.Endpoint()+devtenant.DiscoveryPath)
			jwks, _, _ := get(t, client, tenant.Endpoint()+devtenant.JWKSPath)
			token, _ := post(t, client, tenant.Endpoint()+devtenant.TokenPath, url.Values{}, nil)
			if discovery != test.discovery || jwks != test.jwks || token != test.token {
				t.Errorf("discovery %d, keys %d, token %d", discovery, jwks, token)
			}
			if got, want := tenant.Counts(), (devtenant.Counts{Discovery: 1, JWKS: 1, Token: 1}); got != want {
				t.Errorf("counted %v, want %v", got, want)
			}
		})
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := devtenant.New(devtenant.Options{}).Wait(ctx, func(c devtenant.Counts) bool { return c.JWKS > 0 })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

// One tenant, its RSA key made once, may serve several bubbles in turn.
func TestATenantIsBoundToNoBubble(t *testing.T) {
	tenant := devtenant.New(devtenant.Options{})
	tenant.SetFault(devtenant.Slow)
	client := &http.Client{Transport: devtenanttest.Transport(tenant), Timeout: time.Hour}
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			if err := attempt(t.Context(), client, tenant.Endpoint()+devtenant.JWKSPath); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
			}
		})
	}
}

func waitFor(t *testing.T, tenant *devtenant.Tenant, condition func(devtenant.Counts) bool) {
	t.Helper()
	if err := tenant.Wait(t.Context(), condition); err != nil {
		t.Fatal(err)
	}
}

// attempt fetches and forgets.
func attempt(ctx context.Context, client *http.Client, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

func get(t *testing.T, client *http.Client, address string) (status int, body []byte, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, body, err
}
