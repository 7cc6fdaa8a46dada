//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// The app that people sign in to.
const (
	appID     = "web-app"
	appSecret = "a-secret-of-the-web-app-32-chars"
)

// signInLine lets people sign in.
const signInLine = "\t\tsign_in " + appID + " " + appSecret + "\n"

// sessions signs people in, and returns the Cookie header of each.
func sessions(ctx context.Context, tenant *devtenant.Tenant, addr string, people int) ([]string, error) {
	base := "http://" + addr
	tenant.AddApp(devtenant.App{ID: appID, Secret: appSecret, RedirectURIs: []string{base + "/.logto/callback"}})
	cookies := make([]string, 0, people)
	for i := range people {
		user := "user-" + strconv.Itoa(i)
		tenant.AddUser(devtenant.User{ID: user, Permissions: []devtenant.Permission{{Resource: resource, Scopes: []string{"read:products", "write:products"}}}})
		cookie, err := signIn(ctx, base, user)
		if err != nil {
			return nil, fmt.Errorf("signing in: %w", err)
		}
		cookies = append(cookies, "Cookie: "+cookie+"\r\n")
	}
	return cookies, nil
}

var hiddenInput = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)

// signIn signs one person in as a browser does, and returns its cookies.
func signIn(ctx context.Context, base, user string) (string, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return "", err
	}
	browser := &http.Client{Jar: jar, Timeout: time.Minute}
	// send returns where the browser has come to, and what it shows there.
	send := func(method, address string, form url.Values) (at *url.URL, body string, err error) {
		r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
		if err != nil {
			return nil, "", err
		}
		for name, value := range map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"} {
			r.Header.Set(name, value)
		}
		if method == http.MethodPost {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		answer, err := browser.Do(r)
		if err != nil {
			return nil, "", err
		}
		defer func() { _ = answer.Body.Close() }()
		octets, err := io.ReadAll(answer.Body)
		return answer.Request.URL, string(octets), err
	}
	at, body, err := send(http.MethodGet, base+"/products", nil)
	if err != nil {
		return "", err
	}
	if strings.Contains(body, `name="user"`) {
		form := url.Values{"user": {user}}
		for _, input := range hiddenInput.FindAllStringSubmatch(body, -1) {
			form.Set(html.UnescapeString(input[1]), html.UnescapeString(input[2]))
		}
		if at, body, err = send(http.MethodPost, at.String(), form); err != nil {
			return "", err
		}
	}
	if body != "ok" && body != page {
		return "", fmt.Errorf("it ends at %s", at.Redacted())
	}
	site, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	for _, cookie := range jar.Cookies(site) {
		if strings.Contains(cookie.Name, "logto-session") {
			return cookie.Name + "=" + cookie.Value, nil
		}
	}
	return "", errors.New("the site set no cookie")
}
