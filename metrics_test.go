package logtoauth_test

import (
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

const meteredAPI = "https://api.example.com"

// meteredSite is a site that shows its metrics without a token. Each text in
// blocks stands in a handle block of its own, so that a request meets one.
func meteredSite(blocks ...string) string {
	text := "http://127.0.0.1 {\n\thandle /metrics {\n\t\tmetrics\n\t}\n"
	for _, block := range blocks {
		text += block + "\n"
	}
	return text + "}\n"
}

// scrape returns the samples of this module, by name and labels.
func scrape(s *caddytest.Server) map[string]float64 {
	samples := make(map[string]float64)
	for line := range strings.Lines(s.Get("/metrics").Body) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok || !strings.HasPrefix(name, "caddy_logto_auth_") {
			continue
		}
		if number, err := strconv.ParseFloat(value, 64); err == nil {
			samples[name] = number
		}
	}
	return samples
}

// requestsSince tells which request counters went up between two scrapes.
func requestsSince(before, after map[string]float64) map[string]float64 {
	risen := make(map[string]float64)
	for name, value := range after {
		if labels, ok := strings.CutPrefix(name, "caddy_logto_auth_requests_total"); ok && value > before[name] {
			risen[labels] = value - before[name]
		}
	}
	return risen
}

func TestEachRequestCountsOnceByWhatBecameOfIt(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	auth := func(settings string) string {
		return fmt.Sprintf("logto_auth {\n endpoint %s\n audience %s\n %s\n}\n", tenant.URL, meteredAPI, settings)
	}
	s := caddytest.Start(t, meteredSite(
		"handle /plain {\n"+auth("")+"respond ok\n}",
		"handle /scoped {\n"+auth("")+"logto_require read\n logto_require write\n respond ok\n}",
		"handle /optional {\n"+auth("optional")+"respond ok\n}",
		"handle /cors {\n"+auth("bypass_cors_preflight")+"logto_require read\n respond ok\n}",
		"handle /reporting {\n"+auth("report_only\nscopes admin")+"logto_require write\n respond ok\n}",
		"handle /late {\n"+auth("report_only")+"logto_require write\n respond ok\n}",
		"handle /twice {\n route {\n"+auth("report_only\nscopes admin")+auth("")+"respond ok\n}\n}",
		"handle /broken {\n"+auth("")+"respond bad 502\n}",
		"handle /errors {\n"+auth("errors handle_errors")+"respond ok\n}",
		"handle /unguarded {\n logto_require\n respond ok\n}",
		"handle_errors {\n"+auth("optional")+"respond oops\n}",
	))
	token := tenant.Token(devtenant.TokenRequest{Resource: meteredAPI, Scope: "read"})
	expired := tenant.Token(devtenant.TokenRequest{Resource: meteredAPI, ExpiresIn: -time.Hour})
	bearer := caddytest.Bearer

	for name, test := range map[string]struct {
		path    string
		options []caddytest.Option
		want    string // labels of the one series that goes up
	}{
		"admitted":                             {"/plain", []caddytest.Option{bearer(token)}, `{outcome="admitted",reason=""}`},
		"admitted, upstream fails":             {"/broken", []caddytest.Option{bearer(token)}, `{outcome="admitted",reason=""}`},
		"no token":                             {"/plain", nil, `{outcome="refused",reason="missing_token"}`},
		"expired token":                        {"/plain", []caddytest.Option{bearer(expired)}, `{outcome="refused",reason="expired"}`},
		"opaque token":                         {"/plain", []caddytest.Option{bearer("opaque")}, `{outcome="refused",reason="opaque_token"}`},
		"refused by logto_require":             {"/scoped", []caddytest.Option{bearer(token)}, `{outcome="refused",reason="insufficient_scope"}`},
		"logto_require alone":                  {"/unguarded", []caddytest.Option{bearer(token)}, `{outcome="refused",reason="missing_token"}`},
		"refused, error route with logto_auth": {"/errors", nil, `{outcome="refused",reason="missing_token"}`},
		"anonymous":                            {"/optional", nil, `{outcome="anonymous",reason=""}`},
		"preflight": {"/cors", []caddytest.Option{
			caddytest.Method(http.MethodOptions), caddytest.Header("Origin", "https://app.example.com"),
			caddytest.Header("Access-Control-Request-Method", "GET"),
		}, `{outcome="preflight",reason=""}`},
		"reported":                                  {"/reporting", []caddytest.Option{bearer(token)}, `{outcome="reported",reason="insufficient_scope"}`},
		"reported by logto_require":                 {"/late", []caddytest.Option{bearer(token)}, `{outcome="reported",reason="insufficient_scope"}`},
		"reported without token":                    {"/reporting", nil, `{outcome="reported",reason="missing_token"}`},
		"reported, then admitted by the second one": {"/twice", []caddytest.Option{bearer(token)}, `{outcome="reported",reason="insufficient_scope"}`},
		"reported, then refused by the second one":  {"/twice", nil, `{outcome="refused",reason="missing_token"}`},
	} {
		t.Run(name, func(t *testing.T) {
			before := scrape(s)
			s.Get(test.path, test.options...)
			got := requestsSince(before, scrape(s))
			if want := map[string]float64{test.want: 1}; !maps.Equal(got, want) {
				t.Errorf("counted %v, not %v", got, want)
			}
		})
	}
}

