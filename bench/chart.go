//go:build linux

package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// The measures of a chart, in pixels.
const (
	chartWidth  = 820
	chartMargin = 20
	chartLabels = 250 // the names end here, the bars begin
	chartValues = 70  // room for the value of the longest bar
	chartSpan   = chartWidth - chartLabels - chartValues - chartMargin
	barHeight   = 14
	barPitch    = 22
)

// chart is an SVG that is being drawn, downwards.
type chart struct {
	strings.Builder
	y int
}

// style gives each colour twice, for light and dark pages. Values have a rim of
// the page's colour, which keeps the lines of the axis out of them. The picture
// brings its own background: a page may be dark where the browser is not.
const style = `<style>
.value{paint-order:stroke;stroke-width:4px;stroke-linejoin:round}
.page{fill:#ffffff}.text{fill:#1f2328}.value{stroke:#ffffff}.quiet{fill:#59636e}.grid{stroke:#d1d9e0}
.own{fill:#1a7f37}.session{fill:#0a7ea4}.yardstick{fill:#8c959f}.refused{fill:#0969da}.signature{fill:#bc4c00}.other{fill:#8250df}
@media (prefers-color-scheme:dark){
.page{fill:#0d1117}.text{fill:#e6edf3}.value{stroke:#0d1117}.quiet{fill:#9198a1}.grid{stroke:#3d444d}
.own{fill:#3fb950}.session{fill:#39c5cf}.yardstick{fill:#7d8590}.refused{fill:#4493f8}.signature{fill:#f0883e}.other{fill:#a371f7}}
</style>
`

// finish puts the frame around what was drawn.
func (c *chart) finish(label string) string {
	height := c.y + 8
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="%s">`+"\n",
		chartWidth, height, chartWidth, height, html.EscapeString(label)) +
		style + fmt.Sprintf(`<rect class="page" width="%d" height="%d"/>`+"\n", chartWidth, height) + c.String() + "</svg>\n"
}

func (c *chart) text(x float64, anchor, class, text string) {
	fmt.Fprintf(c, `<text x="%.1f" y="%d" text-anchor="%s" class="%s">%s</text>`+"\n", x, c.y, anchor, class, html.EscapeString(text))
}

func (c *chart) heading(title string, lines ...string) {
	c.y += 26
	fmt.Fprintf(c, `<text x="%d" y="%d" font-size="15" font-weight="600" class="text">%s</text>`+"\n", chartMargin, c.y, html.EscapeString(title))
	for _, line := range lines {
		c.y += 17
		c.text(chartMargin, "start", "quiet", line)
	}
	c.y += 6
}

// kind is a group of bars with one colour and one entry of the legend.
type kind struct {
	class, meaning string
}

var (
	yardstick = kind{"yardstick", "Caddy's own directives, for comparison"}
	hotToken  = kind{"own", "hot: the same tokens again; the signature was checked before"}
	inSession = kind{"session", "session: a browser that is signed in"}
	refused   = kind{"refused", "refused before any signature is checked"}
	signature = kind{"signature", "first sight: a token that comes for the first time; forged: its signature is wrong"}
)

// kindOf goes by the name of a workload.
func kindOf(name string) kind {
	for prefix, k := range map[string]kind{
		"Caddy's ": yardstick, "hot": hotToken, "session": inSession, "first sight": signature, "forged": signature,
	} {
		if strings.HasPrefix(name, prefix) {
			return k
		}
	}
	return refused
}

func (c *chart) legend(kinds ...kind) {
	for _, k := range kinds {
		c.y += 18
		fmt.Fprintf(c, `<rect class="%s" x="%d" y="%d" width="12" height="12" rx="2"/>`+"\n", k.class, chartMargin, c.y-10)
		c.text(chartMargin+20, "start", "text", k.meaning)
	}
	c.y += 8
}

// axis draws a line down through the next bars for each tick, with its value
// above.
func (c *chart) axis(bars int, ticks []float64, place func(float64) float64, label func(float64) string) {
	c.y += 18
	for _, tick := range ticks {
		x := chartLabels + chartSpan*place(tick)
		c.text(x, "middle", "quiet", label(tick))
		fmt.Fprintf(c, `<path class="grid" d="M%.1f %dV%d"/>`+"\n", x, c.y+5, c.y+8+bars*barPitch)
	}
	c.y += 10
}

// bar is as long as the part of the span that is given.
func (c *chart) bar(name string, part float64, value, class string) {
	length := max(2, chartSpan*part)
	fmt.Fprintf(c, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`+"\n", class, chartLabels, c.y, length, barHeight)
	c.y += 11
	c.text(chartLabels-8, "end", "text", strings.ReplaceAll(name, "`", ""))
	c.text(chartLabels+length+6, "start", "text value", value)
	c.y += barPitch - 11
}

