package soak

import (
	"crypto/tls"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

const (
	people    = 8
	appID     = "web-app"
	appSecret = "a-secret-of-the-web-app-32-chars"

	// tokenLife is short, so that sessions are refreshed again and again.
	tokenLife = 15 * time.Second

	// tokenlessEcho is how long after a fault a session may have no token: until
	// a new key has surely been fetched (settle), a refresh fails whose tokens it
	// signed, and then comes the pause after a failed refresh (5 s), a fetch that
	// hangs (1 s), and patience. Faults come every 13 s, so there is hardly a
	// moment that is not near one: what a fault may cause is narrowed by the
	// answer, not by the time.
	tokenlessEcho = 15 * time.Second

	// deadKept is how many sessions that a person has signed out of are tried
	// again.
	deadKept = 20
)

// membersCaddyfile is the site that people sign in to.
const membersCaddyfile = `handle /members* {
logto_auth {
audience ` + api + `
scopes read:products
sign_in ` + appID + ` ` + appSecret + ` {
path /members/.logto
}
}
respond "{http.auth.user.id}|{http.auth.user.source}"
}
`

// crowd is everybody who signs in.
type crowd struct {
	*soak

	persons []*person

	signIns, signOuts, suspensions, pages, unavailable, gone atomic.Int64
}

// person is somebody with a browser.
type person struct {
	*crowd

	id        string
	jar       http.CookieJar
	transport *http.Transport
	site      *url.URL

	mu   sync.Mutex
	dead []string // Cookie headers of sessions that somebody has signed out of, or that were revoked
}

func newCrowd(t *testing.T, s *soak) *crowd {
	t.Helper()
	site, err := url.Parse(s.server.base + "/")
	if err != nil {
		t.Fatal(err)
	}
	s.tenant.AddApp(devtenant.App{
		ID: appID, Secret: appSecret,
		RedirectURIs:           []string{s.server.base + "/members/.logto/callback"},
		PostLogoutRedirectURIs: []string{s.server.base + "/members/.logto/signed-out"},
	})
	c := &crowd{soak: s}
	for i := range people {
		p := &person{crowd: c, id: fmt.Sprintf("person-%d", i), site: site}
		s.tenant.AddUser(devtenant.User{ID: p.id, Permissions: []devtenant.Permission{{Resource: api, Scopes: []string{"read:products"}}}})
		p.transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.server.roots, MinVersion: tls.VersionTLS13}, DisableCompression: true}
		t.Cleanup(p.transport.CloseIdleConnections)
		c.persons = append(c.persons, p)
	}
	return c
}

