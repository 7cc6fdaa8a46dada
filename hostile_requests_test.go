package logtoauth

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
	"github.com/caddy-logto/caddy-logto-auth/internal/fields"
)

// hostileRequest is a request that tries to get past a site of hostileSites by
// its form.
type hostileRequest struct {
	name   string
	host   string
	line   string // method and target; "GET /" if empty
	lines  string // header lines, and what follows them; TOKEN is a true token
	status int
	body   string
	source string
}

// hostileSites are sites behind which UPSTREAM tells what it was sent.
const hostileSites = `
http://header.example {
	logto_auth {
		audience https://api.example.com
	}
	respond "let in"
}
http://places.example {
	logto_auth {
		audience https://api.example.com
		token_from header
		token_from cookie session
		token_from query access_token
	}
	respond "let in"
}
http://paths.example {
	logto_auth {
		audience https://api.example.com
		optional
	}
	logto_require /admin*
	handle /admin* {
		respond "secret"
	}
	handle {
		respond "public"
	}
}
http://identity.example {
	logto_auth {
		audience https://api.example.com
		optional
		forward_claim sub X-User
	}
	reverse_proxy UPSTREAM
}
`

func from6750(name, lines string, status int, body string) hostileRequest {
	return hostileRequest{name: name, host: "header.example", lines: lines, status: status, body: body, source: "RFC 6750 section 2.1; RFC 9110 section 11"}
}

func hostileRequests() []hostileRequest {
	return slices.Concat(placeRequests(), severalTokens(), methodRequests(), pathRequests(), identityRequests(), largeRequests())
}

// placeRequests carry a true token where the site does not look for one, or in
// a form that another server might read otherwise.
func placeRequests() []hostileRequest {
	missing, scheme, invalid := refusedWith("Authorization header is missing"), refusedWith(`Authorization header must start with "Bearer "`), refusedWith("Invalid token")
	requests := []hostileRequest{
		from6750("token in a cookie", "Cookie: access_token=TOKEN; Authorization=Bearer TOKEN", 401, missing),
		from6750("token in Proxy-Authorization", "Proxy-Authorization: Bearer TOKEN", 401, missing),
		from6750("token in X-Authorization", "X-Authorization: Bearer TOKEN", 401, missing),
		from6750("token in X-Forwarded-Access-Token", "X-Forwarded-Access-Token: TOKEN", 401, missing),
		from6750("token in X-Original-Authorization", "X-Original-Authorization: Bearer TOKEN", 401, missing),
		from6750("token in Authorization with an underscore", "Authorization_: Bearer TOKEN", 401, missing),
		from6750("token in a trailer", "Transfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n0\r\nAuthorization: Bearer TOKEN", 401, missing),
		from6750("two tokens in one header", "Authorization: Bearer TOKEN TOKEN", 401, invalid),
		from6750("two credentials in one header", "Authorization: Bearer TOKEN, Bearer TOKEN", 401, invalid),
		from6750("a parameter behind the token", "Authorization: Bearer TOKEN, realm=x", 401, invalid),
		from6750("a quoted token", `Authorization: Bearer "TOKEN"`, 401, invalid),
		from6750("a token in angle brackets", "Authorization: Bearer <TOKEN>", 401, invalid),
		from6750("a token that is named", "Authorization: Bearer token=TOKEN", 401, invalid),
		from6750("a token behind a tab", "Authorization: Bearer\tTOKEN", 401, invalid),
		from6750("a token behind a NUL", "Authorization: Bearer \x00TOKEN", 400, "400 Bad Request"),
		from6750("no token behind the scheme", "Authorization: Bearer", 401, scheme),
		from6750("spaces behind the scheme", "Authorization: Bearer    ", 401, scheme),
		from6750("an empty header", "Authorization: ", 401, missing),
		from6750("another scheme first", "Authorization: Basic eA==, Bearer TOKEN", 401, scheme),
		from6750("the token without a scheme", "Authorization: TOKEN", 401, scheme),
		from6750("the Token scheme", "Authorization: Token TOKEN", 401, scheme),
		from6750("the DPoP scheme", "Authorization: DPoP TOKEN", 401, scheme),
		from6750("a scheme that begins as Bearer", "Authorization: BearerX TOKEN", 401, scheme),
		from6750("no space behind the scheme", "Authorization: BearerTOKEN", 401, scheme),
		from6750("a colon behind the scheme", "Authorization: Bearer: TOKEN", 401, scheme),
		from6750("a scheme in letters of another alphabet", "Authorization: B\u0435arer TOKEN", 401, scheme),
		from6750("a space before the colon", "Authorization : Bearer TOKEN", 400, "400 Bad Request: invalid header name"),
		from6750("a header line before the first", "", 401, missing),
	}
	query := from6750("token in the query", "", 401, missing)
	query.line = "GET /?access_token=TOKEN"
	return append(requests, query)
}