// drawChart draws the processor time of each workload over plain Caddy and,
// below, what the check of a token adds to a request here and at the peers. The
// first scale is logarithmic: the ratios range from 1 to more than 20.
func drawChart(results, others []result) string {
	c := new(chart)
	c.heading("CPU time per request with logto_auth, plain Caddy = 1", "logarithmic scale; shorter is better")
	c.legend(yardstick, hotToken, inSession, refused, signature)
	greatest := 2.0
	for _, r := range results {
		greatest = max(greatest, r.ratio.processor)
	}
	place := func(ratio float64) float64 { return math.Log(max(1, ratio)) / math.Log(greatest) }
	c.axis(len(results), upTo(greatest, 1, 1.5, 2, 3, 5, 10, 20, 50, 100), place, func(tick float64) string { return fmt.Sprintf("× %g", tick) })
	for _, r := range results {
		c.bar(r.name, place(r.ratio.processor), fmt.Sprintf("%.2f", r.ratio.processor), kindOf(r.name).class)
	}
	if len(others) == 0 {
		return c.finish("CPU time per request over plain Caddy")
	}
	c.y += 16
	c.heading("CPU time that the check of a hot token adds to a request", "µs, linear scale; each server against itself without the check; the others check the signature of a hot token, too")
	c.added(append(hotOf(results), others...))
	return c.finish("CPU time per request over plain Caddy, and what other servers add")
}

// drawSummary draws what the check of a hot ES384 token, the kind that Logto
// issues by default, adds to a request here and at the peers.
func drawSummary(results, others []result) string {
	var shown []result
	for _, r := range append(hotOf(results), others...) {
		if name, found := strings.CutSuffix(r.name, ", ES384"); found {
			r.name = name
			shown = append(shown, r)
		}
	}
	c := new(chart)
	c.heading("CPU time that the check of a token adds to a request", "µs; ES384 tokens that were sent before; each server against itself without the check; shorter is better")
	c.added(shown)
	return c.finish("CPU time that the check of a token adds to a request, here and at other servers")
}

// hotOf returns the results that compare with those of peers, under our name.
func hotOf(results []result) (hot []result) {
	for _, r := range results {
		if name, found := strings.CutPrefix(r.name, "hot, 16 tokens, "); found {
			r.name = "Caddy with logto_auth, " + name
			hot = append(hot, r)
		}
	}
	return hot
}

// added draws a bar for the time that the check adds, ours in its own colour.
func (c *chart) added(results []result) {
	greatest := 1.0
	for _, r := range results {
		greatest = max(greatest, r.protected.processor-r.plain.processor)
	}
	place := func(µs float64) float64 { return max(0, µs) / greatest }
	c.axis(len(results), upTo(greatest, 0, 200, 400, 600, 800, 1000), place, func(tick float64) string { return fmt.Sprintf("%g µs", tick) })
	for _, r := range results {
		class, value := "other", r.protected.processor-r.plain.processor
		if strings.HasPrefix(r.name, "Caddy with") {
			class = hotToken.class
		}
		format := "%.0f"
		if value < 10 {
			format = "%.1f"
		}
		c.bar(r.name, place(value), fmt.Sprintf(format, value), class)
	}
}

// upTo returns the ticks that are on the scale.
func upTo(greatest float64, ticks ...float64) (shown []float64) {
	for _, tick := range ticks {
		if tick <= greatest {
			shown = append(shown, tick)
		}
	}
	return shown
}
