package main

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
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

// The chart's measures, in pixels.
const (
	chartWidth, chartLabels, chartValues = 760, 210, 60
	barHeight, barPitch, chartTop        = 14, 22, 52
)

// drawChart draws the processor time of each workload over plain Caddy. The
// scale is logarithmic: the ratios range from 1 to more than 20.
func drawChart(results []result) string {
	greatest := 2.0
	for _, r := range results {
		greatest = max(greatest, r.ratio.processor)
	}
	span := float64(chartWidth - chartLabels - chartValues)
	// The scale begins at one half, so that plain Caddy itself has a bar.
	length := func(ratio float64) float64 { return span * max(0.01, math.Log(2*ratio)/math.Log(2*greatest)) }

	var b strings.Builder
	height := chartTop + (len(results)+1)*barPitch + 10
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="CPU time per request over plain Caddy">`+"\n",
		chartWidth, height, chartWidth, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", chartWidth, height)
	fmt.Fprintf(&b, `<text x="12" y="22" font-size="15" font-weight="600" fill="#1f2328">CPU time per request over plain Caddy</text>`+"\n")
	fmt.Fprintf(&b, `<text x="12" y="40" fill="#59636e">shorter is better; logarithmic scale; plain Caddy is 1.00</text>`+"\n")
	row := func(i int, label string, ratio float64, colour string) {
		y := chartTop + i*barPitch
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end" fill="#1f2328">%s</text>`, chartLabels-8, y+11, html.EscapeString(label))
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>`, chartLabels, y, length(ratio), barHeight, colour)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" fill="#1f2328">%.2f</text>`+"\n", chartLabels+length(ratio)+6, y+11, ratio)
	}
	row(0, "plain Caddy", 1, "#8c959f")
	for i, r := range results {
		colour := "#0969da"
		switch {
		case strings.HasSuffix(r.name, "instead"):
			colour = "#8c959f"
		case strings.HasPrefix(r.name, "hot"):
			colour = "#1a7f37"
		case strings.HasPrefix(r.name, "first"):
			colour = "#bc4c00"
		}
		row(i+1, r.name, r.ratio.processor, colour)
	}
	b.WriteString("</svg>\n")
	return b.String()
}