// severalTokens show more than one, so that the next server might take another
// one for the client's.
func severalTokens() []hostileRequest {
	const source = "RFC 6750 section 2: no more than one method; GHSA-4mq7-pvjg-xp2r (Oathkeeper): one token passed for another"
	several := refusedWith("Multiple access tokens")
	return []hostileRequest{
		{"two headers", "header.example", "", "Authorization: Bearer TOKEN\r\nAuthorization: Bearer TOKEN", 400, several, source},
		{"two headers in two cases", "header.example", "", "authorization: Bearer TOKEN\r\nAUTHORIZATION: Bearer x", 400, several, source},
		{"two headers, one of another scheme", "header.example", "", "Authorization: Basic eA==\r\nAuthorization: Bearer TOKEN", 400, several, source},
		{"two headers, one empty", "header.example", "", "Authorization: \r\nAuthorization: Bearer TOKEN", 400, several, source},
		{"two cookies", "places.example", "", "Cookie: session=TOKEN; session=TOKEN", 400, several, source},
		{"two cookies in two lines", "places.example", "", "Cookie: session=TOKEN\r\nCookie: session=x", 400, several, source},
		{"two parameters", "places.example", "GET /?access_token=TOKEN&access_token=TOKEN", "", 400, several, source},
		{"two parameters, one in capitals of the encoding", "places.example", "GET /?access_token=TOKEN&%61ccess_token=x", "", 400, several, source},
		{"header and query", "places.example", "GET /?access_token=x", "Authorization: Bearer TOKEN", 400, several, source},
		{"cookie and query", "places.example", "GET /?access_token=TOKEN", "Cookie: session=TOKEN", 400, several, source},
		{"a bad header before a good cookie", "places.example", "", "Authorization: Bearer x.y.z\r\nCookie: session=TOKEN", 401, refusedWith("Invalid token"), source},
		{"a cookie from a page of another origin", "places.example", "POST /", "Cookie: session=TOKEN\r\nOrigin: https://evil.example\r\nContent-Length: 0", 403, refusedWith("Cross-origin request refused"), "CWE-352"},
		{"a cookie from a page without an origin", "places.example", "POST /", "Cookie: session=TOKEN\r\nOrigin: null\r\nContent-Length: 0", 403, refusedWith("Cross-origin request refused"), "CWE-352"},
		{"a cookie from another site, as the browser says", "places.example", "POST /", "Cookie: session=TOKEN\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 0", 403, refusedWith("Cross-origin request refused"), "CWE-352"},
		{"a cookie in a WebSocket handshake from another origin", "places.example", "", "Cookie: session=TOKEN\r\nOrigin: https://evil.example\r\nUpgrade: websocket", 403, refusedWith("Cross-origin request refused"), "CWE-1385"},
	}
}

