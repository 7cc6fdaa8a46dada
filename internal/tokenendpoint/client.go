package tokenendpoint

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

// revocationTimeout is how long a sign-out waits for the tenant at most.
const revocationTimeout = 2 * time.Second

// Config is what a client needs. All of it is mandatory.
type Config struct {
	// TokenURL and RevocationURL are the tenant's endpoints.
	TokenURL, RevocationURL string
	// ClientID and ClientSecret are the app's.
	ClientID, ClientSecret string
	// Timeout bounds one exchange or refresh. A revocation has its own bound.
	Timeout time.Duration
}

// Client sends the requests of one app to one tenant. All methods may be
// called concurrently. Their errors are of type [*Error].
type Client struct {
	config        Config
	authorization string
	http          *http.Client
}

// New returns a client that uses the connections of another, and nothing else
// of it: neither its redirect policy nor its cookies.
func New(connections *http.Client, config Config) *Client {
	return &Client{
		config:        config,
		authorization: basicAuthorization(config.ClientID, config.ClientSecret),
		http: &http.Client{
			Transport: connections.Transport,
			// A redirect of 307 or 308 would send the code once more, another one
			// the app's secret to whatever path of the host the answer names.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// basicAuthorization is client_secret_basic. Both halves are encoded as in a
// form first (RFC 6749 section 2.3.1), which http.Request.SetBasicAuth does not
// do: a secret with `%` or `+` would be another one to Logto, and an ID with
// `:` would end early.
func basicAuthorization(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// Code is what an exchange sends.
type Code struct {
	Code        string
	RedirectURI string
	// Verifier is that of PKCE (RFC 7636).
	Verifier string
	// Resource must have been in the authorization request too, else Logto
	// refuses it. If empty, the access token is opaque.
	Resource string
}

// Exchange turns a code into tokens. It sends one request, and never repeats
// it: a code that comes twice ends the grant.
func (c *Client) Exchange(ctx context.Context, code Code) (Tokens, error) {
	form := url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {code.Code},
		"redirect_uri":  {code.RedirectURI},
		"code_verifier": {code.Verifier},
	}
	setUnlessEmpty(form, "resource", code.Resource)
	return c.tokens(ctx, form)
}

// Refresh turns a refresh token into tokens for a target. It sends one request,
// and never repeats it: a refresh token that was rotated and comes again ends
// the grant. It sends no scope: then an ID token comes back, whose `sub` can be
// compared.
func (c *Client) Refresh(ctx context.Context, request session.RefreshRequest) (Tokens, error) {
	form := url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {request.RefreshToken},
	}
	setUnlessEmpty(form, "resource", request.Target.Resource)
	setUnlessEmpty(form, "organization_id", request.Target.Organization)
	return c.tokens(ctx, form)
}

// setUnlessEmpty leaves a parameter out where Logto would take an empty one for
// a resource or organization that it does not know.
func setUnlessEmpty(form url.Values, name, value string) {
	if value != "" {
		form.Set(name, value)
	}
}

func (c *Client) tokens(ctx context.Context, form url.Values) (Tokens, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	got, err := c.post(ctx, c.config.TokenURL, form)
	if err != nil {
		return Tokens{}, err
	}
	tokens, err := parseTokens(got.body)
	if err != nil {
		return Tokens{}, got.unusable(c.config.TokenURL, err)
	}
	return tokens, nil
}

// Revoke ends a refresh token (RFC 7009), and with it at Logto all of the
// app's grant in that browser. It returns nil only if the tenant confirmed
// that, and waits for two seconds at most: a sign-out goes on without it.
func (c *Client) Revoke(ctx context.Context, refreshToken string) error {
	ctx, cancel := context.WithTimeout(ctx, revocationTimeout)
	defer cancel()
	_, err := c.post(ctx, c.config.RevocationURL, url.Values{
		"token": {refreshToken}, "token_type_hint": {"refresh_token"},
	})
	return err
}
