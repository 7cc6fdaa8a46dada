package tokenendpoint

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestParseTokens(t *testing.T) {
	good := Tokens{AccessToken: "a", IDToken: "i", RefreshToken: "r"}
	for body, test := range map[string]struct {
		want Tokens
		err  error // errors.New("") is any
	}{
		`{"access_token":"a","id_token":"i","refresh_token":"r","token_type":"Bearer","expires_in":3600,"scope":""}`: {good, nil},
		" \r\n\t{\"token_type\" : \"bearer\",\"access_token\":\"\\u0061\"} \n":                                       {Tokens{AccessToken: "a"}, nil},
		`{"access_token":"a","token_type":"BEARER","refresh_token":null,"id_token":""}`:                              {Tokens{AccessToken: "a"}, nil},
		`{"access_token":"a.b-c_~+/=","token_type":"Bearer"}`:                                                        {Tokens{AccessToken: "a.b-c_~+/="}, nil},

		// What is not read cannot be wrong.
		`{"access_token":"a","token_type":"Bearer","expires_in":-1}`:                               {Tokens{AccessToken: "a"}, nil},
		`{"access_token":"a","token_type":"Bearer","expires_in":1e400}`:                            {Tokens{AccessToken: "a"}, nil},
		`{"access_token":"a","token_type":"Bearer","expires_in":"3600"}`:                           {Tokens{AccessToken: "a"}, nil},
		`{"access_token":"a","token_type":"Bearer","expires_in":{"a":[1]}}`:                        {Tokens{AccessToken: "a"}, nil},
		`{"access_token":"a","token_type":"Bearer","scope":7,"error":"invalid_grant"}`:             {Tokens{AccessToken: "a"}, nil},
		`{"access_token":"a","token_type":"Bearer","ID_TOKEN":"i","Refresh_Token":"r","ſcope":""}`: {Tokens{AccessToken: "a"}, nil},

		// One that stands twice counts the last time, whatever came before.
		`{"access_token":"a","access_token":"b","token_type":"DPoP","token_type":"Bearer"}`: {Tokens{AccessToken: "b"}, nil},
		`{"access_token":"a","access_\u0074oken":"","token_type":"Bearer"}`:                 {Tokens{}, errNoToken},
		`{"access_token":"a","token_type":"Bearer","token_type":"DPoP"}`:                    {Tokens{}, errNoBearer},
		`{"access_token":1,"access_token":"b","token_type":"Bearer"}`:                       {Tokens{AccessToken: "b"}, nil},

		`{"token_type":"Bearer"}`:                                    {Tokens{}, errNoToken},
		`{"access_token":"","token_type":"Bearer"}`:                  {Tokens{}, errNoToken},
		`{"access_token":null,"token_type":"Bearer","id_token":"i"}`: {Tokens{}, errNoToken},
		`{"ACCESS_TOKEN":"a","token_type":"Bearer"}`:                 {Tokens{}, errNoToken},
		`{"error":"invalid_grant"}`:                                  {Tokens{}, errNoToken},
		`{}`:                                                         {Tokens{}, errNoToken},
		`{"access_token":"a"}`:                                       {Tokens{}, errNoBearer},
		`{"access_token":"a","token_type":null}`:                     {Tokens{}, errNoBearer},
		`{"access_token":"a","token_type":""}`:                       {Tokens{}, errNoBearer},
		`{"access_token":"a","token_type":"DPoP"}`:                   {Tokens{}, errNoBearer},
		`{"access_token":"a","token_type":"N_A"}`:                    {Tokens{}, errNoBearer},
		`{"access_token":"a","token_type":"Bearer "}`:                {Tokens{}, errNoBearer},
		`{"access_token":"a","token_type":["Bearer"]}`:               {Tokens{}, errNoBearer},
		`{"access_token":"a","token_type":"Bearer"}x`:                {Tokens{}, errNoObject},
		`{"access_token":"a","token_type":"Bearer"}{}`:               {Tokens{}, errNoObject},
		`{"access_token":"a","token_type":"Bearer",}`:                {Tokens{}, errNoObject},
		`{"access_token":"a","token_type":"Bearer"`:                  {Tokens{}, errNoObject},
		"\ufeff{\"access_token\":\"a\",\"token_type\":\"Bearer\"}":   {Tokens{}, errNoObject},
		"{\"access_token\":\"a\xff\",\"token_type\":\"Bearer\"}":     {Tokens{}, errNoObject},
		`[{"access_token":"a","token_type":"Bearer"}]`:               {Tokens{}, errNoObject},
		`"access_token"`:                                             {Tokens{}, errNoObject},
		`null`:                                                       {Tokens{}, errNoObject},
		``:                                                           {Tokens{}, errNoObject},
		"\x00":                                                       {Tokens{}, errNoObject},
		"\x1f\x8b\x08\x00":                                           {Tokens{}, errNoObject},
		`access_token=a&token_type=Bearer`:                           {Tokens{}, errNoObject},
		`<!doctype html><title>Sign in</title>`:                      {Tokens{}, errNoObject},
		`{"access_token":` + strings.Repeat("[", 30_000) + `}`:       {Tokens{}, errNoObject},
		`{"a":` + strings.Repeat(`{"a":`, 11_000) + strings.Repeat("}", 11_000) + "}":    {Tokens{}, errNoObject}, // deeper than encoding/json goes
		`{"access_token":["a"],"token_type":"Bearer"}`:                                   {Tokens{}, errors.New("access_token is not a token")},
		`{"access_token":1,"token_type":"Bearer"}`:                                       {Tokens{}, errors.New("access_token is not a token")},
		`{"access_token":"a b","token_type":"Bearer"}`:                                   {Tokens{}, errors.New("access_token is not a token")},
		`{"access_token":"a\r\nSet-Cookie: x=y","token_type":"Bearer"}`:                  {Tokens{}, errors.New("access_token is not a token")},
		`{"access_token":"é","token_type":"Bearer"}`:                                     {Tokens{}, errors.New("access_token is not a token")},
		`{"access_token":"\ud800","token_type":"Bearer"}`:                                {Tokens{}, errors.New("access_token is not a token")},
		`{"access_token":"a","token_type":"Bearer","id_token":{}}`:                       {Tokens{}, errors.New("id_token is not a token")},
		`{"access_token":"a","token_type":"Bearer","id_token":"i\u0000"}`:                {Tokens{}, errors.New("id_token is not a token")},
		`{"access_token":"a","token_type":"Bearer","refresh_token":false}`:               {Tokens{}, errors.New("refresh_token is not a token")},
		`{"access_token":"a","token_type":"Bearer","refresh_token":"r\u007f"}`:           {Tokens{}, errors.New("refresh_token is not a token")},
		`{"access_token":"a","token_type":"Bearer","refresh_token":"` + "r\u2028" + `"}`: {Tokens{}, errors.New("refresh_token is not a token")},
	} {
		got, err := parseTokens([]byte(body))
		same := errors.Is(err, test.err) || err != nil && test.err != nil && err.Error() == test.err.Error()
		if got != test.want || !same {
			t.Errorf("%.80q: %v, error %v, want %v and %v", body, got, err, test.want, test.err)
		}
	}
}

