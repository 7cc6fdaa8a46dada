package keys

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// discoveryWith is the tenant's discovery document with some members changed.
func discoveryWith(t *testing.T, tenant *devtenant.Tenant, members map[string]any) []byte {
	t.Helper()
	var document map[string]any
	if err := json.Unmarshal(tenant.Discovery(), &document); err != nil {
		t.Fatal(err)
	}
	maps.Copy(document, members)
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// faults are the ways in which a tenant can answer wrongly.
var faults = []struct {
	name   string
	set    func(*devtenant.Tenant)
	reason failureKind
}{
	{"down", fault(devtenant.Down), failureConnection},
	{"accepting and never answering", fault(devtenant.Hang), failureTimeout},
	{"header and half a body, then nothing", fault(stall), failureTimeout},
	{"500", fault(devtenant.ServerError), failureStatus},
	{"206, a part", fault(partial), failureStatus},
	{"garbage", fault(devtenant.Garbage), failureMalformed},
	{"an HTML login page", fault(devtenant.HTML), failureMalformed},
	{"a truncated document", fault(devtenant.Truncated), failureMalformed},
	{"a byte over 1 MiB", fault(tooLarge), failureTooLarge},
	{"304 without a cached copy", fault(devtenant.NotModifiedAlways), failureStatus},
	{"a redirect loop", fault(devtenant.RedirectLoop), failureRedirect},
	{"a redirect to another host", fault(devtenant.RedirectTo("https://evil.example/oidc/jwks")), failureRedirect},
	{"a redirect to another port", fault(devtenant.RedirectTo("https://tenant.example:8443/oidc/jwks")), failureRedirect},
	{"a redirect to plain http", fault(devtenant.RedirectTo("http://tenant.example/oidc/jwks")), failureRedirect},
	{"four redirects", fault(devtenant.Redirects(4)), failureRedirect},
	{"an empty key set", jwksFault(devtenant.EmptySet), failureNoKey},
	{"a key set that is an array", keySetText(`[]`), failureMalformed},
	{"a key set without keys", keySetText(`{}`), failureMalformed},
	{"a key set whose keys are named Keys", keySetText(`{"Keys":[]}`), failureMalformed},
	{"only an encryption key", keySetText(`{"keys":[{"kty":"RSA","use":"enc","kid":"e","n":"AQAB","e":"AQAB"}]}`), failureNoKey},
	{"null", keySetText(`null`), failureMalformed},
	{"two documents in one", keySetText(`{"keys":[]}{"keys":[]}`), failureMalformed},
}

// withoutETag answers as some proxies pass answers on.
func withoutETag(e *devtenant.Exchange) {
	answer := e.Answer()
	e.Writer.WriteHeader(answer.Status)
	_, _ = e.Writer.Write(answer.Body)
}

// partial answers with what is valid JSON but says that it is not all of it.
func partial(e *devtenant.Exchange) {
	e.Writer.WriteHeader(http.StatusPartialContent)
	_, _ = e.Writer.Write(e.Answer().Body)
}

// tooLarge answers with valid JSON that only a bound on its size refuses.
func tooLarge(e *devtenant.Exchange) {
	body := e.Answer().Body
	_, _ = e.Writer.Write(bytes.Repeat([]byte{' '}, maxResponseBody+1-len(body)))
	_, _ = e.Writer.Write(body)
}

// stall is what the in-memory transport can do of a body that stops.
func stall(e *devtenant.Exchange) {
	e.Writer.WriteHeader(http.StatusOK)
	devtenant.Hang(e)
}

func fault(f devtenant.Fault) func(*devtenant.Tenant) {
	return func(tenant *devtenant.Tenant) { tenant.SetFault(f) }
}

func jwksFault(f devtenant.Fault) func(*devtenant.Tenant) {
	return func(tenant *devtenant.Tenant) { tenant.SetJWKSFault(f) }
}

func keySetText(document string) func(*devtenant.Tenant) {
	return func(tenant *devtenant.Tenant) { tenant.SetJWKS([]byte(document)) }
}

func mend(tenant *devtenant.Tenant) {
	tenant.SetFault(devtenant.None)
	tenant.SetJWKS(nil)
	tenant.SetDiscovery(nil)
}

// The tenant answers wrongly from the start: requests wait at most
// fetch_timeout and then get no keys, the log says once why, and soon after
// the tenant has recovered there are keys.
func TestFaultAtStart(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, newTenant(), testConfig(), nil)
				f.set(b.Tenant)
				began := time.Now()
				if b.ks.Await(t.Context(), Nobody) != nil {
					t.Fatal("the answer was believed")
				}
				waited, most := time.Since(began), time.Duration(0)
				if f.reason == failureTimeout {
					most = 5 * time.Second
				}
				if waited != most {
					t.Errorf("waited %v, not %v", waited, most)
				}
				if after := b.ks.RetryAfter(time.Now()); after < 1 || after > 5 {
					t.Errorf("Retry-After: %d", after)
				}
				advance(time.Minute)
				if tries := b.ks.Status().Fetches; tries < 6 {
					t.Errorf("%d fetches in a minute without keys", tries)
				}
				if n := b.logs.Len(); n != 1 || b.logged(logKeyless) != 1 {
					t.Errorf("%d log entries: %v", n, b.logs.All())
				}
				if reason := b.reason(); reason != f.reason {
					t.Errorf("reason %v, want %s: %v", reason, f.reason, b.ks.Status().LastError)
				}
				// As `caddy logto-auth check` prints it.
				if advice := b.logs.All()[0].ContextMap()["advice"]; advice == "" || advice != Advice(b.ks.LastError()) {
					t.Errorf("the log advises %q", advice)
				}
				mend(b.Tenant)
				advance(10 * time.Second) // at most the fetch that hangs and a pause
				if !b.serves(b.SigningKID()) || b.logged(logRecovered) != 1 || b.ks.Status().LastError != "" {
					t.Errorf("not recovered: %+v", b.ks.Status())
				}
			})
		})
	}
}

