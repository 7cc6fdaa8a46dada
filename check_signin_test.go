package logtoauth

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// checkCaddyfile checks a config at a tenant with an app.
func checkCaddyfile(t *testing.T, caddyfile, secret string) (code int, report configReport, text string) {
	t.Helper()
	tenant := newPeople(t)
	file := writeCaddyfile(t, strings.NewReplacer("TENANT", tenant.URL, "SIGN_IN", "sign_in "+testApp+" "+secret).Replace(caddyfile))
	code, text, stderr := caddyCommand(t, "", "check", "--config", file)
	if stderr != "" {
		t.Fatalf("%s", stderr)
	}
	again, asJSON, _ := caddyCommand(t, "", "check", "--config", file, "--json")
	if err := json.Unmarshal([]byte(asJSON), &report); err != nil {
		t.Fatal(err)
	}
	if again != code || report.OK != (code == 0) {
		t.Errorf("exit codes %d and, with --json, %d: %s", code, again, asJSON)
	}
	if strings.Contains(text+asJSON, secret) {
		t.Errorf("the secret is shown:\n%s%s", text, asJSON)
	}
	return code, report, text
}

const checkedSite = "www.example.com {\nlogto_auth {\nendpoint TENANT\nSIGN_IN\n}\nrespond ok\n}\n"

func TestCheckOfAnAppAndItsSecret(t *testing.T) {
	for _, test := range []struct {
		name, caddyfile, secret string
		code                    int
		want                    string
	}{
		{"right", checkedSite, appSecret, 0, "app ID and secret      are right\n"},
		{"wrong secret", checkedSite, "another-secret-of-32-characters-", 1, "the app ID or the app secret is wrong (invalid_client)"},
		{"wrong ID", strings.Replace(checkedSite, "SIGN_IN", "sign_in another-app "+appSecret, 1), appSecret, 1, "(invalid_client)"},
		{"no sign_in", strings.Replace(checkedSite, "SIGN_IN", "audience https://api.example.com", 1), appSecret, 0, "Tokens of this tenant can be verified."},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, _, text := checkCaddyfile(t, test.caddyfile, test.secret)
			if code != test.code || !strings.Contains(text, test.want) {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, test.code, test.want, text)
			}
		})
	}
	t.Run("no answer", func(t *testing.T) {
		tenant := newPeople(t)
		tenant.SetTokenFault(devtenant.Status(503))
		file := writeCaddyfile(t, strings.NewReplacer("TENANT", tenant.URL, "SIGN_IN", "sign_in "+testApp+" "+appSecret).Replace(checkedSite))
		tell(t, "", []string{"check", "--config", file}, 1, "answered 503")
	})
}

func TestCheckAsksTheTenantOnceForAnApp(t *testing.T) {
	tenant := newPeople(t)
	sites := checkedSite + strings.Replace(checkedSite, "www.", "docs.", 1)
	file := writeCaddyfile(t, strings.NewReplacer("TENANT", tenant.URL, "SIGN_IN", "sign_in "+testApp+" "+appSecret).Replace(sites))
	tell(t, "", []string{"check", "--config", file}, 0, "https://www.example.com/.logto/callback", "https://docs.example.com/.logto/callback")
	if counts := tenant.Counts(); counts.Token != 1 || counts.Revocation != 0 {
		t.Errorf("%+v", counts)
	}
}