// Caddy makes a new registry for each config. The counters must be the same
// ones in it, and nothing may stay of a tenant that is gone.
func TestMetricsAcrossReloads(t *testing.T) {
	// The counters are the process's, and another test's tenant may have had the
	// same port: these issuers are nobody else's.
	first := devtenanttest.NewServer(t, devtenant.Options{Issuer: "https://" + rand.Text() + ".example/oidc"})
	second := devtenanttest.NewServer(t, devtenant.Options{Issuer: "https://" + rand.Text() + ".example/oidc"})
	site := func(tenant *devtenanttest.Server) string {
		return meteredSite(fmt.Sprintf("handle {\nlogto_auth {\nendpoint %s\nissuer %s\naudience %s\n}\nlogto_require\nrespond ok\n}",
			tenant.URL, tenant.Issuer(), meteredAPI))
	}
	s := caddytest.Start(t, site(first))
	get := func(tenant *devtenanttest.Server) {
		t.Helper()
		if got := s.Get("/", caddytest.Bearer(tenant.Token(devtenant.TokenRequest{Resource: meteredAPI}))); got.StatusCode != http.StatusOK {
			t.Fatalf("status %d: %s", got.StatusCode, got.Body)
		}
	}
	start := time.Now().Unix()
	get(first)
	before := scrape(s)
	label := fmt.Sprintf("{issuer=%q}", first.Issuer())
	if got := before["caddy_logto_auth_jwks_keys"+label]; got != 1 {
		t.Errorf("%v keys, not 1", got)
	}
	if got := before["caddy_logto_auth_jwks_last_success_timestamp_seconds"+label]; got < float64(start)-1 {
		t.Errorf("last success at %v, before the test began at %v", got, start)
	}
	if got := before[fmt.Sprintf("caddy_logto_auth_jwks_fetches_total{issuer=%q,result=\"ok\"}", first.Issuer())]; got != 1 {
		t.Errorf("%v fetches, not 1", got)
	}

	if err := s.Load(site(second)); err != nil {
		t.Fatal(err)
	}
	get(second)
	after := scrape(s)
	if got, want := requestsSince(before, after), (map[string]float64{`{outcome="admitted",reason=""}`: 1}); !maps.Equal(got, want) {
		t.Errorf("since the reload %v, not %v", got, want)
	}
	if got := after["caddy_logto_auth_signature_duration_seconds_count"] - before["caddy_logto_auth_signature_duration_seconds_count"]; got != 1 {
		t.Errorf("%v signatures since the reload, not 1", got)
	}
	for name := range after {
		if strings.HasPrefix(name, "caddy_logto_auth_jwks_keys") && !strings.Contains(name, second.Issuer()) {
			t.Errorf("%s outlives its tenant", name)
		}
	}
	if got := after[fmt.Sprintf("caddy_logto_auth_jwks_keys{issuer=%q}", second.Issuer())]; got != 1 {
		t.Errorf("%v keys of the new tenant, not 1", got)
	}
}

