package logtoauth

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// visit opens a path as a browser does that follows redirects, to the tenant
// and back, and counts the sign-ins on the way.
func (p *person) visit(path, user string) (page *caddytest.Response, signIns int) {
	p.tb.Helper()
	for range 12 {
		page = p.open(path)
		location := page.Header.Get("Location")
		switch {
		case page.StatusCode == http.StatusSeeOther:
			path = location
		case page.StatusCode == http.StatusFound && strings.HasPrefix(location, p.tenant.Issuer()+"/auth?"):
			path = p.callback(location, user)
			signIns++
		default:
			return page, signIns
		}
	}
	p.tb.Fatalf("%s leads round in a circle", path)
	return nil, 0
}

// recordRefreshes notes the forms that come to the token endpoint from now on,
// which answers as it should.
func (m *members) recordRefreshes() func() []url.Values {
	var mu sync.Mutex
	var forms []url.Values
	m.tenant.SetTokenFault(devtenant.ForGrant("refresh_token", func(e *devtenant.Exchange) {
		mu.Lock()
		forms = append(forms, e.Request.PostForm)
		mu.Unlock()
		devtenant.None(e)
	}))
	return func() []url.Values {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(forms)
	}
}

// counts reads counters, by the values of their labels.
func counts(tb testing.TB, counter prometheus.Collector) map[string]float64 {
	tb.Helper()
	registry := prometheus.NewRegistry()
	if err := registry.Register(counter); err != nil {
		tb.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	read := make(map[string]float64)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetValue())
			}
			read[strings.Join(labels, " ")] = metric.GetCounter().GetValue()
		}
	}
	return read
}

// counting returns what a counter has counted since.
func counting(tb testing.TB, counter prometheus.Collector) func() map[string]float64 {
	tb.Helper()
	before := counts(tb, counter)
	tb.Cleanup(func() {
		i := slices.Index(metrics.collectors(), counter)
		fromTheStart := counts(tb, newInstruments().collectors()[i])
		for labels := range counts(tb, counter) {
			if _, there := fromTheStart[labels]; !there {
				tb.Errorf("the series %q is not there from the start", labels)
			}
		}
	})
	return func() map[string]float64 {
		tb.Helper()
		risen := make(map[string]float64)
		for labels, value := range counts(tb, counter) {
			if value > before[labels] {
				risen[labels] = value - before[labels]
			}
		}
		return risen
	}
}

// together runs a function so many times at once.
func together(n int, run func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { run(i) })
	}
	all.Wait()
}

// within replaces the directive's sign_in line by lines before it and a block.
func within(settings, signIn string) string {
	return "\nwww.example.com {\n\tlogto_auth {\n\t\tendpoint TENANT\n" + settings + "\nSIGN_IN {\n" + signIn + "\n}\n}\n"
}

// restart is another process that shares nothing with the one before but the
// config and, unless the config says otherwise, the storage.
func (m *members) restart(sites string) {
	m.tb.Helper()
	m.Client.CloseIdleConnections()
	if err := caddy.Stop(); err != nil {
		m.tb.Fatal(err)
	}
	if err := m.Load(m.text(sites)); err != nil {
		m.tb.Fatal(err)
	}
}
