//go:build e2e

package oidc

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/e2e/internal/npm"
)

const (
	api         = "https://api.example.com"
	redirectURI = "https://app.example.com/callback"
)

// provider is a running provider.mjs.
type provider struct {
	Endpoint string `json:"endpoint"`
	Issuer   string `json:"issuer"`

	program *npm.Program
}

// startProvider starts the provider for the time of the test.
func startProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{program: npm.Start(t, "provider.mjs")}
	p.read(t, p)
	return p
}

// read decodes the provider's next line.
func (p *provider) read(t *testing.T, into any) {
	t.Helper()
	line := p.program.ReadLine(t)
	if err := json.Unmarshal([]byte(line), into); err != nil {
		t.Fatalf("the provider said %q: %v", line, err)
	}
}

// rotate makes the provider sign with a new key, from its answer on.
func (p *provider) rotate(t *testing.T, algorithm string) {
	t.Helper()
	command, err := json.Marshal(map[string]string{"rotate": algorithm})
	if err != nil {
		t.Fatal(err)
	}
	p.program.WriteLine(t, string(command))
	var answer map[string]string
	p.read(t, &answer)
	if answer["rotated"] != algorithm {
		t.Fatalf("rotating to %s: %v", algorithm, answer)
	}
}

// grant is what the token endpoint answers.
type grant struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	IDToken      string `json:"id_token"`
	Error        string `json:"error"`
}

// token asks the token endpoint.
func (p *provider) token(t *testing.T, form url.Values) grant {
	t.Helper()
	response, err := http.PostForm(p.Issuer+"/token", form)
	if err != nil {
		t.Fatalf("asking for a token: %v", err)
	}
	defer response.Body.Close()
	var answer grant
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatalf("decoding the token response: %v", err)
	}
	return answer
}

// machineToken is a client credentials grant. Parameters that are empty are
// left out.
func (p *provider) machineToken(t *testing.T, resource, organization, scope string) grant {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"machine"}, "client_secret": {"machine-secret"}}
	setIfAny(form, map[string]string{"resource": resource, "organization_id": organization, "scope": scope})
	return p.token(t, form)
}

// signIn is an authorization code grant with PKCE, as a browser application
// does it for the user alice. It asks for the API and for the organization
// acme, and gets the token of the API.
func (p *provider) signIn(t *testing.T) grant {
	t.Helper()
	verifier := rand.Text() + rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	query := url.Values{
		"client_id": {"browser"}, "response_type": {"code"}, "redirect_uri": {redirectURI}, "prompt": {"consent"},
		"scope":          {"openid offline_access read:products write:orders read:members"},
		"resource":       {api, "urn:logto:organization:acme"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), redirectURI) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	response, err := browser.Get(p.Issuer + "/auth?" + query.Encode())
	if err != nil {
		t.Fatalf("signing in: %v", err)
	}
	response.Body.Close()
	callback, err := response.Location()
	if err != nil {
		t.Fatalf("the sign-in ended with %s at %s: %v", response.Status, response.Request.URL, err)
	}
	code := callback.Query().Get("code")
	if code == "" {
		t.Fatalf("no code: %s", callback.RawQuery)
	}
	return p.token(t, url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"browser"}, "redirect_uri": {redirectURI},
		"code": {code}, "code_verifier": {verifier}, "resource": {api},
	})
}

// refresh is how a user's client gets the tokens of other models. Each refresh
// token is good for one use; the next one is put in its place.
func (p *provider) refresh(t *testing.T, user *grant, resource, organization string) grant {
	t.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "client_id": {"browser"}, "refresh_token": {user.RefreshToken}}
	setIfAny(form, map[string]string{"resource": resource, "organization_id": organization})
	answer := p.token(t, form)
	user.RefreshToken = answer.RefreshToken
	return answer
}

func setIfAny(form url.Values, parameters map[string]string) {
	for name, value := range parameters {
		if value != "" {
			form.Set(name, value)
		}
	}
}