// The tenant answers wrongly while keys are held: they serve on.
func TestFaultWhileKeysServe(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, newTenant(), testConfig(), nil)
				b.SetJWKSFault(withoutETag) // a 304 would be believed otherwise
				b.fetched(t)
				key := b.ks.Current(time.Now()).Key(b.SigningKID())
				b.SetJWKSFault(devtenant.None)
				f.set(b.Tenant)
				for range 20 {
					advance(time.Minute)
					if s := b.ks.Current(time.Now()); s == nil || !s.Has(key) {
						t.Fatal("the good keys are gone")
					}
				}
				if tries := b.ks.Status().Fetches; tries < 10 || tries > 60 {
					t.Errorf("%d fetches in 20 minutes", tries)
				}
				if n := b.logs.Len(); n != 1 || b.logged(logServing) != 1 {
					t.Errorf("%d log entries: %v", n, b.logs.All())
				}
				if reason := b.reason(); reason != f.reason {
					t.Errorf("reason %v, want %s: %v", reason, f.reason, b.ks.Status().LastError)
				}
				mend(b.Tenant)
				advance(70 * time.Second)
				if b.logged(logRecovered) != 1 || b.ks.Current(time.Now()).failing {
					t.Errorf("not recovered: %+v", b.ks.Status())
				}
			})
		})
	}
}

