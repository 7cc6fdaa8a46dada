package keys

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Config identifies a key set: settings that differ in anything never
// share keys. Defaults are applied and placeholders expanded.
type Config struct {
	Endpoint          string // normalized, see NormalizeEndpoint
	Issuers           []string
	JWKSURI, JWKSFile string
	TrustedCA         string // PEM
	InsecureHTTP      bool

	RefreshInterval, RefreshCooldown, MaxStale, FetchTimeout time.Duration
}

// ID is the comparable form of a Config, in which the order of
// issuers does not matter.
type ID struct {
	trust, jwksFile                                          string
	refreshInterval, refreshCooldown, maxStale, fetchTimeout time.Duration
}

// ID returns what key sets are shared by.
func (c Config) ID() ID {
	return ID{
		trust: c.trust(), jwksFile: c.JWKSFile,
		refreshInterval: c.RefreshInterval, refreshCooldown: c.RefreshCooldown,
		maxStale: c.MaxStale, fetchTimeout: c.FetchTimeout,
	}
}

// trust is a digest of everything that decides whose keys are believed. It
// binds stored keys to the settings that they were fetched under.
func (c Config) trust() string {
	issuers := slices.Clone(c.Issuers)
	slices.Sort(issuers)
	// JSON keeps the parts apart: no issuer can imitate two.
	settings, err := json.Marshal([]any{
		c.Endpoint, slices.Compact(issuers), c.JWKSURI, sha256.Sum256([]byte(c.TrustedCA)), c.InsecureHTTP,
	})
	if err != nil {
		panic(err) // strings and a boolean always encode
	}
	digest := sha256.Sum256(settings)
	return hex.EncodeToString(digest[:])
}

// EndpointIssuer is the issuer that a tenant at the endpoint calls itself.
func (c Config) EndpointIssuer() string {
	if c.Endpoint == "" {
		return ""
	}
	return c.Endpoint + IssuerPath
}

// AcceptedIssuers are the values of `iss` that the keys vouch for. Without
// configured ones it is the endpoint's, since a discovery document may then
// name no other.
func (c Config) AcceptedIssuers() []string {
	if len(c.Issuers) > 0 {
		return slices.Clone(c.Issuers)
	}
	return []string{c.EndpointIssuer()}
}

// discovers tells whether the discovery document is needed: for the keys'
// address, or to confirm the issuer.
func (c Config) discovers() bool {
	return c.JWKSURI == "" || len(c.Issuers) == 0
}

// validate refuses settings under which no key set can work. Those that come
// from a config were checked before; this keeps a slip there from becoming a
// fetch over plain http or a busy loop.
func (c Config) validate() error {
	if c.RefreshInterval <= 0 || c.FetchTimeout <= 0 || c.RefreshCooldown < 0 || c.MaxStale < 0 {
		return errors.New("refresh_interval and fetch_timeout must be positive, refresh_cooldown and max_stale not negative")
	}
	if c.Endpoint == "" && len(c.Issuers) == 0 {
		return errors.New("one of endpoint and issuer is needed")
	}
	if c.JWKSFile != "" {
		if len(c.Issuers) == 0 {
			return errors.New("jwks_file needs issuer")
		}
		return nil
	}
	if c.Endpoint == "" && c.discovers() {
		return errors.New("endpoint is needed, or issuer and jwks_uri")
	}
	if c.Endpoint != "" {
		if err := CheckURL(c.Endpoint, c.InsecureHTTP); err != nil {
			return fmt.Errorf("endpoint: %w", err)
		}
	}
	if c.JWKSURI != "" {
		if err := CheckURL(c.JWKSURI, c.InsecureHTTP); err != nil {
			return fmt.Errorf("jwks_uri: %w", err)
		}
	}
	return nil
}