// live is what a person does until the traffic stops.
func (p *person) live(stop <-chan struct{}) {
	defer p.transport.CloseIdleConnections()
	for {
		jar, err := cookiejar.New(nil)
		if err != nil {
			p.Error(err)
			return
		}
		p.jar = jar
		if p.signIn() {
			p.visit(stop)
		}
		select {
		case <-stop:
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

var hiddenInput = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)

// answered is an answer as far as it is looked at.
type answered struct {
	status int
	body   string
	at     *url.URL
}

// send sends a request. Without an answer it reports false, which only a reload
// excuses: faults are of discovery and keys, which no person asks for.
func (p *person) send(method, address string, form url.Values, follow bool, header http.Header) (answered, bool) {
	browser := &http.Client{Jar: p.jar, Transport: p.transport, Timeout: time.Minute}
	if !follow {
		browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	sent := time.Now()
	r, err := http.NewRequestWithContext(p.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		p.Error(err)
		return answered{}, false
	}
	r.Header = header.Clone()
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := browser.Do(r)
	var body []byte
	if err == nil {
		body, err = io.ReadAll(response.Body)
		err = errors.Join(err, response.Body.Close())
	}
	p.remember()
	if err != nil {
		if !p.server.reloadedBetween(sent.Add(-reloadEcho), time.Now()) {
			p.Errorf("%s: %s %s: %v", p.id, method, r.URL.Path, err)
		}
		return answered{}, false
	}
	return answered{response.StatusCode, string(body), response.Request.URL}, true
}

// remember makes the cookie a secret that no log line may show.
func (p *person) remember() {
	for _, cookie := range p.jar.Cookies(p.site) {
		p.pool.secrets.add(cookie.Value)
	}
}

// ofAFault tells whether an answer may be due to a fault: without the newest key
// Caddy cannot verify the tokens that the tenant issues. It then answers 503, and
// to a sign-in 400 if the ID token names a key that it does not know. The
// tenant's own pages do not fail.
func (p *person) ofAFault(got answered, sent time.Time) bool {
	unavailable := got.status == http.StatusServiceUnavailable
	refused := got.status == http.StatusBadRequest && strings.Contains(got.body, "<code>sign_in_refused</code>")
	return got.at.Host == p.site.Host && (unavailable || refused) && p.tenant.failedBetween(sent.Add(-tokenlessEcho), time.Now())
}

var (
	opensPage = http.Header{"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}
	isScript  = http.Header{"Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}, "Sec-Fetch-Site": {"same-origin"}}
)

// signIn signs the person in, and reports whether that worked.
func (p *person) signIn() bool {
	sent := time.Now()
	got, ok := p.send(http.MethodGet, p.server.base+"/members/start", nil, true, opensPage)
	if ok && strings.Contains(got.body, `name="user"`) {
		form := url.Values{"user": {p.id}}
		for _, input := range hiddenInput.FindAllStringSubmatch(got.body, -1) {
			form.Set(html.UnescapeString(input[1]), html.UnescapeString(input[2]))
		}
		got, ok = p.send(http.MethodPost, got.at.String(), form, true, opensPage)
	}
	if !ok {
		return false
	}
	if got.status == http.StatusOK && got.body == p.id+"|session" && got.at.Path == "/members/start" {
		p.signIns.Add(1)
		return true
	}
	if !p.ofAFault(got, sent) {
		p.Errorf("%s: the sign-in ends with %d at %s: %s", p.id, got.status, got.at.Path, visibleText(got.body))
	}
	return false
}

var markup = regexp.MustCompile(`(?s)<style.*?</style>|<[^>]*>|\s+`)

// visibleText is what a page says.
func visibleText(page string) string {
	return strings.Join(strings.Fields(markup.ReplaceAllString(page, " ")), " ")
}

// visit uses the session for a while and then signs out.
func (p *person) visit(stop <-chan struct{}) {
	until := time.Now().Add(5*time.Second + rand.N(40*time.Second))
	for time.Now().Before(until) {
		select {
		case <-stop:
			until = time.Now()
		case <-time.After(20*time.Millisecond + rand.N(200*time.Millisecond)):
		}
		p.tryDead()
		sent := time.Now()
		got, ok := p.send(http.MethodGet, p.server.base+"/members/data", nil, false, isScript)
		switch {
		case !ok:
		case got.status == http.StatusOK && got.body == p.id+"|session":
			p.pages.Add(1)
		case got.status == http.StatusServiceUnavailable && p.ofAFault(got, sent):
			p.unavailable.Add(1)
		default:
			p.Errorf("%s: a session is lost: %d %s", p.id, got.status, got.body)
			return
		}
	}
	if rand.N(2) == 0 {
		p.suspend()
		return
	}
	p.signOut()
}

// suspend lets an administrator end all that the person has.
func (p *person) suspend() {
	held := p.cookieHeader()
	if p.tell(map[string]string{"sub": p.id}) {
		p.suspensions.Add(1)
		p.isOver(held)
	}
}

// isOver notes that a session is over, and shows it.
func (p *person) isOver(held string) {
	p.mu.Lock()
	p.dead = append(p.dead, held)
	p.dead = p.dead[max(0, len(p.dead)-deadKept):]
	p.mu.Unlock()
	p.tryDead()
}

func (p *person) signOut() {
	held := p.cookieHeader()
	got, ok := p.send(http.MethodPost, p.server.base+"/members/.logto/sign-out", url.Values{}, false, isScript)
	if !ok {
		return // whether it came is not known
	}
	if got.status != http.StatusSeeOther || p.cookieHeader() != "" {
		p.Errorf("%s: signing out: %d %s, and cookies %q", p.id, got.status, got.body, p.cookieHeader())
		return
	}
	p.signOuts.Add(1)
	p.isOver(held)
}

func (p *person) cookieHeader() string {
	var pairs []string
	for _, cookie := range p.jar.Cookies(p.site) {
		pairs = append(pairs, cookie.Name+"="+cookie.Value)
	}
	return strings.Join(pairs, "; ")
}

// tryDead shows a session that is over.
func (p *person) tryDead() {
	p.mu.Lock()
	held := ""
	if len(p.dead) > 0 {
		held = p.dead[rand.N(len(p.dead))]
	}
	p.mu.Unlock()
	if held == "" {
		return
	}
	jar := p.jar
	defer func() { p.jar = jar }()
	p.jar, _ = cookiejar.New(nil) // it never fails
	header := isScript.Clone()
	header.Set("Cookie", held)
	if got, ok := p.send(http.MethodGet, p.server.base+"/members/data", nil, false, header); ok {
		p.gone.Add(1)
		if got.status != http.StatusUnauthorized || len(p.jar.Cookies(p.site)) > 0 {
			p.Errorf("%s: a session that is over comes back: %d %s", p.id, got.status, got.body)
		}
	}
}

// stored counts the objects that sessions have in Caddy's storage.
func (c *crowd) stored() (objects int) {
	err := filepath.WalkDir(filepath.Join(c.server.dir, "storage", "logto_auth", "ended"), func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			objects++
		}
		return nil
	})
	if err != nil {
		c.Error(err)
	}
	return objects
}

// judge checks that there was something to see, and that storage holds no
// more than who signed out, each at most twice, with and without Logto's word,
// and what was revoked.
func (c *crowd) judge() {
	signIns, signOuts := c.signIns.Load(), c.signOuts.Load()
	counts, stored := c.tenant.Counts(), c.stored()
	c.Logf("people: %d sign-ins, %d answers, %d without a token for a while, %d sign-outs, %d suspensions, %d tries of dead sessions, %d refreshes, %d objects stored",
		signIns, c.pages.Load(), c.unavailable.Load(), signOuts, c.suspensions.Load(), c.gone.Load(), counts.Refreshes, stored)
	if signIns == 0 || signOuts == 0 || counts.Refreshes == 0 || c.gone.Load() == 0 || c.pages.Load() == 0 {
		c.Error("people did not do all that they are there for")
	}
	if most := 2*int(signIns) + int(c.told.Load()); stored > most {
		c.Errorf("%d objects are stored for %d sign-ins and %d revocations", stored, signIns, c.told.Load())
	}
}
