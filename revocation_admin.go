package logtoauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

const (
	// maxRevocation bounds the body of a request to the admin API.
	maxRevocation = 64 << 10
	// maxID bounds what it names. Logto's ids have 12 or 21 characters; a
	// client_id may be a URL.
	maxID = 1024
)

// revocation is an entry as the admin API takes and shows it.
type revocation struct {
	Issuer  string `json:"issuer,omitempty"`
	Subject string `json:"sub,omitempty"`
	// SessionsOf is the person of an entry that stands for many about their
	// sessions. It is shown only, and is no Subject: their tokens go on.
	SessionsOf     string `json:"sessions_of,omitempty"`
	ClientID       string `json:"client_id,omitempty"`
	OrganizationID string `json:"organization_id,omitempty"`
	SessionID      string `json:"session_id,omitempty"`
	TokenID        string `json:"jti,omitempty"`
	NotBefore      string `json:"not_before,omitempty"`
	Expires        string `json:"expires,omitempty"`
}

// entry is the revocation as an entry of the list, without an expiry.
func (v *revocation) entry(now time.Time) (session.Entry, error) {
	if v.SessionsOf != "" {
		return session.Entry{}, errors.New("sessions_of is an entry that stands for many ended sessions: it can be neither made nor taken back, and goes when it expires")
	}
	var named []session.Entry
	add := func(kind session.EntryKind, subject string) {
		if subject != "" {
			named = append(named, session.Entry{Kind: kind, Subject: subject})
		}
	}
	add(session.BySubject, v.Subject)
	add(session.ByClient, v.ClientID)
	add(session.ByLogtoSession, v.SessionID)
	add(session.ByToken, v.TokenID)
	switch {
	case v.OrganizationID != "" && len(named) == 1 && v.Subject != "":
		named[0].Kind, named[0].Organization = session.ByMember, v.OrganizationID
	case v.OrganizationID != "":
		add(session.ByOrganization, v.OrganizationID)
	}
	if len(named) != 1 {
		return session.Entry{}, errors.New("name exactly one of sub, client_id, organization_id, session_id and jti, or sub with organization_id")
	}
	entry := named[0]
	switch id := entry.Subject + entry.Organization; {
	case legible.HasControl(id):
		return session.Entry{}, errors.New("the id holds a control character")
	case len(id) > maxID:
		return session.Entry{}, fmt.Errorf("the id has %d octets; it may have at most %d", len(id), maxID)
	}
	if entry.NotBefore = now; v.NotBefore != "" {
		at, err := time.Parse(time.RFC3339, v.NotBefore)
		switch {
		case err != nil:
			return session.Entry{}, fmt.Errorf("not_before: %q is not a time like %s", v.NotBefore, now.UTC().Format(time.RFC3339))
		case at.After(now):
			return session.Entry{}, fmt.Errorf("not_before: %s is still to come", v.NotBefore)
		}
		entry.NotBefore = at
	}
	return entry, nil
}

// shown is an entry of an issuer's list for the admin API.
func shown(issuer string, entry session.Entry) revocation {
	v := revocation{Issuer: issuer}
	if !entry.Expires.IsZero() {
		v.NotBefore, v.Expires = rfc3339(entry.NotBefore), rfc3339(entry.Expires)
	}
	switch entry.Kind {
	case session.BySubject:
		v.Subject = entry.Subject
	case session.BySessionsOf:
		v.SessionsOf = entry.Subject
	case session.ByClient:
		v.ClientID = entry.Subject
	case session.ByMember:
		v.Subject, v.OrganizationID = entry.Subject, entry.Organization
	case session.ByOrganization:
		v.OrganizationID = entry.Subject
	case session.ByToken:
		v.TokenID = entry.Subject
	case session.ByLogtoSession:
		v.SessionID = entry.Subject
	}
	return v
}

// serveRevocations shows the lists, puts an entry on them, or takes one back.
func serveRevocations(w http.ResponseWriter, r *http.Request) error {
	switch r.Method {
	case http.MethodGet:
		return writeRevocations(w, allRevocations())
	case http.MethodPost, http.MethodDelete:
		changed, err := changeRevocations(r)
		if err != nil {
			return err
		}
		return writeRevocations(w, changed)
	}
	w.Header().Set("Allow", "DELETE, GET, POST")
	return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: fmt.Errorf("method not allowed: %s", r.Method)}
}

func writeRevocations(w http.ResponseWriter, list []revocation) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(list)
}