// An outage longer than any token lives: the keys serve for max_stale, then
// requests get 503, and the tenant is asked again at a quicker pace.
func TestOutageLongerThanMaxStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, newTenant(), testConfig(), nil)
		b.fetched(t)
		b.SetFault(devtenant.Down)
		advance(24*time.Hour - time.Second)
		if !b.serves(b.SigningKID()) {
			t.Fatal("the keys are gone before max_stale")
		}
		advance(time.Second)
		if b.ks.Current(time.Now()) != nil {
			t.Fatal("the keys serve beyond max_stale")
		}
		if b.ks.Await(t.Context(), Nobody) != nil || b.ks.AwaitKey(t.Context(), b.SigningKID(), Nobody) != nil {
			t.Error("a request got keys older than max_stale")
		}
		advance(time.Minute)
		if b.logged(logServing) != 1 || b.logged(logKeyless) != 1 {
			t.Errorf("log: %v", b.logs.All())
		}
		b.SetFault(devtenant.None)
		advance(5 * time.Second)
		if !b.serves(b.SigningKID()) || b.logged(logRecovered) != 1 {
			t.Fatal("not recovered soon")
		}
		after, ok := b.logs.FilterMessage(logRecovered).All()[0].ContextMap()["after"].(time.Duration)
		if !ok || after < 23*time.Hour+45*time.Minute || after > 24*time.Hour+2*time.Minute {
			t.Errorf("the log says that the outage took %v", after)
		}
	})
}

func TestMaxStaleZeroServesNothingOnceAFetchHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.MaxStale = 0
		b := newBench(t, newTenant(), cfg, nil)
		b.fetched(t)
		advance(9 * time.Minute)
		if !b.serves(b.SigningKID()) {
			t.Fatal("no keys although no fetch has failed")
		}
		b.SetFault(devtenant.ServerError)
		advance(time.Minute)
		if b.ks.Current(time.Now()) != nil {
			t.Fatal("keys serve after a failed fetch")
		}
		b.SetFault(devtenant.None)
		advance(5 * time.Second)
		if !b.serves(b.SigningKID()) {
			t.Error("not recovered")
		}
	})
}

// Keys that are fetched seldom do not go stale by that: max_stale counts only
// while fetches fail.
func TestMaxStaleShorterThanTheRefreshInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.MaxStale = time.Minute
		b := newBench(t, newTenant(), cfg, nil)
		b.fetched(t)
		for range 60 {
			advance(30 * time.Second)
			if !b.serves(b.SigningKID()) {
				t.Fatal("the keys went stale between two good fetches")
			}
		}
	})
}

func TestTenantThatFailsInAnotherWayIsLoggedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, newTenant(), testConfig(), nil)
		b.fetched(t)
		for _, status := range []int{502, 404, 502, 404} {
			b.SetFault(func(e *devtenant.Exchange) { e.Writer.WriteHeader(status) })
			advance(15 * time.Minute)
		}
		if n := b.logged(logServing); n != 2 {
			t.Errorf("%d warnings for two kinds of failure", n)
		}
	})
}

func TestDiscoveryDocumentOfAnotherTenantIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		members map[string]any
		reason  failureKind
	}{
		"another issuer":            {map[string]any{"issuer": "https://evil.example/oidc"}, failureIssuer},
		"the issuer with a slash":   {map[string]any{"issuer": testEndpoint + "/oidc/"}, failureIssuer},
		"no issuer":                 {map[string]any{"issuer": nil}, failureMalformed},
		"keys on another host":      {map[string]any{"jwks_uri": "https://evil.example/oidc/jwks"}, failureJWKSURI},
		"keys on another port":      {map[string]any{"jwks_uri": "https://tenant.example:8443/oidc/jwks"}, failureJWKSURI},
		"keys over plain http":      {map[string]any{"jwks_uri": "http://tenant.example/oidc/jwks"}, failureJWKSURI},
		"keys at a name that looks": {map[string]any{"jwks_uri": "https://tenant.example@evil.example/oidc/jwks"}, failureJWKSURI},
		"keys at a relative URL":    {map[string]any{"jwks_uri": "/oidc/jwks"}, failureJWKSURI},
		"keys nowhere":              {map[string]any{"jwks_uri": 7}, failureMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, newTenant(), testConfig(), nil)
				b.SetDiscovery(discoveryWith(t, b.Tenant, tt.members))
				if b.ks.Await(t.Context(), Nobody) != nil || b.Counts().JWKS != 0 {
					t.Errorf("its keys were asked for: %+v", b.Counts())
				}
				if reason := b.reason(); reason != tt.reason {
					t.Errorf("reason %v, want %s", reason, tt.reason)
				}
			})
		})
	}
}

