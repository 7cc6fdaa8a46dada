package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

func TestGuideBeginsWithTheMembersSite(t *testing.T) {
	keepEnvironment(t)
	err := withStack(t.Context(), exampleCaddyfile, "ERROR", func(s *stack) error {
		var out strings.Builder
		if err := printGuide(&out, s); err != nil {
			return err
		}
		address := regexp.MustCompile(`^Open +(http://\S+) in a browser`).FindStringSubmatch(out.String())
		if address == nil {
			t.Fatalf("it begins otherwise:\n%s", out.String())
		}
		page, err := s.visitor.open(t.Context(), address[1])
		if err != nil {
			return err
		}
		if page.status != 200 || !strings.Contains(page.body, "as Alice") {
			t.Errorf("%s answers %d %s", address[1], page.status, page.body)
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
	err := withStack(t.Context(), exampleCaddyfile, "ERROR", func(s *stack) error {
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
