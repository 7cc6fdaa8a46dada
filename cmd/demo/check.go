package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
)

// result is a check and the answer it got.
type result struct {
	section string
	name    string
	want    answer
	got     answer
}

// ask sends the requests of all sections, in their order.
func ask(ctx context.Context, s *stack, sections []section) ([]result, error) {
	var results []result
	for _, section := range sections {
		got, err := askAll(ctx, s, section)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", section.title, err)
		}
		results = append(results, got...)
	}
	return results, nil
}

// askAll sends the requests of one section.
func askAll(ctx context.Context, s *stack, section section) ([]result, error) {
	results := make([]result, 0, len(section.checks))
	for _, check := range section.checks {
		if check.before != nil {
			if err := check.before(ctx, s); err != nil {
				return nil, fmt.Errorf("%s: %w", check.name, err)
			}
		}
		got, err := check.do(ctx, s, section.host)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", check.name, err)
		}
		results = append(results, result{section.title, check.name, check.want, got})
	}
	return results, nil
}

// do sends the request of a check, or lets the visitor do what it says.
func (c check) do(ctx context.Context, s *stack, host string) (answer, error) {
	if c.visit != nil {
		return c.visit(ctx, s)
	}
	token := ""
	if c.token != nil {
		token = c.token(s)
	}
	return send(ctx, s, host, c, token)
}

// send sends the request of a check with this token; empty is none.
func send(ctx context.Context, s *stack, host string, c check, token string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, c.method, "http://"+s.caddy+c.path, http.NoBody)
	if err != nil {
		return answer{}, err
	}
	request.Host = host
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, fmt.Errorf("reading the answer: %w", err)
	}
	return answer{
		status:    response.StatusCode,
		body:      string(body),
		challenge: strings.Join(response.Header.Values("WWW-Authenticate"), ", "),
	}, nil
}

// report prints what was expected and what came, and returns an error if they
// differ anywhere.
func report(out io.Writer, results []result) error {
	var text strings.Builder
	different := 0
	section := ""
	for _, r := range results {
		if r.section != section {
			section = r.section
			fmt.Fprintf(&text, "%s\n", section)
		}
		verdict := "ok"
		if r.got != r.want {
			verdict = "DIFFERS"
			different++
		}
		fmt.Fprintf(&text, "  %s\t%s\texpected\t%v\n", verdict, r.name, r.want)
		fmt.Fprintf(&text, "\t\tgot\t%v\n", r.got)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if _, err := io.WriteString(table, text.String()); err != nil {
		return err
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if different > 0 {
		return fmt.Errorf("%d of %d answers differ", different, len(results))
	}
	_, err := fmt.Fprintf(out, "All %d answers are as expected.\n", len(results))
	return err
}
