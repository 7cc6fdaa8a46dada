//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"embed"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// peer is another server that can check the tokens itself.
type peer struct {
	name string

	// title is what tables call it.
	title string

	// packages are those of Debian that provide it.
	packages string

	// find returns the program that runs it, or an error if it or a part of it
	// is not on this machine.
	find func(ctx context.Context) (string, error)

	// site makes it answer every request with 200: those with a token that
	// passes the check, or all of them if that is nil.
	site func(program string, check *check) configure
}

// check is what a peer must find in a token: this signer, this issuer, this
// audience, and that it has not expired. It is the least that a resource server
// has to look at; logto_auth looks at more.
type check struct {
	Algorithm, Issuer, Audience string

	// Key is the public key in PEM.
	Key []byte

	// KeySet is the https URL of all public keys, for a peer that has to fetch
	// them.
	KeySet string
}

// A Caddy with github.com/ggicci/caddy-jwt would be the nearest of all. It is
// left out: the Go module proxy refuses its versions ("not available"), so
// whether it builds with today's Caddy could not be tried.
var peers = []peer{haproxy, apache, fastapi}

var errNotInstalled = errors.New("not installed")

// found is a peer and the program that runs it here.
type found struct {
	peer
	program string
}

// findPeers returns those that the names ask for, separated by commas: all
// that are on this machine if it is empty, none if it is "none". Missing says,
// for each that is left out, how to get it.
func findPeers(ctx context.Context, names string) (here []found, missing []string, err error) {
	if names == "none" {
		return nil, nil, nil
	}
	var wanted []string
	if names != "" {
		wanted = strings.Split(names, ",")
	}
	for _, name := range wanted {
		if !slices.ContainsFunc(peers, func(p peer) bool { return p.name == name }) {
			return nil, nil, fmt.Errorf("no peer is called %q", name)
		}
	}
	for _, p := range peers {
		if wanted != nil && !slices.Contains(wanted, p.name) {
			continue
		}
		program, err := p.find(ctx)
		switch {
		case err == nil:
			here = append(here, found{p, program})
		case wanted != nil || !errors.Is(err, errNotInstalled):
			return nil, nil, fmt.Errorf("%s: %w (apt-get install %s)", p.name, err, p.packages)
		default:
			missing = append(missing, fmt.Sprintf("%s is left out: apt-get install %s", p.name, p.packages))
		}
	}
	return here, missing, nil
}

// peerRounds says how many of the module's own rounds there are for one of a
// peer: its ratio is so far from one that fewer tell it.
const peerRounds = 3

// comparePeer runs a workload against a peer's site without and with the
// check.
func comparePeer(ctx context.Context, o options, dir string, p found, w workload) (result, error) {
	tenant, endTenant, err := startTenant(ctx, w.algorithm)
	if err != nil {
		return result{}, err
	}
	defer endTenant()
	keys := httptest.NewTLSServer(tenant)
	defer keys.Close()
	check, err := checkFor(tenant, w.algorithm, keys.URL)
	if err != nil {
		return result{}, err
	}
	tokens := w.tokens(tenant)
	plain, err := newSide(ctx, o, dir, p.site(p.program, nil), http.StatusOK)
	if err != nil {
		return result{}, err
	}
	defer plain.end()
	protected, err := newSide(ctx, o, dir, p.site(p.program, check), w.status)
	if err != nil {
		return result{}, err
	}
	defer protected.end()
	plain.requests = render(plain.addr, bearers(tokens))
	protected.requests = render(protected.addr, bearers(tokens))
	r, err := examineAndMeasure(ctx, o, plain, protected, tenant, w)
	if err != nil {
		plain.end() // the logs are whole then
		protected.end()
		return result{}, fmt.Errorf("%w\n%s%s", err, plain.log, protected.log)
	}
	r.name = p.title + ", " + w.algorithm
	return r, nil
}

func examineAndMeasure(ctx context.Context, o options, plain, protected *side, tenant *devtenant.Tenant, w workload) (result, error) {
	if err := examine(ctx, protected.addr, tenant, w.algorithm); err != nil {
		return result{}, err
	}
	if err := warmUp(plain, protected); err != nil {
		return result{}, err
	}
	return measure(max(1, o.rounds/peerRounds), o.duration, plain, protected)
}

// checkFor is what a peer must check of this tenant's tokens. The tenant is
// served at the https URL too.
func checkFor(tenant *devtenant.Tenant, algorithm, https string) (*check, error) {
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(tenant.JWKS(), &set); err != nil {
		return nil, fmt.Errorf("reading the tenant's keys: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(set.Key(tenant.SigningKID())[0].Key)
	if err != nil {
		return nil, fmt.Errorf("writing the tenant's key: %w", err)
	}
	return &check{
		Algorithm: algorithm,
		Issuer:    tenant.Issuer(),
		Audience:  resource,
		Key:       pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		KeySet:    https + devtenant.JWKSPath,
	}, nil
}

// examine makes sure that a server decides about tokens: one that admits
// whatever comes would be measured for nothing.
func examine(ctx context.Context, addr string, tenant *devtenant.Tenant, algorithm string) error {
	token := func(change devtenant.TokenRequest) string {
		change.Subject, change.Scope = "user-0", "read:products write:products"
		if change.Resource == "" {
			change.Resource = resource
		}
		return tenant.Token(change)
	}
	trials := []struct {
		name, token string
		admitted    bool
	}{
		{"good", token(devtenant.TokenRequest{}), true},
		{"forged", forged(algorithm)(tenant)[0], false},
		{"expired", token(devtenant.TokenRequest{ExpiresIn: -time.Hour}), false},
		{"of another issuer", token(devtenant.TokenRequest{Issuer: "https://other.example/oidc"}), false},
		{"for another audience", token(devtenant.TokenRequest{Resource: "https://other.example"}), false},
		{"missing", "", false},
	}
	for _, trial := range trials {
		status, err := get(ctx, addr, trial.token)
		if err != nil {
			return err
		}
		refused := status == http.StatusUnauthorized || status == http.StatusForbidden
		if trial.admitted != (status == http.StatusOK) || trial.admitted == refused {
			return fmt.Errorf("the server answers %d to a token that is %s", status, trial.name)
		}
	}
	return nil
}

func get(ctx context.Context, addr, token string) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/products", http.NoBody)
	if err != nil {
		return 0, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

//go:embed peers
var peerFiles embed.FS

// writeConfig fills in one of the files under peers and returns where it now
// is.
func writeConfig(home, name string, values any) (string, error) {
	filled, err := template.ParseFS(peerFiles, "peers/"+name)
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	if err := filled.Execute(&text, values); err != nil {
		return "", err
	}
	path := filepath.Join(home, name)
	return path, os.WriteFile(path, text.Bytes(), 0o600)
}
