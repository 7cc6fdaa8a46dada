package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"
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
	// Its own transport: a proxy of the environment has no part in this.
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	var results []result
	for _, section := range sections {
		for _, check := range section.checks {
			got, err := send(ctx, client, s, section.host, check)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", section.title, check.name, err)
			}
			results = append(results, result{section.title, check.name, check.want, got})
		}
	}
	return results, nil
}

func send(ctx context.Context, client *http.Client, s *stack, host string, c check) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, c.method, "http://"+s.caddy+c.path, http.NoBody)
	if err != nil {
		return answer{}, err
	}
	request.Host = host
	if c.token != nil {
		request.Header.Set("Authorization", "Bearer "+c.token(s.tenant))
	}
	response, err := client.Do(request)
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
