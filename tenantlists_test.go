package logtoauth

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

// namedSites are sites of one tenant that name it otherwise than the site that
// people sign in to: with a custom domain first, and with that domain alone.
const namedSites = revocable + `
named.example.com {
	logto_auth {
		endpoint TENANT
		issuer https://auth.example.com/oidc TENANT/oidc
		audience https://api.example.com
		SIGN_IN
		revocation {
			webhook_secret a-signing-key-of-32-characters-xx
			keep 48h
		}
	}
	respond ok
}
custom.example.com {
	logto_auth {
		issuer https://auth.example.com/oidc
		jwks_uri TENANT/oidc/jwks
		audience https://api.example.com
		revocation
	}
	respond ok
}
`

// otherIssuer is how namedSites name the tenant otherwise.
const otherIssuer = "https://auth.example.com/oidc"

// A tenant has several names. What it tells one site holds at all of them.
func TestRevocationsOfATenantWithSeveralNames(t *testing.T) {
	for _, told := range []string{testHost, "named.example.com"} {
		t.Run(told, func(t *testing.T) {
			m := newMembers(t, namedSites)
			p := m.browser()
			p.signIn("/", alice)
			tokens := map[string]string{
				testHost:            m.token(devtenant.TokenRequest{Subject: alice}),
				"named.example.com": m.token(devtenant.TokenRequest{Subject: alice}),
				"custom.example.com": m.token(devtenant.TokenRequest{
					Subject: alice, Extra: map[string]any{"iss": otherIssuer},
				}),
			}
			for host, token := range tokens {
				isIn(t, host, m.show(host, token))
			}
			pass(t, time.Minute)
			if got := m.deliverTo(told, m.tenant.DeletionEvent(alice)); got != http.StatusNoContent {
				t.Fatalf("the webhook: %d", got)
			}
			for host, token := range tokens {
				isOut(t, host, m.show(host, token))
			}
			sessionIsOver(t, "the session", p.fetch("/"))
			// The entry lives as long as that session could have.
			_, all := askRevocations(t, http.MethodGet, "")
			if want := rfc3339(systemClock().Add(7 * 24 * time.Hour).Truncate(time.Hour))[:11]; strings.Count(all, `"sub"`) != 1 || !strings.Contains(all, `"expires":"`+want) {
				t.Errorf("listed are %s, want one until %s", all, want)
			}
		})
	}
}

// Tenants that share no name have lists of their own.
func TestTenantListsAreJoinedByName(t *testing.T) {
	m := newMembers(t, namedSites+`
stranger.example.com {
	logto_auth {
		issuer https://stranger.example.com/oidc
		jwks_uri TENANT/oidc/other-jwks
		audience https://api.example.com
		revocation
	}
	respond ok
}
`)
	lists := startedLists()
	if len(lists) != 3 {
		t.Fatalf("%d lists", len(lists))
	}
	app := lists[0].configs.Current()
	for name, want := range map[string]int{
		m.tenant.Issuer():                   2,
		otherIssuer:                         2,
		m.tenant.URL + "/oidc/jwks":         2,
		"https://stranger.example.com/oidc": 1,
	} {
		if got := len(app.signIn.tenants[name].all()); got != want {
			t.Errorf("%s has %d lists, want %d", name, got, want)
		}
	}
	for _, of := range lists {
		keep, stranger := of.keep(), of.issuer == "https://stranger.example.com/oidc"
		if want := 48 * time.Hour; !stranger && keep < want || stranger && keep >= want {
			t.Errorf("%s keeps entries for %v", of.issuer, keep)
		}
	}
}

// In whichever order sites show it: what shares a name is one tenant, along a
// chain of names, too, and at the sites that came before.
func TestTenantListsAreJoinedAlongAChain(t *testing.T) {
	sites := [][]string{{"a", "b"}, {"c", "d"}, {"e", "f"}, {"d", "e"}, {"b", "c"}, {"f"}, {"a"}}
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		random.Shuffle(len(sites), func(i, j int) { sites[i], sites[j] = sites[j], sites[i] })
		app := new(App)
		of := make(map[string]*endings) // by issuer, which is the first name of a site
		var seen []*tenantLists
		for _, names := range sites {
			if of[names[0]] == nil {
				of[names[0]] = newEndings(names[0])
				t.Cleanup(of[names[0]].end)
			}
			seen = append(seen, app.listsOf(of[names[0]], &keys.Config{Issuers: names}))
		}
		for i, lists := range seen {
			if got := len(lists.all()); got != len(of) {
				t.Fatalf("%v: the site of %v has %d lists of %d", sites, sites[i], got, len(of))
			}
		}
		for name, own := range of {
			if got := len(*own.joined.all.Load()); got != len(of) {
				t.Fatalf("%v: %s knows %d lists of %d", sites, name, got, len(of))
			}
		}
	}
}

