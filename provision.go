package logtoauth

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

// Provision builds the handler from its configuration. It touches files but
// not the network; keys are fetched when the config has started.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
	h.now = systemClock
	if err := metrics.register(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	h.written = h.asWritten()
	if err := h.expand(caddy.NewReplacer()); err != nil {
		return err
	}
	// All mistakes are told before anything is built: what is built below
	// relies on there being none.
	if err := joinProblems(h.problems(loading)); err != nil {
		return err
	}
	h.applyDefaults()

	var err error
	if h.requirements, err = h.newRequirements(); err != nil {
		return err
	}
	h.sources = newTokenSources(h.TokenSources)
	h.vary = h.sources.vary()
	if h.SignIn != nil && !containsFold(h.vary, "Cookie") {
		h.vary = append(h.vary, "Cookie")
	}
	if h.origins, err = newOriginGuard(h.TrustedOrigins); err != nil {
		return fmt.Errorf("trusted_origins: %w", err)
	}
	if h.identity, h.identityNames, err = newIdentityHeaders(h.ForwardClaims); err != nil {
		return fmt.Errorf("forward_claim: %w", err)
	}
	h.responder = responder{
		handleErrors: h.Errors == errorsHandleErrors,
		realm:        h.Realm,
		scopes:       h.requirements.challengeScopes,
	}
	if h.ResourceMetadata != nil {
		address, err := metadataURL(h.ResourceMetadata.Resource)
		if err != nil {
			return err
		}
		h.responder.metadataURL = address.String()
	}
	h.responder.prepare()
	if err := h.provisionValidator(ctx); err != nil {
		return err
	}
	if h.errorRoutes, err = guardErrorRoutes(ctx, reserved{headers: h.identityNames, cookies: h.SignIn != nil}); err != nil {
		return err
	}
	if h.endpointsOnly {
		return nil // the logto_auth that it is for warns
	}
	warn(h.logger, h.warnings())
	return surveySites(ctx)
}

// provisionValidator acquires the tenant's keys and builds the validator.
func (h *Handler) provisionValidator(ctx caddy.Context) error {
	app, err := ctx.App(appName)
	if err != nil {
		return err
	}
	cfg, err := h.tenantConfig()
	if err != nil {
		return err
	}
	shared, err := app.(*App).tenant(cfg, *h.CacheSize)
	if err != nil {
		return err
	}
	h.validator = validator{
		keys:   shared.keys,
		tokens: shared.tokens,
		rules: tokenRules{
			algorithms: h.Algorithms,
			types:      normalizeTypes(h.TokenTypes),
			issuers:    cfg.AcceptedIssuers(),
			leeway:     int64(time.Duration(*h.Leeway) / time.Second),
			// Rounded up: half a second must not become 0, which is no limit.
			maxAge: int64((time.Duration(h.MaxAge) + time.Second - 1) / time.Second),
		},
	}
	if h.SignIn != nil {
		if h.signIn, err = h.newSignIn(app.(*App), h.applicationSettings(shared, cfg)); err != nil {
			return err
		}
	}
	if h.ownPath = h.endpointsPath(); h.ownPath != "" {
		h.app = app.(*App)
		h.app.provision(h)
		h.companions = sync.OnceValue(func() []*foundAuth { return h.app.companionsOf(h) })
	}
	if h.Revocation != nil {
		if h.revocations, err = h.newRevocations(app.(*App), &cfg); err != nil {
			return err
		}
	}
	return nil
}

// tenantConfig takes from the settings what tells key sets apart. Defaults
// are applied and placeholders expanded.
func (h *Handler) tenantConfig() (keys.Config, error) {
	tenant := keys.Config{
		Endpoint:        h.Endpoint,
		Issuers:         h.Issuers,
		JWKSURI:         h.JWKSURI,
		JWKSFile:        h.JWKSFile,
		InsecureHTTP:    h.InsecureHTTP,
		RefreshInterval: time.Duration(h.RefreshInterval),
		RefreshCooldown: time.Duration(h.RefreshCooldown),
		MaxStale:        time.Duration(*h.MaxStale),
		FetchTimeout:    time.Duration(h.FetchTimeout),
	}
	if h.TrustedCAFile != "" {
		pem, err := os.ReadFile(h.TrustedCAFile)
		if err != nil {
			return keys.Config{}, fmt.Errorf("trusted_ca_file: %w", err)
		}
		tenant.TrustedCA = string(pem)
	}
	tenant.Endpoint = keys.NormalizeEndpoint(tenant.Endpoint)
	return tenant, nil
}