// A token is verified when it is first seen; one that is refused before its
// signature matters is neither a hit nor a miss.
func TestMetricsCountTheTokenCache(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	s := caddytest.Start(t, meteredSite(fmt.Sprintf("handle {\nlogto_auth {\nendpoint %s\naudience %s\n}\nrespond ok\n}", tenant.URL, meteredAPI)))
	token := tenant.Token(devtenant.TokenRequest{Resource: meteredAPI})
	expired := tenant.Token(devtenant.TokenRequest{Resource: meteredAPI, ExpiresIn: -time.Hour})
	for _, step := range []struct {
		token     string
		hit, miss float64
	}{{token, 0, 1}, {token, 1, 0}, {expired, 0, 0}, {token, 1, 0}} {
		before := scrape(s)
		s.Get("/", caddytest.Bearer(step.token))
		after := scrape(s)
		for result, want := range map[string]float64{"hit": step.hit, "miss": step.miss} {
			name := fmt.Sprintf("caddy_logto_auth_token_cache_total{result=%q}", result)
			if got := after[name] - before[name]; got != want {
				t.Errorf("%s grew by %v, not %v", name, got, want)
			}
		}
	}
}

func TestMetricsTellATenantThatIsDown(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	tenant.SetFault(devtenant.HTML)
	s := caddytest.Start(t, meteredSite(fmt.Sprintf("handle {\nlogto_auth {\nendpoint %s\naudience %s\nissuer %s\n}\nrespond ok\n}", tenant.URL, meteredAPI, tenant.Issuer())))
	if got := s.Get("/", caddytest.Bearer(tenant.Token(devtenant.TokenRequest{Resource: meteredAPI}))); got.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("status %d: %s", got.StatusCode, got.Body)
	}
	samples := scrape(s)
	for name, want := range map[string]float64{
		fmt.Sprintf("caddy_logto_auth_jwks_keys{issuer=%q}", tenant.Issuer()):                           0,
		fmt.Sprintf("caddy_logto_auth_jwks_last_success_timestamp_seconds{issuer=%q}", tenant.Issuer()): 0,
	} {
		if got, ok := samples[name]; !ok || got != want {
			t.Errorf("%s is %v (%v), not %v", name, got, ok, want)
		}
	}
	if got := samples[fmt.Sprintf("caddy_logto_auth_jwks_fetches_total{issuer=%q,result=\"malformed\"}", tenant.Issuer())]; got < 1 {
		t.Errorf("no failed fetch counted in %v", slices.Sorted(maps.Keys(samples)))
	}
}

// An alert on a rise would miss the first failure of a series that begins
// with it. That there are no others is what counting looks at.
func TestSeriesAreThereFromTheStart(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	s := caddytest.Start(t, meteredSite("handle {\nlogto_auth {\nendpoint "+tenant.URL+"\naudience "+meteredAPI+"\n}\n}"))
	samples := scrape(s)
	for _, series := range []string{
		`requests_total{outcome="redirected",reason=""}`,
		`requests_total{outcome="redirected",reason="no_session"}`, `requests_total{outcome="redirected",reason="session_expired"}`,
		`requests_total{outcome="redirected",reason="session_ended"}`, `requests_total{outcome="redirected",reason="refresh_refused"}`,
		`requests_total{outcome="redirected",reason="insufficient_scope"}`, `requests_total{outcome="redirected",reason="claim_mismatch"}`,
		`sign_ins_total{result="ok"}`, `sign_ins_total{result="sign_in_loop"}`,
		`session_refreshes_total{result="unavailable"}`, `session_refreshes_total{result="wrong_client"}`,
		`sessions_ended_total{cause="signed_out"}`, `sessions_ended_total{cause="refused"}`,
		`revocation_events_total{result="ignored",source="webhook"}`, `revocation_events_total{result="failed",source="admin"}`,
	} {
		if _, there := samples["caddy_logto_auth_"+series]; !there {
			t.Errorf("there is no %s", series)
		}
	}
}