// methodRequests come without a token in all the forms that a request has.
func methodRequests() []hostileRequest {
	const source = "RFC 9110 section 9; CVE-2026-34457 (oauth2-proxy): requests of some kinds were let through"
	missing := refusedWith("Authorization header is missing")
	var requests []hostileRequest
	for _, line := range []string{
		"GET /", "HEAD /", "POST /", "PUT /", "DELETE /", "PATCH /", "OPTIONS /", "TRACE /", "CONNECT header.example:443", "PROPFIND /", "get /", "FOO /",
		"GET http://header.example/", "GET //x", "GET /.well-known/oauth-protected-resource", "GET /favicon.ico", "GET /robots.txt", "GET /?a=b#c",
	} {
		body := missing
		if strings.HasPrefix(line, "HEAD") {
			body = ""
		}
		requests = append(requests, hostileRequest{line, "header.example", line, "Content-Length: 0", 401, body, source})
	}
	bypass := func(name, lines, source string) hostileRequest {
		return hostileRequest{name, "header.example", "", lines, 401, missing, source}
	}
	return append(requests,
		hostileRequest{"a preflight that nobody asked to pass", "header.example", "OPTIONS /", "Origin: https://a.example\r\nAccess-Control-Request-Method: GET", 401, missing, "Fetch, CORS preflight"},
		bypass("the User-Agent of a health check", "User-Agent: GoogleHC/1.0", "CVE-2026-34457 (oauth2-proxy)"),
		bypass("X-Forwarded-Uri of a public path", "X-Forwarded-Uri: /public\r\nX-Forwarded-Method: OPTIONS", "CVE-2026-40575 (oauth2-proxy)"),
		bypass("X-Original-URL", "X-Original-URL: /public\r\nX-Rewrite-URL: /public", "CVE-2026-40575 (oauth2-proxy)"),
		bypass("x-envoy-original-path", "x-envoy-original-path: /public", "CVE-2023-27487 (Envoy)"),
		bypass("X-Forwarded-Prefix", "X-Forwarded-Prefix: /public", "GHSA-6384-m2mw-rf54 (Traefik)"),
		bypass("X-Forwarded-For of this machine", "X-Forwarded-For: 127.0.0.1\r\nX-Real-Ip: 127.0.0.1\r\nForwarded: for=127.0.0.1", "CVE-2024-21494 (caddy-security)"),
		bypass("X-Forwarded-Proto with markup", "X-Forwarded-Proto: javascript\r\nX-Forwarded-Host: evil.example", "CVE-2024-21499, CVE-2024-21498 (caddy-security); GHSA-vhr5-ggp3-qq85 (Oathkeeper)"),
		bypass("X-HTTP-Method-Override", "X-HTTP-Method-Override: OPTIONS", "RFC 9110 section 9"),
		bypass("Connection that names Authorization", "Connection: close, Authorization", "CVE-2024-45410 (Traefik)"),
	)
}

// pathRequests try to reach /admin without a token under another name.
func pathRequests() []hostileRequest {
	missing := refusedWith("Authorization header is missing")
	request := func(target string, admin bool, source string) hostileRequest {
		r := hostileRequest{"path " + target, "paths.example", "GET " + target, "", 200, "public", source}
		if admin {
			r.status, r.body = 401, missing
		}
		return r
	}
	const dots, slashes = "CVE-2019-9901 (Envoy), GHSA-p224-6x5r-fjpm (Oathkeeper)", "CVE-2021-29492 (Envoy)"
	return []hostileRequest{
		request("/admin", true, "control"),
		request("/admin/", true, dots),
		request("/ADMIN", true, "CVE-2026-27588 (Caddy): case of what is matched"),
		request("/%61dmin", true, "RFC 3986 section 6.2.2.2"),
		request("//admin", true, slashes),
		request("/./admin", true, dots),
		request("/x/../admin", true, dots),
		request("/x/%2e%2e/admin", true, dots),
		request("/x/..%2fadmin", true, slashes),
		request("/admin%2fx", true, slashes),
		request("/admin%5cx", true, slashes),
		request("/admin;x=1", true, dots),
		request("/admin/..;/admin", true, dots),
		request("/admin%00", true, "CWE-158"),
		request("/admin?x=/public", true, "GHSA-7rh7-c77v-6434 (oauth2-proxy): the query took part in matching"),
		request("/admin%3fx", true, "GHSA-7rh7-c77v-6434 (oauth2-proxy)"),
		request("/admin%23x", true, "CVE-2026-41059 (oauth2-proxy)"),
		request("/%2561dmin", false, "CWE-174: decoded once, it is no path of the site's"),
		request("/x/admin", false, dots),
		request("/admi%6e%2f..%2fpublic", true, slashes+": to Caddy it is /public, to a service that decodes once it is below /admin"),
	}
}