// Whoever takes over a tenant's domain for a moment must not move its keys.
func TestDiscoveryIsCheckedAgainWhenItIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, newTenant(), testConfig(), nil)
		b.fetched(t)
		b.SetJWKSFault(devtenant.ServerError)
		b.SetDiscovery(discoveryWith(t, b.Tenant, map[string]any{"jwks_uri": "https://evil.example/oidc/jwks"}))
		if err := b.ks.RefreshNow(t.Context()); err == nil {
			t.Fatal("the fetch succeeded")
		}
		if got := b.Counts(); got.Discovery != 2 || !b.serves(b.SigningKID()) {
			t.Errorf("requests %+v, snapshot %+v", got, b.ks.Current(time.Now()))
		}
	})
}

func TestMovedKeySetIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := newTenant()
		moved := false
		b := newBenchOver(t, tenant, roundTripper(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			switch {
			case moved && r.URL.Path == "/new/jwks":
				if condition := r.Header.Get("If-None-Match"); condition != "" {
					t.Errorf("an ETag of the old address was sent to the new one: %s", condition)
				}
				r.URL.Path = devtenant.JWKSPath
			case moved && r.URL.Path == devtenant.JWKSPath:
				r.URL.Path = "/gone"
			}
			return devtenanttest.Transport(tenant).RoundTrip(r)
		}), testConfig(), nil)
		b.fetched(t)
		moved = true
		b.SetDiscovery(discoveryWith(t, tenant, map[string]any{"jwks_uri": testEndpoint + "/new/jwks"}))
		kid := b.Rotate("")
		if s := b.fetched(t); s.Key(kid) == nil || s.jwksURI != testEndpoint+"/new/jwks" || b.logs.Len() != 1 {
			t.Errorf("snapshot %+v, log %v", s, b.logs.All())
		}
	})
}

func TestKeysThatAreLeftOutAreLoggedOncePerChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, newTenant(), testConfig(), nil)
		b.AddKey(modulusJWK(t, 1024).with(jwk{"kid": "short"}))
		for range 3 {
			b.fetched(t) // 200, and then 304
		}
		b.Rotate("")
		b.fetched(t)
		if n := b.logged(logLeftOut); n != 1 {
			t.Errorf("logged %d times", n)
		}
		b.SetJWKSFault(devtenant.ServerError)
		advance(15 * time.Minute)
		b.SetJWKSFault(devtenant.None)
		b.AddKey(modulusJWK(t, 1024).with(jwk{"kid": "shorter"}))
		b.fetched(t)
		b.fetched(t)
		if n := b.logged(logLeftOut); n != 2 {
			t.Errorf("logged %d times after a change", n)
		}
	})
}

// Every attempt of an outage may carry another port number in its error; the
// log must not repeat itself because of that.
func TestFailureKinds(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want failureKind
	}{
		{&net.DNSError{Err: "no such host", Name: "tenant.example", IsNotFound: true}, failureDNS},
		{&net.DNSError{Err: "i/o timeout", Name: "tenant.example", IsTimeout: true}, failureDNS},
		{&net.OpError{Op: "read", Err: errors.New("connection reset by peer")}, failureConnection},
		{errors.New("remote error: tls: handshake failure"), failureTLS},
		{http.ErrSchemeMismatch, failureTLS}, // plain http on the port
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBenchOver(t, newTenant(), roundTripper(func(*http.Request) (*http.Response, error) {
				return nil, tt.err
			}), testConfig(), nil)
			b.ks.Await(t.Context(), Nobody)
			advance(time.Minute)
			if n := b.logs.Len(); n != 1 {
				t.Fatalf("%d log entries", n)
			}
			if reason := b.reason(); reason != tt.want {
				t.Errorf("%v is logged as %s", tt.err, reason)
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
