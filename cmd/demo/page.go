package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// pagePaths are those of the page, on the address of Caddyfile.example. All
// others are the example's.
var pagePaths = []string{"/", "/demo/*", "/favicon.ico"}

// pageFiles are the page, its style and its script.
//
//go:embed page/index.html page/page.css page/page.js
var pageFiles embed.FS

var pageTemplate = template.Must(template.ParseFS(pageFiles, "page/index.html"))

// page is a web page on which one picks a request and a token. Requests are
// sent by the demo: not every browser knows names below localhost, and a page
// may not set Host.
type page struct {
	mux   http.ServeMux
	stack atomic.Pointer[stack] // nil until Caddy runs

	// One request at a time: the line that Caddy logs does not say which
	// request it is about.
	sending sync.Mutex
}

func newPage() (*page, error) {
	files, err := fs.Sub(pageFiles, "page")
	if err != nil {
		return nil, err
	}
	p := new(page)
	p.mux.HandleFunc("GET /{$}", p.show)
	p.mux.HandleFunc("POST /demo/send", p.send)
	p.mux.HandleFunc("POST /demo/suspend", p.button(suspend, "Alice is suspended. Tokens and sessions she has are refused.\n"))
	p.mux.HandleFunc("POST /demo/reinstate", p.button(reinstate, "Alice is back, and all tokens are new. Her old ones stay refused.\n"))
	p.mux.Handle("GET /demo/", http.StripPrefix("/demo", http.FileServerFS(files)))
	return p, nil
}

// ServeHTTP refuses what other sites' pages send.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'")
	w.Header().Set("Cache-Control", "no-store")
	http.NewCrossOriginProtection().Handler(&p.mux).ServeHTTP(w, r)
}

// request is one to try on the page.
type request struct {
	Method, Host, Path string
	Asks               string // what the Caddyfile asks for; "…" is what the line above says
}

// place is a site and its requests.
type place struct {
	Title    string
	Requests []request
}

// places say what Caddyfile.example protects.
var places = []place{
	{"A global API resource", []request{
		{"GET", "", "/healthz", "public"},
		{"GET", "", "/api/protected", "a token for the API"},
		{"GET", "", "/api/products", "… with read:products"},
		{"POST", "", "/api/orders", "… with write:orders"},
	}},
	{"Organization permissions", []request{
		{"GET", "org.localhost", "/api/protected", "a token for any organization"},
		{"GET", "org.localhost", "/api/members", "… with read:members or manage:members"},
	}},
	{"An API resource in one organization", []request{
		{"GET", "acme.app.localhost", "/api/protected", "a token for the API in acme"},
		{"GET", "acme.app.localhost", "/api/invoices", "… with read:invoices"},
	}},
}

// choice is a token to pick.
type choice struct{ Name, File, About string }

func (p *page) show(w http.ResponseWriter, _ *http.Request) {
	s := p.stack.Load()
	if s == nil {
		http.Error(w, "the demo is starting", http.StatusServiceUnavailable)
		return
	}
	choices := []choice{{"", "", "no token"}}
	for _, token := range heldTokens {
		choices = append(choices, choice{token.name, tokenFile(token.name), token.about})
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, map[string]any{"Places": places, "Tokens": choices, "Members": "http://" + s.members + "/"}); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes()) // a browser that has left misses nothing
}

// button does something to the tenant and says that it is done.
func (p *page) button(do func(context.Context, *stack) error, done string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p.sending.Lock()
		defer p.sending.Unlock()
		if err := do(r.Context(), p.stack.Load()); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, done)
	}
}

// outcome is what came of a request. Reason and hint are of Caddy's log.
type outcome struct {
	Curl      string `json:"curl"`
	Status    int    `json:"status"`
	Text      string `json:"text"`
	Body      string `json:"body"`
	Challenge string `json:"challenge"`
	Reason    string `json:"reason"`
	Hint      string `json:"hint"`
}

// send sends one of the page's requests with one of the tokens, and nothing
// else.
func (p *page) send(w http.ResponseWriter, r *http.Request) {
	s := p.stack.Load()
	wanted := request{Method: r.FormValue("method"), Host: r.FormValue("host"), Path: r.FormValue("path")}
	name := r.FormValue("token")
	_, held := s.wallet.token(name)
	if !known(wanted) || (name != "" && !held) {
		http.Error(w, "no such request, or no such token", http.StatusBadRequest)
		return
	}
	came, err := p.outcome(r.Context(), s, wanted, name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(came)
}

func known(wanted request) bool {
	return slices.ContainsFunc(places, func(p place) bool {
		return slices.ContainsFunc(p.Requests, func(r request) bool {
			return r.Method == wanted.Method && r.Host == wanted.Host && r.Path == wanted.Path
		})
	})
}

func (p *page) outcome(ctx context.Context, s *stack, wanted request, token string) (outcome, error) {
	sent := check{path: wanted.Path, token: token}
	if wanted.Method != http.MethodGet {
		sent.method = wanted.Method
	}
	p.sending.Lock()
	defer p.sending.Unlock()
	var why entry
	stop := s.journal.follow(func(e entry) {
		if e.refused() && e.text("method") == wanted.Method {
			why = e
		}
	})
	got, err := sent.do(ctx, s, wanted.Host)
	stop() // waits for a line that is being told
	if err != nil {
		return outcome{}, err
	}
	came := outcome{
		Curl: curlLine(s, wanted.Host, sent), Status: got.status, Text: http.StatusText(got.status), Body: got.body, Challenge: got.challenge,
	}
	if got.status >= http.StatusBadRequest {
		came.Reason, came.Hint = why.text("reason"), why.text("hint")
	}
	return came, nil
}

// addPage has a server of Caddy serve the page, which is at the address.
func addPage(server *caddyhttp.Server, address string) {
	proxy := map[string]any{"handler": "reverse_proxy", "upstreams": []map[string]string{{"dial": address}}}
	server.Routes = slices.Insert(server.Routes, 0, caddyhttp.Route{
		MatcherSetsRaw: caddyhttp.RawMatcherSets{{
			"host": caddyconfig.JSON([]string{"127.0.0.1", "localhost"}, nil),
			"path": caddyconfig.JSON(pagePaths, nil),
		}},
		HandlersRaw: []json.RawMessage{caddyconfig.JSON(proxy, nil)},
		Terminal:    true,
	})
}
