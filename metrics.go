package logtoauth

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

// metrics are one per process, while Caddy makes a new registry for each
// config: counters registered again with every config count on across
// reloads. Labels hold only what a config or this package names, so that no
// client can make them grow, and every label that requests need is resolved
// here.
var metrics = newInstruments()

// instruments are what this package measures.
type instruments struct {
	requests *prometheus.CounterVec

	// Of sign_in.
	signIns, sessionRefreshes, sessionsEnded *prometheus.CounterVec

	revocationEvents *prometheus.CounterVec
	revocations      *revocationsCollector

	tokenCache *prometheus.CounterVec
	fetches    *prometheus.CounterVec

	// signatures is observed for each signature that is computed, whether or
	// not it holds.
	signatures prometheus.Histogram

	// Children of requests.
	admitted, anonymous, preflight prometheus.Counter
	refused, reported              map[Reason]prometheus.Counter

	// Children of tokenCache.
	cacheHit, cacheMiss prometheus.Counter

	keys *keysCollector
}

func newInstruments() *instruments {
	const namespace, subsystem = "caddy", "logto_auth"
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, labels)
	}
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, subsystem, name), help, labels, nil)
	}
	m := &instruments{
		requests: counter("requests_total",
			"Requests by what became of them (admitted, refused, reported, anonymous, preflight, redirected) and the reason of a refusal.", "outcome", "reason"),
		tokenCache: counter("token_cache_total",
			"Tokens that were verified before (hit), and tokens whose signature had to be checked (miss).", "result"),
		fetches: counter("jwks_fetches_total",
			"Attempts to fetch a tenant's keys, by result (ok, unchanged or the kind of failure).", "issuer", "result"),
		// From the fastest RSA key to ES512 on a slow or busy machine.
		signatures: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "signature_duration_seconds",
			Help:    "Time to compute one token's signature.",
			Buckets: []float64{20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3},
		}),
		signIns: counter("sign_ins_total",
			"Sign-ins that came back from the tenant, by result (ok or the reason of the refusal).", "result"),
		sessionRefreshes: counter("session_refreshes_total",
			"Attempts to refresh a session's token, by result (ok or the kind of failure).", "result"),
		sessionsEnded: counter("sessions_ended_total",
			"Sessions that ended before their time, by cause (signed_out, replaced, other_person, refused, wrong_subject, token_refused, revoked).", "cause"),
		revocationEvents: counter("revocation_events_total",
			"Messages that should end tokens or sessions, by source (webhook, back_channel, admin) and result (ok, ignored, refused, failed).", "source", "result"),
		revocations: &revocationsCollector{describe("revocations",
			"Entries in the lists of revocations and ended sessions, by kind.", "kind")},
		refused:  make(map[Reason]prometheus.Counter, len(reasons)),
		reported: make(map[Reason]prometheus.Counter, len(reasons)),
		keys: &keysCollector{
			served: describe("jwks_keys",
				"Keys of the tenant that tokens are verified with now.", "issuer"),
			lastSuccess: describe("jwks_last_success_timestamp_seconds",
				"When the last successful fetch of the tenant's keys began; 0 if there was none.", "issuer"),
		},
	}
	m.admitted = m.requests.WithLabelValues(outcomeAdmitted, "")
	m.anonymous = m.requests.WithLabelValues(outcomeAnonymous, "")
	m.preflight = m.requests.WithLabelValues(outcomePreflight, "")
	for _, reason := range reasons {
		m.refused[reason] = m.requests.WithLabelValues(outcomeRefused, string(reason))
		m.reported[reason] = m.requests.WithLabelValues(outcomeReported, string(reason))
	}
	m.beginSeriesOfSignIn()
	for _, source := range []string{fromWebhook, fromBackChannel, fromAdmin} {
		for _, result := range []string{eventListed, eventRefused, eventUnstored} {
			m.revocationEvents.WithLabelValues(source, result)
		}
	}
	m.revocationEvents.WithLabelValues(fromWebhook, eventIgnored) // the others have no such messages
	m.cacheHit = m.tokenCache.WithLabelValues("hit")
	m.cacheMiss = m.tokenCache.WithLabelValues("miss")
	return m
}

