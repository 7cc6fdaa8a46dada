package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// pressSend does what the page's button does.
func pressSend(t *testing.T, s *stack, form url.Values, header http.Header) (status int, came outcome) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.caddy+"/demo/send", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header.Clone()
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode == http.StatusOK {
		if err := json.Unmarshal(body, &came); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
	}
	return response.StatusCode, came
}

func formOf(host string, c check) url.Values {
	method := c.method
	if method == "" {
		method = http.MethodGet
	}
	return url.Values{"method": {method}, "host": {host}, "path": {c.path}, "token": {c.token}}
}

// What the guide has a curl line for, the page can do.
func TestPageGetsTheAnswersThatTheGuideTells(t *testing.T) {
	keepEnvironment(t)
	err := withStack(t.Context(), example, func(s *stack) error {
		for _, section := range sections {
			if section.onlyCheck != "" {
				continue
			}
			for _, check := range section.checks {
				status, came := pressSend(t, s, formOf(section.host, check), http.Header{"Sec-Fetch-Site": {"same-origin"}})
				if got := (answer{came.Status, came.Body, came.Challenge}); status != http.StatusOK || got != check.want {
					t.Errorf("%s: %d %v, want %v", check.name, status, got, check.want)
				}
				if refused := check.want.status >= 400; (came.Reason != "") != refused || (came.Hint != "") != refused {
					t.Errorf("%s: the reason of %d is %q, the hint %q", check.name, came.Status, came.Reason, came.Hint)
				}
				if came.Curl != curlLine(s, section.host, check) {
					t.Errorf("%s: the curl line is %s", check.name, came.Curl)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPageSendsNothingElse(t *testing.T) {
	keepEnvironment(t)
	sameOrigin := http.Header{"Sec-Fetch-Site": {"same-origin"}}
	good := check{path: "/api/protected", token: "alice"}
	err := withStack(t.Context(), example, func(s *stack) error {
		for name, test := range map[string]struct {
			form   url.Values
			header http.Header
			want   int
		}{
			"what is on it":          {formOf("", good), sameOrigin, http.StatusOK},
			"another path":           {formOf("", check{path: "/api/other", token: "alice"}), sameOrigin, http.StatusBadRequest},
			"another host":           {formOf("elsewhere.example", good), sameOrigin, http.StatusBadRequest},
			"another token":          {formOf("", check{path: "/api/protected", token: "../client"}), sameOrigin, http.StatusBadRequest},
			"from another site":      {formOf("", good), http.Header{"Sec-Fetch-Site": {"cross-site"}}, http.StatusForbidden},
			"from an unknown origin": {formOf("", good), http.Header{"Origin": {"http://elsewhere.example"}}, http.StatusForbidden},
		} {
			if got, _ := pressSend(t, s, test.form, test.header); got != test.want {
				t.Errorf("%s: %d, want %d", name, got, test.want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The page is at the root of one host; the rest of the example is untouched.
func TestPageTakesNothingFromTheExample(t *testing.T) {
	keepEnvironment(t)
	err := withStack(t.Context(), example, func(s *stack) error {
		for _, host := range []string{"org.localhost", "acme.app.localhost", "elsewhere.example"} {
			got, err := send(t.Context(), s, host, check{path: "/"}, "")
			if err != nil {
				return err
			}
			if got.status != http.StatusUnauthorized {
				t.Errorf("%s/ answers %v", host, got)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
