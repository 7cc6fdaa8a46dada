package devtenant

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
)

// Answer is what the tenant says when nothing is wrong.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

func writeAnswer(w http.ResponseWriter, a Answer) {
	maps.Copy(w.Header(), a.Header)
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // a client that went away has nothing to learn
}

func jsonAnswer(status int, value any) Answer {
	return Answer{
		Status: status,
		Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}},
		Body:   mustMarshal(value),
	}
}

func notFound() Answer {
	return jsonAnswer(http.StatusNotFound, map[string]string{
		"error":             "invalid_request",
		"error_description": "no such endpoint or method",
	})
}

func discoveryAnswer(document []byte) Answer {
	return Answer{
		Status: http.StatusOK,
		Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}},
		Body:   document,
	}
}

func jwksAnswer(document []byte, ifNoneMatch string) Answer {
	sum := sha256.Sum256(document)
	etag := `"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`
	header := http.Header{
		"Cache-Control": {"no-cache, max-age=0, must-revalidate"},
		"Etag":          {etag},
	}
	if etagMatches(ifNoneMatch, etag) {
		return Answer{Status: http.StatusNotModified, Header: header}
	}
	header.Set("Content-Type", "application/jwk-set+json; charset=utf-8")
	return Answer{Status: http.StatusOK, Header: header, Body: document}
}

// etagMatches compares weakly, as RFC 9110 section 13.1.2 has it.
func etagMatches(ifNoneMatch, etag string) bool {
	for candidate := range strings.SplitSeq(ifNoneMatch, ",") {
		candidate = strings.TrimSpace(candidate)
		if candidate == "*" || strings.TrimPrefix(candidate, "W/") == etag {
			return true
		}
	}
	return false
}

func preflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

func preflightAnswer(r *http.Request) Answer {
	header := http.Header{}
	allowOrigin(header, r)
	header.Set("Access-Control-Allow-Methods", "GET, HEAD, POST")
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		header.Set("Access-Control-Allow-Headers", asked)
	}
	return Answer{Status: http.StatusNoContent, Header: header}
}

func allowOrigin(header http.Header, r *http.Request) {
	header.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin != "" {
		header.Set("Access-Control-Allow-Origin", origin)
	}
}

// mustMarshal panics on values that JSON cannot hold: the caller's mistake.
func mustMarshal(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic("devtenant: " + err.Error())
	}
	return text
}