func TestParseErrorCode(t *testing.T) {
	for body, want := range map[string]string{
		`{"code":"oidc.invalid_grant","message":"x","error":"invalid_grant","error_description":"y"}`: "invalid_grant",
		`{"error":"access_denied"}`:                         "access_denied",
		`{"error":"unsupported_token_type"}`:                "unsupported_token_type",
		`{"code":"request.too_many"}`:                       "",
		`{"error":null}`:                                    "",
		`{"error":{"code":"invalid_grant"}}`:                "",
		`{"error":["invalid_grant"]}`:                       "",
		`{"Error":"invalid_grant"}`:                         "",
		`{"error":"invalid_grant","error":"access_denied"}`: "access_denied",
		`{"error":"invalid_grant"}.`:                        "",
		`{"error":"invalid_grant\n"}`:                       "",
		`{"error":"Invalid grant"}`:                         "",
		`{"error":"vE3kq8mB5nW2xR7tY9uI4oP1aS6dF0gH"}`:      "",
		`{"error":"` + strings.Repeat("a", 41) + `"}`:       "",
		`error=invalid_grant`:                               "",
		``:                                                  "",
	} {
		if got := parseErrorCode([]byte(body)); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

// FuzzParseTokens feeds it answers. Whatever is accepted has an access token,
// and is what encoding/json finds at these names: no more than was sent.
func FuzzParseTokens(f *testing.F) {
	for _, body := range []string{
		`{"access_token":"a","id_token":"i","refresh_token":"r","token_type":"Bearer","expires_in":3600,"scope":""}`,
		`{"access_token":"a","access_token":"b","token_type":"bearer"}`,
		`{"access_token":"\u0061\ud83d\udd11","token_type":"Bearer","x":{"access_token":"b"}}`,
		`{"access_token":"","token_type":"Bearer"}`, `{"access_token":null,"token_type":"Bearer"}`,
		`{"access_token":"a","token_type":"Bearer"} {}`, `{"error":"invalid_grant"}`, `[]`, ``, "\xff", `{"a":[{},"}"],"b":-1e5}`,
		`{"access_token":"a","token_type":"Bearer","x":1e700}`, `{"access_token":"a","token_type":"Bearer"}}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		tokens, err := parseTokens([]byte(body))
		if code := parseErrorCode([]byte(body)); code != "" && !strings.Contains(body, "error") && !strings.Contains(body, `\u`) {
			t.Errorf("error %q of nothing", code)
		}
		if err != nil {
			if tokens != (Tokens{}) {
				t.Errorf("%v in spite of %v", tokens, err)
			}
			return
		}
		var sent map[string]any
		decoder := json.NewDecoder(strings.NewReader(body))
		decoder.UseNumber() // 1e700 is a number, though no float64
		if err := decoder.Decode(&sent); err != nil {
			t.Fatalf("accepted, but %v", err)
		}
		if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
			t.Fatalf("accepted, in spite of what follows it: %v", err)
		}
		if tokens.AccessToken == "" {
			t.Error("no access token")
		}
		for name, token := range map[string]string{"access_token": tokens.AccessToken, "id_token": tokens.IDToken, "refresh_token": tokens.RefreshToken} {
			if text, _ := sent[name].(string); text != token {
				t.Errorf("%s is %q, but %q was sent", name, token, text)
			}
			if strings.Trim(token, "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~") != "" {
				t.Errorf("%s is %q", name, token)
			}
		}
		if kind, _ := sent["token_type"].(string); !strings.EqualFold(kind, "Bearer") {
			t.Errorf("token type %v", sent["token_type"])
		}
		if len(tokens.AccessToken)+len(tokens.IDToken)+len(tokens.RefreshToken) > len(body) {
			t.Error("more than was sent")
		}
	})
}