// beginSeriesOfSignIn makes the series of sign_in: rate sees the first
// increment only of those that are there before.
func (m *instruments) beginSeriesOfSignIn() {
	for _, reason := range []Reason{
		"", ReasonNoSession, ReasonSessionExpired, ReasonSessionEnded, ReasonRefreshRefused, // see lacksSession
		ReasonInsufficientScope, ReasonClaimMismatch, // see signInAgain
	} {
		m.requests.WithLabelValues(outcomeRedirected, string(reason))
	}
	for _, result := range []string{
		"ok", string(ReasonSignInState), string(ReasonSignInRefused), string(ReasonSignInLoop), string(ReasonTenantUnavailable),
	} {
		m.signIns.WithLabelValues(result)
	}
	for _, result := range []string{
		"ok", session.Unavailable.String(), session.Busy.String(), session.WrongClient.String(),
		session.Refused.String(), session.WrongSubject.String(), session.NotMember.String(), session.NotAskedFor.String(),
	} {
		m.sessionRefreshes.WithLabelValues(result)
	}
	for _, cause := range []string{
		"signed_out", "replaced", "other_person", session.Refused.String(), session.WrongSubject.String(), "token_refused", "revoked",
	} {
		m.sessionsEnded.WithLabelValues(cause)
	}
}

// collectors are all metrics, in the order in which the docs list them.
func (m *instruments) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.requests, m.tokenCache, m.signatures, m.fetches, m.keys, m.signIns, m.sessionRefreshes, m.sessionsEnded,
		m.revocationEvents, m.revocations,
	}
}

// register makes the metrics known to the registry of a config. Each handler
// of the config calls it, since any of them may be the only one.
func (m *instruments) register(registry *prometheus.Registry) error {
	for _, collector := range m.collectors() {
		err := registry.Register(collector)
		if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok && already.ExistingCollector == collector {
			continue
		}
		if err != nil {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

// count counts a request once.
func (m *instruments) count(outcome string, reason Reason) {
	switch outcome {
	case outcomeAdmitted:
		m.admitted.Inc()
	case outcomeAnonymous:
		m.anonymous.Inc()
	case outcomePreflight:
		m.preflight.Inc()
	case outcomeRefused:
		m.refused[reason].Inc()
	case outcomeReported:
		m.reported[reason].Inc()
	case outcomeRedirected:
		// Rare beside the others. Who opens the address of the sign-in lacks
		// nothing, nor does one whose sign-in is tried once more: no reason then.
		m.requests.WithLabelValues(outcomeRedirected, string(reason)).Inc()
	}
}

// observeFetch is the observer of every key set.
func (m *instruments) observeFetch(report keys.FetchReport) {
	m.fetches.WithLabelValues(report.Issuer, report.Result).Inc()
}

// keysCollector reads the key sets when it is scraped. A gauge that is set
// with each fetch would go on for a tenant that a reload took out of the
// config, and alert on the age of keys that nobody uses.
type keysCollector struct {
	served, lastSuccess *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *keysCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- c.served
	descs <- c.lastSuccess
}

// Collect implements prometheus.Collector. Several key sets may have the same
// issuer, under other trust settings; the worst of them is told.
func (c *keysCollector) Collect(collected chan<- prometheus.Metric) {
	type state struct {
		keys        int
		lastSuccess float64
	}
	now := time.Now()
	worst := make(map[string]state)
	for _, ks := range startedKeySets() {
		var is state
		if s := ks.Current(now); s != nil {
			is.keys = s.Len()
		}
		if s := ks.Held(); s != nil {
			is.lastSuccess = float64(s.FetchedAt().UnixMilli()) / 1e3
		}
		issuer := ks.Name()
		if other, ok := worst[issuer]; ok {
			is = state{min(is.keys, other.keys), min(is.lastSuccess, other.lastSuccess)}
		}
		worst[issuer] = is
	}
	for issuer, is := range worst {
		collected <- prometheus.MustNewConstMetric(c.served, prometheus.GaugeValue, float64(is.keys), issuer)
		collected <- prometheus.MustNewConstMetric(c.lastSuccess, prometheus.GaugeValue, is.lastSuccess, issuer)
	}
}

// Interface guard.
var _ prometheus.Collector = (*keysCollector)(nil)
