package main

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

func TestPageAndMembersSiteAreLinked(t *testing.T) {
	keepEnvironment(t)
	err := withStack(t.Context(), example, func(s *stack) error {
		for from, to := range map[string]string{s.caddy: s.members, s.members: s.caddy} {
			seen, err := s.visitor.open(t.Context(), "http://"+from+"/")
			if err != nil {
				return err
			}
			if seen.status != 200 || !strings.Contains(seen.body, `href="http://`+to+`/"`) {
				t.Errorf("%s has no link to %s: %d %s", from, to, seen.status, seen.body)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestMembersCaddyfileIsFormatted(t *testing.T) {
	octets, err := membersSite.ReadFile("members/Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(octets), "\r\n", "\n")
	if formatted := string(caddyfile.Format([]byte(text))); formatted != text {
		t.Errorf("caddy fmt makes of it:\n%s", formatted)
	}
}

// Templates show a claim as it is, markup included, unless they are told.
func TestMembersPagesEscapeClaims(t *testing.T) {
	keepEnvironment(t)
	err := withStack(t.Context(), example, func(s *stack) error {
		const name = `<script>alert(1)</script> {{env "PATH"}} {env.PATH}`
		s.tenant.AddUser(devtenant.User{ID: "eve", Name: name, Email: `"><script>@example.com`, Roles: []string{"board"}})
		if _, err := signsIn("/profile", "eve")(t.Context(), s); err != nil {
			return err
		}
		for _, path := range []string{"/", "/profile", "/board", "/none"} {
			page, err := s.visitor.open(t.Context(), "http://"+s.members+path)
			if err != nil {
				return err
			}
			if strings.Contains(page.body, "<script") {
				t.Errorf("%s has a script:\n%s", path, page.body)
			}
			shown := strings.Contains(page.body, `&lt;script&gt;alert(1)&lt;/script&gt; {{env &#34;PATH&#34;}} {env.PATH}`)
			if shown != (path != "/none") {
				t.Errorf("%s shows the name: %t\n%s", path, shown, page.body)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
