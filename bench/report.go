//go:build linux

package main

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
)

// printTable writes the results as a Markdown table.
func printTable(w io.Writer, results []result) {
	fmt.Fprintln(w, "| workload | CPU per request: plain → with `logto_auth` | ratio | requests/s | p50 | p99 | peak memory |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|")
	for _, r := range results {
		fmt.Fprintf(w, "| %s | %.1f → %.1f µs | **%.3f** | × %.2f | × %.2f | × %.2f | %.0f → %.0f MB |\n",
			r.name, r.plain.processor, r.protected.processor, r.ratio.processor, r.ratio.rate, r.ratio.p50, r.ratio.p99, r.plainMB, r.protectedMB)
	}
	for _, r := range results {
		if r.fetches > 0 {
			fmt.Fprintf(w, "\n%s: %.0f requests in %.0f s made the tenant answer %d key set requests.\n", r.name, r.requests, r.seconds, r.fetches)
		}
	}
}

// printPeers writes what the check costs other servers, each compared with
// itself, as a second table.
func printPeers(w io.Writer, results []result) {
	if len(results) == 0 {
		return
	}
	fmt.Fprintln(w, "\n| another server, hot, 16 tokens | CPU per request: plain → with its check | added | ratio |")
	fmt.Fprintln(w, "|---|---|---|---|")
	for _, r := range results {
		fmt.Fprintf(w, "| %s | %.1f → %.1f µs | %.1f µs | **%.2f** |\n",
			r.name, r.plain.processor, r.protected.processor, r.protected.processor-r.plain.processor, r.ratio.processor)
	}
}

// row matches a row of one of the two tables. A peer's has a column more, of
// what its check adds.
var row = regexp.MustCompile(`(?m)^\| ([^|]+) \| ([\d.]+) → ([\d.]+) µs \|( [\d.]+ µs \|)? \*\*([\d.]+)\*\* \|`)

// readTables reads the tables that printTable and printPeers wrote into a page,
// as far as pictures need them.
func readTables(page string) (results, others []result, err error) {
	for _, match := range row.FindAllStringSubmatch(page, -1) {
		r := result{name: match[1]}
		for text, value := range map[string]*float64{match[2]: &r.plain.processor, match[3]: &r.protected.processor, match[5]: &r.ratio.processor} {
			if *value, err = strconv.ParseFloat(text, 64); err != nil {
				return nil, nil, fmt.Errorf("reading the row %q: %w", match[0], err)
			}
		}
		if match[4] == "" {
			results = append(results, r)
		} else {
			others = append(others, r)
		}
	}
	if len(results) == 0 {
		return nil, nil, fmt.Errorf("there is no table of results")
	}
	return results, others, nil
}