// listOf is the list of an issuer, whichever config has it.
func listOf(t *testing.T, issuer string) *endings {
	t.Helper()
	for _, of := range startedLists() {
		if of.issuer == issuer {
			return of
		}
	}
	t.Fatalf("%s has no list", issuer)
	return nil
}

// What configs say of a tenant's names counts while they have its lists: from
// before they start until after they stop. It keeps neither of them alive.
func TestJoinedListsFollowTheConfigs(t *testing.T) {
	const one, two, three = "https://one.example/oidc", "https://two.example/oidc", "https://three.example/oidc"
	// provision makes a config of sites that accept these issuers.
	provision := func(sites ...[]string) *App {
		config := new(App)
		for _, issuers := range sites {
			own, err := config.listOf(issuers[0])
			if err != nil {
				t.Fatal(err)
			}
			config.listsOf(own, &keys.Config{Issuers: issuers})
		}
		return config
	}
	cleanUp := func(config *App) {
		t.Helper()
		if err := config.Cleanup(); err != nil {
			t.Error(err)
		}
	}
	joined := func(when string, want ...string) {
		t.Helper()
		var got []string
		for _, of := range *listOf(t, one).joined.all.Load() {
			if got = append(got, of.issuer); of.life.Err() != nil {
				t.Errorf("%s: the list of %s has ended", when, of.issuer)
			}
		}
		slices.Sort(got)
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	first := provision([]string{one}, []string{two}, []string{three})
	joined("apart", one)
	gone := weak.Make(first)
	second := provision([]string{one}, []string{two}, []string{two, one})
	joined("in a config that is about to start", one, two)
	third := provision([]string{one}, []string{three, one})
	joined("in two configs", one, two, three)
	cleanUp(third)
	joined("after one that did not start", one, two)
	cleanUp(first)
	joined("after a reload", one, two)
	eventually(t, "the first config is no longer referred to", func() bool {
		runtime.GC()
		return gone.Value() == nil
	})
	fourth := provision([]string{one})
	if err := second.Stop(); err != nil {
		t.Error(err)
	}
	joined("while a config that has stopped still answers", one, two)
	cleanUp(second)
	joined("apart again", one)
	cleanUp(fourth)
}

// A session that stands for many that have ended is counted with them, on
// whichever list of the tenant that is, and its refresh token is left alone: it
// may be of one grant with a younger session's.
func TestFoldedSessionOnAnotherListOfTheTenant(t *testing.T) {
	for _, issuer := range []string{"", otherIssuer} {
		m := newMembers(t, namedSites)
		p, other := m.browser(), m.browser()
		p.signIn("/", alice)
		other.signIn("/", bob)
		pass(t, time.Second)
		now := systemClock()
		folded := session.Entry{Kind: session.BySessionsOf, Subject: alice, NotBefore: now, Expires: now.Add(time.Hour)}
		if err := listOf(t, cmp.Or(issuer, m.tenant.Issuer())).list.Add(t.Context(), folded); err != nil {
			t.Fatal(err)
		}
		ended := counting(t, metrics.sessionsEnded)
		sessionIsOver(t, "Alice", p.fetch("/"))
		if got := ended(); len(got) != 0 {
			t.Errorf("on the list of %q: counted %v", issuer, got)
		}
		revoke(t, revocation{Subject: bob})
		sessionIsOver(t, "Bob", other.fetch("/"))
		m.awaitRevocations(1)
		if got := m.tenant.Counts().Revocation; got != 1 || !maps.Equal(ended(), map[string]float64{"revoked": 1}) {
			t.Errorf("on the list of %q: %d refresh tokens are revoked, counted %v", issuer, got, ended())
		}
	}
}
