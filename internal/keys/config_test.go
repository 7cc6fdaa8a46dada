package keys

import (
	"slices"
	"testing"
)

// Sites share a key set if their settings mean the same.
func TestSettingsThatShareAKeySet(t *testing.T) {
	base := testConfig()
	base.Issuers = []string{"https://a.example/oidc", "https://b.example/oidc"}
	for name, test := range map[string]struct {
		change func(*Config)
		shared bool
	}{
		"the same":                 {func(*Config) {}, true},
		"issuers in another order": {func(c *Config) { slices.Reverse(c.Issuers) }, true},
		"an issuer named twice":    {func(c *Config) { c.Issuers = append(c.Issuers, c.Issuers[0]) }, true},
		"fewer issuers":            {func(c *Config) { c.Issuers = c.Issuers[:1] }, false},
		"a file":                   {func(c *Config) { c.JWKSFile = "keys.json" }, false},
		"another max_stale":        {func(c *Config) { c.MaxStale++ }, false},
		"another refresh_interval": {func(c *Config) { c.RefreshInterval++ }, false},
		"another refresh_cooldown": {func(c *Config) { c.RefreshCooldown++ }, false},
		"another fetch_timeout":    {func(c *Config) { c.FetchTimeout++ }, false},
	} {
		cfg := base
		cfg.Issuers = slices.Clone(base.Issuers)
		test.change(&cfg)
		if (cfg.ID() == base.ID()) != test.shared {
			t.Errorf("%s: shared %t", name, !test.shared)
		}
	}
}

func TestAcceptedIssuersAreTheConfiguredOnesOrTheEndpoints(t *testing.T) {
	for _, test := range []struct{ issuers, want []string }{
		{nil, []string{testEndpoint + "/oidc"}},
		{[]string{"https://a.example/oidc"}, []string{"https://a.example/oidc"}},
		{[]string{"https://a.example/oidc", "https://b.example/oidc"}, []string{"https://a.example/oidc", "https://b.example/oidc"}},
	} {
		if got := (Config{Endpoint: testEndpoint, Issuers: test.issuers}).AcceptedIssuers(); !slices.Equal(got, test.want) {
			t.Errorf("%q: %q", test.issuers, got)
		}
	}
}
