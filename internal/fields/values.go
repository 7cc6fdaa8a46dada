package fields

import (
	"iter"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// CookieValues returns the values of a cookie. Unlike net/http it drops none
// for its value or for how many there are: a second token must not hide.
func CookieValues(lines []string, name string) []string {
	var values []string
	for key, value := range cookies(lines) {
		if key != name {
			continue
		}
		if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
			value = value[1 : len(value)-1]
		}
		values = append(values, value)
	}
	return values
}

// cookies goes through the names and values of all cookies, as they stand.
func cookies(lines []string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for _, line := range lines {
			for pair := range strings.SplitSeq(line, ";") {
				name, value, _ := strings.Cut(pair, "=")
				if !yield(textproto.TrimString(name), textproto.TrimString(value)) {
					return
				}
			}
		}
	}
}

// querySeparators part the parameters of a query. Older servers take `;` for
// one, and must not find another token than this one.
const querySeparators = "&;"

// queryPairs goes through the parameters of a query, name and value together.
func queryPairs(rawQuery string) iter.Seq[string] {
	return strings.FieldsFuncSeq(rawQuery, func(r rune) bool { return strings.ContainsRune(querySeparators, r) })
}

// QueryValues returns the values of a parameter. Unlike url.ParseQuery it
// drops no pair for its encoding: a second token must not hide in one.
func QueryValues(rawQuery, name string) []string {
	var values []string
	for pair := range queryPairs(rawQuery) {
		key, value, _ := strings.Cut(pair, "=")
		if !isParameter(key, name) {
			continue
		}
		if decoded, err := url.QueryUnescape(value); err == nil {
			value = decoded
		}
		values = append(values, value)
	}
	return values
}

func isParameter(key, name string) bool {
	decoded, err := url.QueryUnescape(key)
	return err == nil && decoded == name
}

// StripCookie takes one cookie out of the Cookie headers, octet for octet:
// parsing and printing them again would change quotes and drop odd ones.
func StripCookie(header http.Header, name string) {
	var lines []string
	for _, line := range header["Cookie"] {
		var kept []string
		stripped := false
		for pair := range strings.SplitSeq(line, ";") {
			key, _, _ := strings.Cut(pair, "=")
			if textproto.TrimString(key) == name {
				stripped = true
				continue
			}
			kept = append(kept, pair)
		}
		if !stripped {
			lines = append(lines, line)
			continue
		}
		if rest := strings.TrimLeft(strings.Join(kept, ";"), " "); rest != "" {
			lines = append(lines, rest)
		}
	}
	if len(lines) == 0 {
		header.Del("Cookie")
		return
	}
	header["Cookie"] = lines
}

// StripParameter takes one parameter out of the query; the others keep their
// order and encoding.
func StripParameter(r *http.Request, name string) {
	if len(QueryValues(r.URL.RawQuery, name)) == 0 {
		return
	}
	var kept strings.Builder
	// Each pair is taken with the separator before it.
	for rest := "&" + r.URL.RawQuery; rest != ""; {
		end := len(rest)
		if i := strings.IndexAny(rest[1:], querySeparators); i >= 0 {
			end = i + 1
		}
		key, _, _ := strings.Cut(rest[1:end], "=")
		if !isParameter(key, name) {
			kept.WriteString(rest[:end])
		}
		rest = rest[end:]
	}
	query := kept.String()
	r.URL.RawQuery = query[min(1, len(query)):]
	r.RequestURI = r.URL.RequestURI()
}