// identityRequests bring a header along that only this module may set.
func identityRequests() []hostileRequest {
	const spelled = "CVE-2025-64484 (oauth2-proxy), GHSA-f59h-q822-g45g (Caddy): underscores and dashes are one to CGI"
	request := func(name, lines, want, source string) hostileRequest {
		return hostileRequest{name, "identity.example", "", lines, 200, want, source}
	}
	const nobody, alice = "user []", "user [user-1]"
	return []hostileRequest{
		request("identity of the client's own", "X-User: admin", nobody, "CVE-2026-44087 (APISIX), GHSA-7r4p-vjf4-gxv4 (Caddy)"),
		request("identity in lower case", "x-user: admin", nobody, "RFC 9110 section 5.1"),
		request("identity twice", "X-User: admin\r\nX-User: root", nobody, "GHSA-7r4p-vjf4-gxv4 (Caddy)"),
		request("identity with an underscore", "X_User: admin", nobody, spelled),
		request("identity with an underscore in capitals", "X_USER: admin", nobody, spelled),
		request("identity with a dot", "X.User: admin", nobody, spelled),
		request("identity in several spellings", "X_User: a\r\nX.User: b\r\nX-User: c\r\nx_uSER: d", nobody, spelled),
		request("identity in a trailer", "Transfer-Encoding: chunked\r\nTrailer: X-User\r\n\r\n0\r\nX-User: admin", nobody, "RFC 9110 section 6.5.1"),
		request("identity that is empty", "X-User: ", nobody, "GHSA-7r4p-vjf4-gxv4 (Caddy)"),
		request("identity beside a token", "X-User: admin\r\nAuthorization: Bearer TOKEN", alice, "CVE-2026-44087 (APISIX)"),
		request("identity with an underscore beside a token", "X_User: admin\r\nAuthorization: Bearer TOKEN", alice, spelled),
		request("identity in a trailer beside a token", "Authorization: Bearer TOKEN\r\nTransfer-Encoding: chunked\r\nTrailer: X-User\r\n\r\n0\r\nX-User: admin", alice, "RFC 9110 section 6.5.1"),
		request("identity as a hop of the connection", "Connection: close, X-User\r\nX-User: admin\r\nAuthorization: Bearer TOKEN", alice, "CVE-2024-45410 (Traefik)"),
	}
}

// largeRequests cost the server as little as they cost the client.
func largeRequests() []hostileRequest {
	invalid := refusedWith("Invalid token")
	request := func(name, lines string, status int, body, source string) hostileRequest {
		return hostileRequest{name, "header.example", "", lines, status, body, source}
	}
	return []hostileRequest{
		request("a token of 16 KiB of dots", "Authorization: Bearer "+strings.Repeat(".", 16<<10), 401, invalid, manySegments),
		request("a token of 18 KiB", "Authorization: Bearer "+strings.Repeat("a", 18<<10), 401, invalid, manySegments),
		request("a header beyond Caddy's limit", "Authorization: Bearer "+strings.Repeat("a", 2<<20), 431, "431 Request Header Fields Too Large", "RFC 6585 section 5"),
		request("four hundred headers", strings.Repeat("X-A: b\r\n", 400)+"Authorization: Bearer x", 401, invalid, "CWE-400"),
		request("more headers than Caddy reads", strings.Repeat("X-A: b\r\n", 10_000)+"Authorization: Bearer x", 431, "431 Request Header Fields Too Large", "CWE-400"),
		request("four hundred credentials", strings.Repeat("Authorization: Bearer x\r\n", 400)+"X: y", 400, refusedWith("Multiple access tokens"), "CWE-400"),
		request("ten thousand spaces before the token", "Authorization: Bearer "+strings.Repeat(" ", 10_000)+"x", 401, invalid, "CWE-400"),
	}
}

