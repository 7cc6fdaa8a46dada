package keys

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
)

// Inspection is what a check of a tenant found.
type Inspection struct {
	OK       bool        `json:"ok"`
	Endpoint string      `json:"endpoint,omitempty"`
	Accepted []string    `json:"accepted_issuers"`
	Issuer   string      `json:"discovered_issuer,omitempty"`
	JWKSURI  string      `json:"jwks_uri,omitempty"`
	Requests []Exchange  `json:"requests"`
	Keys     []KeyStatus `json:"keys"`
	LeftOut  []string    `json:"left_out,omitempty"`
	Clock    *int64      `json:"clock_difference_seconds,omitempty"` // how far the tenant's is ahead
	Warnings []string    `json:"warnings,omitempty"`
	Problem  string      `json:"problem,omitempty"`
	Advice   string      `json:"advice,omitempty"`
}

// Exchange is one request to the tenant and how it was answered.
type Exchange struct {
	URL          string `json:"url"`
	Status       string `json:"status,omitempty"`
	Error        string `json:"error,omitempty"`
	Milliseconds int64  `json:"duration_ms"`
	ContentType  string `json:"content_type,omitempty"`
	CacheControl string `json:"cache_control,omitempty"`
	ETag         string `json:"etag,omitempty"`

	clock *int64 // seconds that the server's is ahead
	body  *bytes.Buffer
}

// Inspect fetches a tenant's keys once, in the way a key set does, and
// reports what it saw on the way.
func Inspect(ctx context.Context, cfg Config, leeway time.Duration) (*Inspection, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	client, err := newTenantClient(cfg)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	transport := &notingTransport{RoundTripper: client.Transport}
	noting := *client
	noting.Transport = transport
	source := &tenantSource{cfg: cfg, client: &noting}
	ctx, cancel := context.WithTimeout(ctx, cfg.FetchTimeout)
	defer cancel()
	got, err := source.fetch(ctx, true)

	report := &Inspection{
		OK: err == nil, Endpoint: cfg.Endpoint, Accepted: cfg.AcceptedIssuers(),
		JWKSURI: legible.Text(source.jwksURI), Requests: transport.exchanges, Keys: []KeyStatus{},
	}
	issuer := report.readExchanges(cfg, leeway)
	if err != nil {
		report.Problem, report.Advice = legible.Error(err), Advice(err)
		return report, nil
	}
	for _, kid := range slices.Sorted(maps.Keys(got.keys)) {
		report.Keys = append(report.Keys, got.keys[kid].Status())
	}
	for _, key := range got.leftOut {
		report.LeftOut = append(report.LeftOut, key.String())
	}
	report.compareIssuer(issuer)
	return report, nil
}

// compareIssuer reports that tokens will be refused although the keys can be
// fetched: a discovery document may name the endpoint as the issuer while the
// site accepts others only, such as a custom domain, or one that is misspelled.
func (report *Inspection) compareIssuer(discovered string) {
	switch {
	case discovered == "":
		report.Warnings = append(report.Warnings,
			"no discovery document was read, since issuer and jwks-uri are given: whether the tenant's tokens have this issuer was not checked")
	case !slices.Contains(report.Accepted, discovered):
		report.OK = false
		report.Problem = fmt.Sprintf("the tenant calls itself %.128q, and that is not an accepted issuer (%s): its tokens will be refused as wrong_issuer",
			discovered, strings.Join(report.Accepted, ", "))
		report.Advice = "add issuer " + legible.Field(discovered) +
			"; the value must be exactly what the tokens have in iss. If all clients use a custom domain of this tenant, set endpoint to that domain"
	}
}

// readExchanges takes from the answers what the fetch itself had no use for,
// and returns the issuer of the discovery document, as it is there.
func (report *Inspection) readExchanges(cfg Config, leeway time.Duration) (issuer string) {
	for _, e := range report.Requests {
		if e.clock != nil {
			report.Clock = e.clock
		}
		// Discovery comes first, perhaps after a redirect to another address.
		if issuer != "" || e.body == nil || !cfg.discovers() {
			continue
		}
		var document jwkMembers
		if json.Unmarshal(e.body.Bytes(), &document) == nil {
			issuer, _ = document.text("issuer")
			report.Issuer = legible.Field(issuer)
		}
	}
	if most := int64(leeway / time.Second); report.Clock != nil && (*report.Clock > most || *report.Clock < -most) {
		report.Warnings = append(report.Warnings, fmt.Sprintf(
			"the clocks differ by more than the leeway of %s: fresh tokens will be refused as not_yet_valid or expired; set the clock by NTP",
			leeway))
	}
	if cfg.InsecureHTTP {
		report.Warnings = append(report.Warnings, "insecure_http: who can change answers on the way can mint identities")
	}
	return issuer
}

// notingTransport notes each request and its answer.
type notingTransport struct {
	http.RoundTripper
	exchanges []Exchange
}

// RoundTrip implements http.RoundTripper. A client that follows redirects
// calls it once per request, one after the other.
func (t *notingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	started := time.Now()
	resp, err := t.RoundTripper.RoundTrip(r)
	took := time.Since(started)
	e := Exchange{URL: legible.Text(r.URL.Redacted()), Milliseconds: took.Milliseconds()}
	if err != nil {
		e.Error = legible.Error(err)
		t.exchanges = append(t.exchanges, e)
		return nil, err
	}
	e.Status = legible.Field(resp.Status)
	e.ContentType = legible.Field(resp.Header.Get("Content-Type"))
	e.CacheControl = legible.Field(resp.Header.Get("Cache-Control"))
	e.ETag = legible.Field(resp.Header.Get("ETag"))
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		// The header is cut to seconds: on average the server's clock is half
		// a second further. It was read somewhere in the middle.
		ahead := int64(date.Add(time.Second/2).Sub(started.Add(took/2)).Round(time.Second) / time.Second)
		e.clock = &ahead
	}
	e.body = new(bytes.Buffer)
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.TeeReader(resp.Body, e.body), resp.Body}
	t.exchanges = append(t.exchanges, e)
	return resp, nil
}
