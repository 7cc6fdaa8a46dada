//go:build linux

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

// The chart's measures, in pixels.
const (
	chartWidth, chartLabels, chartValues = 760, 230, 150
	barHeight, barPitch, chartTop        = 14, 22, 52
	groupGap                             = 64 // room for the second heading
)

// chart is an SVG that is being drawn, downwards.
type chart struct {
	strings.Builder
	y        int
	greatest float64 // the ratio of the longest bar
}

// drawChart draws the processor time of each workload over plain Caddy and,
// below, that of each peer over the same server without its check. The scale,
// which both share, is logarithmic: the ratios range from 1 to more than 20.
func drawChart(results, others []result) string {
	c := &chart{y: chartTop, greatest: 2}
	height := chartTop + (len(results)+1)*barPitch + 10
	for _, r := range results {
		c.greatest = max(c.greatest, r.ratio.processor)
	}
	for _, r := range others {
		c.greatest = max(c.greatest, r.ratio.processor)
	}
	if len(others) > 0 {
		height += groupGap + len(others)*barPitch
	}
	fmt.Fprintf(c, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="CPU time per request over plain Caddy">`+"\n",
		chartWidth, height, chartWidth, height)
	fmt.Fprintf(c, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", chartWidth, height)
	c.heading("CPU time per request over plain Caddy", "shorter is better; logarithmic scale; plain Caddy is 1.00")
	c.bar("plain Caddy", 1, "1.00", "#8c959f")
	for _, r := range results {
		colour := "#0969da"
		switch {
		case strings.HasPrefix(r.name, "Caddy's "):
			colour = "#8c959f"
		case strings.HasPrefix(r.name, "hot"):
			colour = "#1a7f37"
		case strings.HasPrefix(r.name, "first"):
			colour = "#bc4c00"
		}
		c.bar(r.name, r.ratio.processor, fmt.Sprintf("%.2f", r.ratio.processor), colour)
	}
	if len(others) > 0 {
		c.y += groupGap
		c.heading("Other servers, hot, 16 tokens: with their check over without it", "same scale; each is compared with itself, and its CPU time per request stands beside the bar")
		for _, r := range others {
			value := fmt.Sprintf("%.2f (%.0f → %.0f µs)", r.ratio.processor, r.plain.processor, r.protected.processor)
			c.bar(strings.ReplaceAll(r.name, "`", ""), r.ratio.processor, value, "#8250df")
		}
	}
	c.WriteString("</svg>\n")
	return c.String()
}

// heading stands above the next bar.
func (c *chart) heading(title, subtitle string) {
	fmt.Fprintf(c, `<text x="12" y="%d" font-size="15" font-weight="600" fill="#1f2328">%s</text>`+"\n", c.y-30, html.EscapeString(title))
	fmt.Fprintf(c, `<text x="12" y="%d" fill="#59636e">%s</text>`+"\n", c.y-12, html.EscapeString(subtitle))
}

func (c *chart) bar(label string, ratio float64, value, colour string) {
	span := float64(chartWidth - chartLabels - chartValues)
	// The scale begins at one half, so that plain Caddy itself has a bar.
	length := span * max(0.01, math.Log(2*ratio)/math.Log(2*c.greatest))
	fmt.Fprintf(c, `<text x="%d" y="%d" text-anchor="end" fill="#1f2328">%s</text>`, chartLabels-8, c.y+11, html.EscapeString(label))
	fmt.Fprintf(c, `<rect x="%d" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>`, chartLabels, c.y, length, barHeight, colour)
	fmt.Fprintf(c, `<text x="%.1f" y="%d" fill="#1f2328">%s</text>`+"\n", chartLabels+length+6, c.y+11, html.EscapeString(value))
	c.y += barPitch
}
