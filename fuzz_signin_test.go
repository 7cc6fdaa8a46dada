package logtoauth

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

// exchanges is a token endpoint that refuses every code and remembers the
// verifiers that came with them.
type exchanges struct {
	mu        sync.Mutex
	verifiers []string
}

func (e *exchanges) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.verifiers = append(e.verifiers, r.FormValue("code_verifier"))
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
}

// taken returns the verifiers that have come since it was called last.
func (e *exchanges) taken() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	taken := e.verifiers
	e.verifiers = nil
	return taken
}

// Whatever a callback's query and cookies are: no code goes to the tenant
// unless the browser started the sign-in that it belongs to, and the answer is
// one of those that are documented.
func FuzzCallback(f *testing.F) {
	tenant := new(exchanges)
	server := httptest.NewServer(tenant)
	f.Cleanup(server.Close)
	ctx, cancel, err := new(siteConfig).contextOfQuestions()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(cancel)
	settings, err := json.Marshal(map[string]any{"endpoint": server.URL, "sign_in": map[string]string{"client_id": testApp, "client_secret": appSecret}})
	if err != nil {
		f.Fatal(err)
	}
	module, err := ctx.LoadModuleByID("http.handlers."+authDirective, settings)
	if err != nil {
		f.Fatal(err)
	}
	h := module.(*Handler)
	ring, issuer := h.signIn.app.ring, h.signIn.app.issuer
	site, err := session.NewSite("localhost", false)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][2]string{
		{"code=c&state=STATE0&iss=ISS", "FLOW0"},
		{"code=c&state=STATE0&iss=ISS", "FLOW1"},
		{"code=c&state=STATE0&iss=ISS", "FLOW0; FLOW1"},
		{"code=c&state=STATE0&state=STATE1&iss=ISS", "FLOW0"},
		{"code=c&code=d&state=STATE0&iss=ISS", "FLOW0"},
		{"code=c&state=STATE0", "FLOW0"},
		{"code=c&state=STATE0&iss=https://other.example/oidc", "FLOW0"},
		{"code=c&state=STATE0&iss=ISS&iss=ISS", "FLOW0"},
		{"error=access_denied&state=STATE0&iss=ISS", "FLOW0"},
		{"error=x&code=c&state=STATE0&iss=ISS", "FLOW0"},
		{"state=STATE0&iss=ISS", "FLOW0"},
		{"code=c&state=FLOW0&iss=ISS", "FLOW0"},
		{"code=c&state=AGAIN0&iss=ISS", "SESSION"},
		{"code=c&state=STATE1&iss=ISS", "SESSION; FLOW0"},
		{"code=c&state=AGAIN0&iss=ISS", ""},
		{"code=c;state=STATE0&iss=ISS", "FLOW0"},
		{"", ""},
		{"code=c&state=OTHER0&iss=ISS", "FLOW0"},
		{"code=c&state=OLD0&iss=ISS", "FLOW0"},
	} {
		f.Add(seed[0], seed[1], uint8(0))
		f.Add(seed[0], seed[1], uint8(17))
	}
	f.Fuzz(func(t *testing.T, query, cookies string, cut uint8) {
		var replaced []string
		states, flows, verifiers := make([]string, 2), make([]string, 2), make([]string, 2)
		seal := func(flow session.Flow, at time.Time, redirect string, again bool) (session.State, string) {
			state := flow.NewState(at, issuer, redirect, "/page")
			state.Again = again
			sealed, err := ring.SealState(site, state)
			if err != nil {
				t.Fatal(err)
			}
			return state, sealed
		}
		const redirect = "http://localhost/.logto/callback"
		now := time.Now()
		for i, name := range []string{"0", "1"} {
			flow, err := session.Flow{}.Start(now, false)
			if err != nil {
				t.Fatal(err)
			}
			state, sealed := seal(flow, now, redirect, false)
			states[i], verifiers[i] = sealed, flow.Verifier(state)
			flows[i] = site.FlowName() + "=" + ring.SealFlow(site, flow)
			_, again := seal(flow, now, redirect, true)
			_, other := seal(flow, now, "https://other.example/.logto/callback", false)
			_, old := seal(flow, now.Add(-2*time.Hour), redirect, false)
			replaced = append(replaced, "STATE"+name, sealed, "FLOW"+name, flows[i], "AGAIN"+name, again, "OTHER"+name, other, "OLD"+name, old)
		}
		signedIn, err := ring.SealSession(site, session.New(alice, now))
		if err != nil {
			t.Fatal(err)
		}
		replacer := strings.NewReplacer(append(replaced, "SESSION", site.SessionName()+"="+signedIn, "ISS", url.QueryEscape(issuer))...)
		query, cookies = replacer.Replace(query), replacer.Replace(cookies)
		if len(query) > int(cut) && cut > 0 { // a state or a code that is altered
			at := len(query) - int(cut)
			query = query[:at] + "A" + query[at+1:]
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/", http.NoBody)
		r.URL.Path, r.URL.RawQuery, r.Host = "/.logto/callback", query, "localhost"
		r.RequestURI = r.URL.RequestURI()
		r.Header = http.Header{"Cookie": {cookies}}
		w := httptest.NewRecorder()
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
		err = h.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
			t.Error("a callback reached the next handler")
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}

		sent := tenant.taken()
		if len(sent) > 1 {
			t.Errorf("%d codes were sent", len(sent))
		}
		values, err := url.ParseQuery(query)
		for _, verifier := range sent {
			i := slices.Index(verifiers, verifier)
			if i < 0 {
				t.Fatalf("a code was sent with a verifier of nobody's")
			}
			if err != nil || len(values["state"]) != 1 || len(values["iss"]) != 1 || values.Get("iss") != issuer || values.Has("error") ||
				!strings.Contains(cookies, flows[i]) {
				t.Errorf("a code was sent for the query %q and the cookies %q", query, cookies)
			}
			for j := range states {
				if j != i && values.Get("state") == states[j] {
					t.Error("a code was sent with another sign-in's verifier")
				}
			}
		}
		location := w.Header().Get("Location")
		switch w.Code {
		case http.StatusFound: // it starts once more
			if !strings.HasPrefix(location, issuer+"/auth?") {
				t.Errorf("it leads to %q", location)
			}
		case http.StatusSeeOther:
			if location != "/" && location != "/page" {
				t.Errorf("it leads to %q", location)
			}
		case http.StatusBadRequest, http.StatusServiceUnavailable:
		default:
			t.Errorf("it answers %d", w.Code)
		}
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%d has Cache-Control %q", w.Code, w.Header().Get("Cache-Control"))
		}
		if strings.Contains(strings.Join(w.Header()["Set-Cookie"], " "), site.SessionName()+"=") {
			t.Error("it gives a session")
		}
	})
}