// allRevocations are the entries of all lists that were made by somebody, sorted
// so that two answers can be compared. A session that ended otherwise, such as by
// signing out, is no revocation. But an entry that stands for many of them is
// shown: it also ends sessions that nobody has named.
func allRevocations() []revocation {
	all := []revocation{}
	for _, list := range startedLists() {
		for _, entry := range list.list.Entries() {
			if entry.Kind != session.BySession {
				all = append(all, shown(list.issuer, entry))
			}
		}
	}
	slices.SortFunc(all, func(a, b revocation) int {
		return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
	})
	return all
}

// changeRevocations puts what the request names on the lists of all tenants, or
// of the one whose issuer it names, or takes it off.
func changeRevocations(r *http.Request) ([]revocation, error) {
	refuse := func(status int, err error) ([]revocation, error) {
		metrics.revocationEvents.WithLabelValues(fromAdmin, eventRefused).Inc()
		return nil, caddy.APIError{HTTPStatus: status, Err: err}
	}
	var asked revocation
	decoder := json.NewDecoder(io.LimitReader(r.Body, maxRevocation))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		return refuse(http.StatusBadRequest, fmt.Errorf("reading the body: %w", err))
	}
	if decoder.More() {
		return refuse(http.StatusBadRequest, errors.New("reading the body: there is more than one revocation"))
	}
	now := systemClock()
	entry, err := asked.entry(now)
	if err != nil {
		return refuse(http.StatusBadRequest, err)
	}
	lists := slices.DeleteFunc(startedLists(), func(list *endings) bool { return asked.Issuer != "" && list.issuer != asked.Issuer })
	if len(lists) == 0 {
		return refuse(http.StatusNotFound, errors.New("no site has revocation or sign_in for this tenant"))
	}
	var (
		changed []revocation
		errs    []error
	)
	for _, list := range lists {
		done, err := list.change(r, entry, now)
		switch {
		case err == nil:
			changed = append(changed, shown(list.issuer, done))
		case !errors.Is(err, session.ErrNotListed): // it may be on another tenant's
			errs = append(errs, err)
		}
	}
	switch err := errors.Join(errs...); {
	case errors.Is(err, session.ErrTakenBack):
		return refuse(http.StatusConflict, fmt.Errorf("%w; name a later not_before, or none", err))
	case err != nil:
		metrics.revocationEvents.WithLabelValues(fromAdmin, eventUnstored).Inc()
		return nil, caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: fmt.Errorf("storing the change: %w", err)}
	case len(changed) == 0:
		return refuse(http.StatusNotFound, session.ErrNotListed)
	}
	metrics.revocationEvents.WithLabelValues(fromAdmin, eventListed).Inc()
	return changed, nil
}

// change puts an entry on the list or, with DELETE, takes it back, and waits
// until that is stored.
func (e *endings) change(r *http.Request, entry session.Entry, now time.Time) (session.Entry, error) {
	if r.Method == http.MethodDelete {
		ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
		defer cancel()
		return session.Entry{Kind: entry.Kind, Subject: entry.Subject, Organization: entry.Organization},
			e.list.Remove(ctx, entry.Kind, entry.Subject, entry.Organization)
	}
	entry.Expires = now.Add(e.lasts(entry.Kind))
	return entry, errors.Join(e.add(r.Context(), []session.Entry{entry})...)
}

// startedLists are the lists of the configs that are live, by issuer.
func startedLists() []*endings {
	var lists []*endings
	endedLists.Range(func(_, value any) bool {
		lists = append(lists, value.(*endings))
		return true
	})
	slices.SortFunc(lists, func(a, b *endings) int { return strings.Compare(a.issuer, b.issuer) })
	return lists
}

// revocationsCollector counts the entries of the lists when it is scraped.
type revocationsCollector struct{ entries *prometheus.Desc }

// Describe implements prometheus.Collector.
func (c *revocationsCollector) Describe(descs chan<- *prometheus.Desc) { descs <- c.entries }

// Collect implements prometheus.Collector.
func (c *revocationsCollector) Collect(collected chan<- prometheus.Metric) {
	total := make(map[session.EntryKind]int)
	for _, list := range startedLists() {
		for kind, count := range list.list.Counts() {
			total[kind] += count
		}
	}
	for kind, count := range total {
		collected <- prometheus.MustNewConstMetric(c.entries, prometheus.GaugeValue, float64(count), string(kind))
	}
}

// Interface guard.
var _ prometheus.Collector = (*revocationsCollector)(nil)