func TestHostileRequests(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // trailers come behind it
		users := []string{}
		for _, header := range []http.Header{r.Header, r.Trailer} {
			for name, values := range header {
				if fields.Spells(name, fields.FoldHeader("X-User")) {
					users = append(users, values...)
				}
			}
		}
		fmt.Fprint(w, "user ", users)
	}))
	t.Cleanup(upstream.Close)
	sites := strings.ReplaceAll(hostileSites, "UPSTREAM", upstream.Listener.Addr().String())
	server := caddytest.Start(t, "{\n\tlogto_auth {\n\t\tendpoint "+tenant.URL+"\n\t}\n}\n"+sites)
	token := tenant.Token(devtenant.TokenRequest{Subject: "user-1", ClientID: "app-1", Resource: testAPI})
	for _, test := range hostileRequests() {
		line := test.line
		if line == "" {
			line = "GET /"
		}
		lines := test.lines
		if !strings.Contains(lines, "Connection:") {
			lines = "Connection: close\r\n" + lines
		}
		raw := line + " HTTP/1.1\r\nHost: " + test.host + "\r\n" + strings.TrimSuffix(lines, "\r\n") + "\r\n\r\n"
		if got := answered(t, server.Raw(strings.ReplaceAll(raw, "TOKEN", token)), line); got != fmt.Sprintf("%d %s", test.status, test.body) {
			t.Errorf("%s: %.300s, not %d %s", test.name, got, test.status, test.body)
		}
	}
}

// What the requests above change is what makes them hostile.
func TestRequestsThatAreNotHostile(t *testing.T) {
	server, tenant := serve(t, strings.ReplaceAll(hostileSites, "reverse_proxy UPSTREAM", `respond "{http.request.header.X-User}"`))
	token := tenant.Token(devtenant.TokenRequest{Subject: "user-1", ClientID: "app-1", Resource: testAPI})
	visitAll(t, server, []visit{
		{"a token where it belongs", "/", options(caddytest.Header("Host", "header.example"), caddytest.Bearer(token)), 200, "let in"},
		{"the scheme in another case", "/", options(caddytest.Header("Host", "header.example"), caddytest.Header("Authorization", "bEARER "+token)), 200, "let in"},
		{"more spaces", "/", options(caddytest.Header("Host", "header.example"), caddytest.Header("Authorization", "Bearer    "+token)), 200, "let in"},
		{"a cookie", "/", options(caddytest.Header("Host", "places.example"), caddytest.Header("Cookie", "session="+token)), 200, "let in"},
		{"a parameter", "/?access_token=" + token, options(caddytest.Header("Host", "places.example")), 200, "let in"},
		{"header and cookie", "/", options(caddytest.Header("Host", "places.example"), caddytest.Bearer(token), caddytest.Header("Cookie", "session=x")), 200, "let in"},
		{"a path for clients that were let in", "/admin", options(caddytest.Header("Host", "paths.example"), caddytest.Bearer(token)), 200, "secret"},
		{"an identity that was verified", "/", options(caddytest.Header("Host", "identity.example"), caddytest.Bearer(token)), 200, "user-1"},
	})
	folded := server.Raw("GET / HTTP/1.1\r\nHost: header.example\r\nConnection: close\r\nAuthorization: Bearer\r\n " + token + "\r\n\r\n")
	if got := answered(t, folded, "GET /"); got != "200 let in" {
		t.Errorf("a folded line: %s", got)
	}
}

// answered is the status and body of the first answer in the octets.
func answered(t *testing.T, octets, line string) string {
	t.Helper()
	method, _, _ := strings.Cut(line, " ")
	response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(octets)), &http.Request{Method: method})
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", response.StatusCode, body)
}