func TestCheckTellsWhatToRegister(t *testing.T) {
	site := func(address, lines string) string {
		return address + " {\nlogto_auth {\nendpoint TENANT\nSIGN_IN {\n" + lines + "\n}\n}\nrespond ok\n}\n"
	}
	for _, test := range []struct {
		name, caddyfile string
		redirect, out   []string
		note            string
	}{
		{"a host", site("www.example.com", ""), []string{"https://www.example.com/.logto/callback"}, []string{"https://www.example.com/.logto/signed-out"}, ""},
		{"a path", site("www.example.com", "path /app/in"), []string{"https://www.example.com/app/in/callback"}, []string{"https://www.example.com/app/in/signed-out"}, ""},
		{"a port", site("www.example.com:8443", ""), []string{"https://www.example.com:8443/.logto/callback"}, []string{"https://www.example.com:8443/.logto/signed-out"}, ""},
		{"behind a proxy", site("http://www.example.com", ""), []string{"https://www.example.com/.logto/callback"}, []string{"https://www.example.com/.logto/signed-out"}, ""},
		{"behind a proxy, another port", site("http://www.example.com:8080", ""), []string{"https://www.example.com/.logto/callback"}, []string{"https://www.example.com/.logto/signed-out"}, "which trusted_proxies must name"},
		{"loopback", site("http://localhost:8080", ""), []string{"http://localhost:8080/.logto/callback"}, []string{"http://localhost:8080/.logto/signed-out"}, ""},
		{"loopback with TLS", site("localhost", ""), []string{"https://localhost/.logto/callback"}, []string{"https://localhost/.logto/signed-out"}, ""},
		{"base_url", site("*.example.com", "base_url https://www.example.com"), []string{"https://www.example.com/.logto/callback"}, []string{"https://www.example.com/.logto/signed-out"}, ""},
		{"signed_out path", site("www.example.com", "signed_out /bye"), []string{"https://www.example.com/.logto/callback"}, []string{"https://www.example.com/bye"}, ""},
		{"signed_out URL", site("www.example.com", "signed_out https://example.com/"), []string{"https://www.example.com/.logto/callback"}, []string{"https://example.com/"}, ""},
		{"a pattern", site("*.example.com", ""), nil, nil, "set base_url, or register one URI for each host"},
		{"all hosts", site(":8080", ""), nil, nil, "set base_url, or register one URI for each host"},
		{"base_url elsewhere", site("a.example.com", "base_url https://b.example.com"), []string{"https://b.example.com/.logto/callback"}, []string{"https://b.example.com/.logto/signed-out"}, "are sent to https://b.example.com first"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, report, text := checkCaddyfile(t, test.caddyfile, appSecret)
			if code != 0 || len(report.SignIns) != 1 || len(report.SignIns[0].Sites) != 1 {
				t.Fatalf("exit code %d:\n%s", code, text)
			}
			got := report.SignIns[0].Sites[0]
			if strings.Join(got.RedirectURIs, " ") != strings.Join(test.redirect, " ") || strings.Join(got.PostSignOutURIs, " ") != strings.Join(test.out, " ") {
				t.Errorf("%+v", got)
			}
			for _, want := range append([]string{test.note}, append(test.redirect, test.out...)...) {
				if !strings.Contains(text, want) {
					t.Errorf("it does not tell %q:\n%s", want, text)
				}
			}
		})
	}
	t.Run("two hosts", func(t *testing.T) {
		_, report, _ := checkCaddyfile(t, site("a.example.com, b.example.com", ""), appSecret)
		if len(report.SignIns[0].Sites) != 2 {
			t.Errorf("%+v", report.SignIns[0].Sites)
		}
	})
	// A browser asks each port for itself, and Logto for each redirect URI.
	t.Run("two ports", func(t *testing.T) {
		caddyfile := site("http://localhost:8080", "") + strings.Replace(site("http://localhost:8081", "signed_out /bye"), "logto_auth", "redir /.logto/* /x\nlogto_auth", 1)
		code, report, text := checkCaddyfile(t, caddyfile, appSecret)
		if sites := report.SignIns[0].Sites; code != 1 || len(sites) != 2 || len(sites[0].Obstacles) != 0 || len(sites[1].Obstacles) != 1 {
			t.Errorf("exit code %d: %+v", code, sites)
		}
		for _, want := range []string{"http://localhost:8080/.logto/callback", "http://localhost:8081/.logto/callback", "http://localhost:8081/bye"} {
			if !strings.Contains(text, want+"\n") {
				t.Errorf("it does not tell %q:\n%s", want, text)
			}
		}
	})
}

