package logtoauth

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"golang.org/x/term"

	"github.com/caddy-logto/caddy-logto-auth/internal/jsonobject"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
)

// maxTokenInput is enough for the largest token and whatever stands around it.
const maxTokenInput = 4 * maxTokenSize

// readToken reads a token as people have it at hand: bare, with the scheme or
// the header's name before it, or in the JSON of a token endpoint. The notes
// tell what was left out, and what looks wrong.
func readToken(in io.Reader, prompt func(...any)) (token string, notes []string, err error) {
	var input []byte
	if file, ok := in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		prompt("Paste the token and press Enter: ")
		input, err = bufio.NewReader(in).ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			err = nil
		}
	} else {
		input, err = io.ReadAll(io.LimitReader(in, maxTokenInput))
	}
	if err != nil {
		return "", nil, fmt.Errorf("reading standard input: %w", err)
	}
	token = strings.TrimSpace(strings.TrimPrefix(string(input), "\ufeff"))
	var response struct {
		AccessToken string `json:"access_token"`
	}
	if json.Unmarshal([]byte(token), &response) == nil && response.AccessToken != "" {
		token = response.AccessToken
		notes = append(notes, "the token is access_token of the JSON that was read")
	}
	if name, value, ok := strings.Cut(token, ":"); ok && strings.EqualFold(name, defaultSourceHeader) {
		token = strings.TrimSpace(value)
	}
	token, _ = bearerToken(token)
	if unquoted := strings.Trim(token, `"'`); unquoted != token {
		token = unquoted
		notes = append(notes, "the quotes around the token were left out")
	}
	if token == "" {
		return "", nil, errors.New("there is no token on standard input; pipe it into the command")
	}
	if strings.ContainsAny(token, " \t\r\n") {
		notes = append(notes, "the token holds white space, which no token does: was it wrapped over several lines when it was copied?")
	}
	return token, notes, nil
}

// readConfig reads a config and adapts it to JSON. Without a name it is the
// Caddyfile of the current directory; without an adapter the file's name tells
// which one, and whatever is no JSON is taken for a Caddyfile.
func readConfig(name, adapter string) ([]byte, error) {
	if name == "" {
		name = "Caddyfile"
	}
	config, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the config: %w", err)
	}
	if adapter == "" && filepath.Ext(name) != ".json" && !json.Valid(config) {
		adapter = "caddyfile"
	}
	if adapter != "" {
		adapts := caddyconfig.GetAdapter(adapter)
		if adapts == nil {
			return nil, fmt.Errorf("there is no config adapter %q", adapter)
		}
		if config, _, err = adapts.Adapt(config, map[string]any{"filename": name}); err != nil {
			return nil, fmt.Errorf("%s does not adapt: %w", name, err)
		}
	}
	if !json.Valid(config) {
		return nil, fmt.Errorf("%s is not valid JSON; if it is in another format, name the --adapter", name)
	}
	return caddy.RemoveMetaFields(config), nil
}

// parseQuestion makes a request of the flags, or nil of none.
func parseQuestion(address, method string) (*http.Request, error) {
	if address == "" {
		if method != "" {
			return nil, errors.New("--method needs --url")
		}
		return nil, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("--url %q is not an address like https://api.example.com/products", address)
	}
	if method == "" {
		method = http.MethodGet
	}
	// What a server makes of it: a method with its case, a path that is never
	// empty, no fragment.
	u.Fragment, u.RawFragment = "", ""
	if u.Path == "" {
		u.Path = "/"
	}
	r, err := http.NewRequest(strings.ToUpper(method), u.String(), http.NoBody) //nolint:noctx // the question gives it one
	if err != nil {
		return nil, fmt.Errorf("--method: %w", err)
	}
	r.RequestURI = u.RequestURI()
	r.RemoteAddr = "127.0.0.1:1"
	if u.Scheme == "https" {
		r.TLS = new(tls.ConnectionState)
	}
	return r, nil
}

// parseTime reads --at: RFC 3339, or seconds since 1970 as in a token.
func parseTime(text string) (time.Time, error) {
	if unix, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(unix, 0), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("--at %q is neither like 2026-01-31T12:00:00Z nor seconds since 1970", text)
	}
	return at, nil
}

// keysFromFile replaces what the settings of a logto_auth say of the tenant by
// a file of its keys, for use without network. The accepted issuers stay.
func keysFromFile(settings map[string]json.RawMessage, path string) error {
	var tenant struct {
		Endpoint string   `json:"endpoint"`
		Issuers  []string `json:"issuers"`
	}
	all, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(all, &tenant); err != nil {
		return err
	}
	if len(tenant.Issuers) == 0 {
		endpoint, err := caddy.NewReplacer().ReplaceOrErr(tenant.Endpoint, true, true)
		if err != nil {
			return fmt.Errorf("endpoint: %w", err)
		}
		tenant.Issuers = []string{keys.Config{Endpoint: keys.NormalizeEndpoint(endpoint)}.EndpointIssuer()}
	}
	for name, value := range map[string]any{"jwks_file": path, "issuers": tenant.Issuers} {
		if settings[name], err = json.Marshal(value); err != nil {
			return err
		}
	}
	delete(settings, "endpoint")
	delete(settings, "jwks_uri")
	return nil
}

// shownToken is what may be shown of a token: all but its signature.
type shownToken struct {
	Header json.RawMessage `json:"header,omitempty"`
	Claims json.RawMessage `json:"claims,omitempty"`
}

// showToken takes a token apart for people to read. What is not JSON is not
// shown: it may be another secret.
func showToken(token string) shownToken {
	if len(token) > maxTokenSize {
		return shownToken{}
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return shownToken{}
	}
	return shownToken{Header: readableSegment(parts[0]), Claims: readableSegment(parts[1])}
}

// readableSegment decodes a part of a token for people, signed or not: JSON, or
// nothing.
func readableSegment(segment string) json.RawMessage {
	decoded, ok := decodeSegment(segment)
	if !ok {
		return nil
	}
	if _, ok := jsonobject.Parse(decoded); !ok {
		return nil
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(decoded), "", "  "); err != nil {
		return nil
	}
	// JSON escapes the control characters of ASCII, but not the others.
	return json.RawMessage(legible.Lines(indented.String()))
}
