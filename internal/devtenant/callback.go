package devtenant

import (
	"html"
	"net/http"
	"net/url"
	"strings"
)

// callbackLocked sends the browser back to the app, with `state` and `iss`
// (RFC 9207) whatever else there is to tell.
func (t *Tenant) callbackLocked(request, told url.Values) Answer {
	if request.Has("state") {
		told.Set("state", request.Get("state"))
	}
	told.Set("iss", t.issuer)
	uri := request.Get("redirect_uri")
	mode := request.Get("response_mode")
	if mode == "" && strings.Contains(request.Get("response_type"), "token") {
		mode = "fragment"
	}
	switch mode {
	case "form_post":
		return formPost(uri, told)
	case "fragment":
		return redirect(uri+"#"+told.Encode(), http.Header{})
	default:
		return redirect(withQuery(uri, told), http.Header{})
	}
}

// withQuery adds parameters to a URL that may have some.
func withQuery(uri string, added url.Values) string {
	if len(added) == 0 {
		return uri
	}
	separator := "?"
	if strings.Contains(uri, "?") {
		separator = "&"
	}
	return uri + separator + added.Encode()
}

func redirect(location string, header http.Header) Answer {
	header.Set("Location", location)
	header.Set("Cache-Control", "no-store")
	return Answer{Status: http.StatusSeeOther, Header: header}
}

// formPost is a page that sends itself, with scripting only.
func formPost(action string, values url.Values) Answer {
	var inputs strings.Builder
	for name := range values {
		inputs.WriteString(`<input type="hidden" name="` + html.EscapeString(name) + `" value="` + html.EscapeString(values.Get(name)) + `"/>`)
	}
	return page(http.StatusOK, `<!doctype html><title>Submitting</title><body onload="document.forms[0].submit()">`+
		`<form method="post" action="`+html.EscapeString(action)+`">`+inputs.String()+
		`<noscript><button type="submit">Continue</button></noscript></form></body>`+"\n")
}

func page(status int, body string) Answer {
	return Answer{
		Status: status,
		Header: http.Header{"Content-Type": {"text/html; charset=utf-8"}, "Cache-Control": {"no-store"}},
		Body:   []byte(body),
	}
}