// Logto itself, and no browser, calls the URI of the back-channel logout.
func TestCheckTellsTheBackChannelLogoutURI(t *testing.T) {
	site := func(address, lines string) string {
		return address + " {\nlogto_auth {\nendpoint TENANT\nSIGN_IN {\n" + lines + "\n}\n}\nrespond ok\n}\n"
	}
	for _, test := range []struct {
		name, caddyfile, want string // divided by blanks
	}{
		{"a host", site("www.example.com", ""), "https://www.example.com/.logto/back-channel-logout"},
		{"a path", site("www.example.com", "path /app/in"), "https://www.example.com/app/in/back-channel-logout"},
		{"a port", site("www.example.com:8443", ""), "https://www.example.com:8443/.logto/back-channel-logout"},
		{"two hosts", site("a.example.com, b.example.com", ""), "https://a.example.com/.logto/back-channel-logout https://b.example.com/.logto/back-channel-logout"},
		{"behind a proxy", site("http://www.example.com:8080", ""), "https://www.example.com/.logto/back-channel-logout"},
		{"loopback", site("http://localhost:8080", ""), "http://localhost:8080/.logto/back-channel-logout"},
		{"base_url", site("*.example.com", "base_url https://www.example.com"), "https://www.example.com/.logto/back-channel-logout"},
		{"base_url elsewhere", site("a.example.com", "base_url https://b.example.com"), "https://a.example.com/.logto/back-channel-logout"},
		{"a pattern", site("*.example.com", ""), "https://<host>/.logto/back-channel-logout"},
		{"all hosts", site(":8080", ""), "https://<host>/.logto/back-channel-logout"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, report, text := checkCaddyfile(t, test.caddyfile, appSecret)
			var got []string
			for _, site := range report.SignIns[0].Sites {
				got = append(got, site.BackChannelLogoutURIs...)
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("%q", got)
			}
			for _, uri := range got {
				if !strings.Contains(text, "\n    back-channel logout  "+uri+"\n") {
					t.Errorf("it does not tell %s:\n%s", uri, text)
				}
			}
			for sentence, want := range map[string]bool{
				"Logto calls it, not a browser.":         true,
				"choose one of these":                    len(got) > 1,
				"OIDC_PROVIDER_SSRF_PROTECTION_DISABLED": test.name == "loopback",
			} {
				if strings.Contains(text, sentence) != want {
					t.Errorf("it tells %q: %t\n%s", sentence, !want, text)
				}
			}
		})
	}
}

func TestCheckTellsWhatKeepsTheEndpoints(t *testing.T) {
	const auth = "logto_auth {\nendpoint TENANT\nSIGN_IN\n}\n"
	for _, test := range []struct {
		name, lines string
		code        int
		want        string
	}{
		{"nothing", "redir /old /new\n" + auth + "try_files {path} /index.html\nfile_server", 0, "redirect URI"},
		{"redir", "redir https://example.com{uri}\n" + auth, 1, "the endpoints below /.logto are not reached: redir answers"},
		{"redir of the path", "redir /.logto/* /x\n" + auth, 1, "redir (path /.logto/*) answers"},
		{"redir that depends", "@mobile header User-Agent *Mobile*\nredir @mobile https://m.example.com\n" + auth, 1, "not every request for /.logto/callback is answered: it depends on whether the request matches header User-Agent *Mobile*\n"},
		{"try_files", "root * /srv\ntry_files {path} =404\n" + auth + "file_server", 1, "try_files … =404 may answer /.logto/callback before logto_auth does: move it behind logto_auth, for example into a handle\n"},
		{"try_files in a handle", "root * /srv\n" + auth + "handle {\ntry_files {path} =404\nfile_server\n}", 0, "redirect URI"},
		{"a foreign handle", "handle /.logto/* {\nrespond no\n}\nhandle {\n" + auth + "}", 1, "respond (path /.logto/*) answers"},
		{"in a handle", "handle /app/* {\n" + auth + "}\nrespond no", 1, "are not reached: respond answers"},
		{"in a handle, nothing else", "handle /app/* {\n" + auth + "}", 1, "are not reached: nothing leads there"},
		{"error", "error /.logto/* 403\n" + auth, 0, ""}, // Caddy orders it behind us
		{"with a matcher", strings.Replace(auth, "logto_auth", "logto_auth /members*", 1) + "respond ok", 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, _, text := checkCaddyfile(t, "www.example.com {\n"+test.lines+"\n}\n", appSecret)
			if code != test.code || !strings.Contains(text, test.want) {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, test.code, test.want, text)
			}
		})
	}
}

func TestCheckOfAConfigRefusesWrongUse(t *testing.T) {
	file := writeCaddyfile(t, "www.example.com {\nrespond ok\n}\n")
	tell(t, "", []string{"check", "--config", file}, exitUsage, "the config has no logto_auth")
	tell(t, "", []string{"check", "--config", file, "--endpoint", "https://a.example"}, exitUsage, "--endpoint does not go together with --config")
	tell(t, "", []string{"check", "--config", file + "x"}, exitUsage, "reading the config")
	tell(t, "", []string{"check"}, exitUsage, "--endpoint", "--config")
}
