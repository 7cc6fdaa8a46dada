package tokenendpoint

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxAnswer is far more than Logto's: an ID token with 200 organizations is
// about 10 KiB.
const maxAnswer = 64 << 10

// answer is one with status 200.
type answer struct {
	contentType string
	body        []byte
}

// post sends a form once, whatever happens to it.
//
// net/http repeats a request by itself where it can rewind the body with
// GetBody: over HTTP/2 after REFUSED_STREAM, PROTOCOL_ERROR and a GOAWAY that
// came before the answer, thousands of times within a timeout if the server
// says so each time; over HTTP/1.1 on a kept connection that broke, if nothing
// was written (always, with an Idempotency-Key); and after 307 and 308. It
// trusts servers that say they have not looked at the request. But a proxy
// in front of Logto may say so after Logto has, and the second request then
// ends the grant, with the person's other tabs. Without GetBody it goes on only
// with a body that nothing was read of yet.
func (c *Client) post(ctx context.Context, address string, form url.Values) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, &Error{text: "the address of the endpoint cannot be read"}
	}
	req.GetBody = nil // see above
	req.Header.Set("Authorization", c.authorization)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	// Else net/http asks for gzip and unpacks it: an endless series of empty
	// members has no size that a bound could notice.
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "caddy-logto-auth")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, noAnswer(address, err)
	}
	defer resp.Body.Close() // unread, it closes the connection too
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case resp.StatusCode != http.StatusOK:
		return nil, refusal(address, resp, body)
	case err != nil:
		return nil, broken(address, resp, err)
	case len(body) > maxAnswer:
		return nil, tooLarge(address, resp)
	}
	return &answer{contentType: resp.Header.Get("Content-Type"), body: body}, nil
}
