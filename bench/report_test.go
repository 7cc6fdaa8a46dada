//go:build linux

package main

import (
	"encoding/xml"
	"strings"
	"testing"
	"unicode/utf8"
)

// picture is what a chart consists of.
type picture struct {
	Width  float64 `xml:"width,attr"`
	Height float64 `xml:"height,attr"`
	Rects  []struct {
		X      float64 `xml:"x,attr"`
		Y      float64 `xml:"y,attr"`
		Width  float64 `xml:"width,attr"`
		Height float64 `xml:"height,attr"`
	} `xml:"rect"`
	Texts []struct {
		X      float64 `xml:"x,attr"`
		Y      float64 `xml:"y,attr"`
		Size   float64 `xml:"font-size,attr"`
		Anchor string  `xml:"text-anchor,attr"`
		Text   string  `xml:",chardata"`
	} `xml:"text"`
}

// box is where a text or a bar is.
type box struct {
	what         string
	x, y, x2, y2 float64
}

// boxes returns all bars and texts. A text is taken to be as wide as a wide
// font has it.
func (p *picture) boxes() (all []box) {
	for _, r := range p.Rects[1:] { // the first is the background
		all = append(all, box{"a bar", r.X, r.Y, r.X + r.Width, r.Y + r.Height})
	}
	for _, text := range p.Texts {
		if text.Size == 0 {
			text.Size = 12
		}
		width := 0.58 * text.Size * float64(utf8.RuneCountInString(text.Text))
		if text.Anchor == "end" {
			text.X -= width
		}
		all = append(all, box{text.Text, text.X, text.Y - 0.8*text.Size, text.X + width, text.Y + 0.2*text.Size})
	}
	return all
}

func (b box) covers(other box) bool {
	return b.x < other.x2 && other.x < b.x2 && b.y < other.y2 && other.y < b.y2
}

func TestChartCanBeRead(t *testing.T) {
	of := func(name string, ratio, plain float64) result {
		return result{name: name, ratio: round{processor: ratio}, plain: round{processor: plain}, protected: round{processor: ratio * plain}}
	}
	var own, others []result
	for _, w := range workloads {
		own = append(own, of(w.name, 1.04, 30))
	}
	own = append(own, of("<made-up> & \"quoted\"", 22.5, 30))
	for _, p := range peers {
		for _, w := range hot {
			others = append(others, of(p.title+", "+w.algorithm, 133.33, 9))
		}
	}
	for name, peers := range map[string][]result{"with peers": others, "without peers": nil} {
		t.Run(name, func(t *testing.T) {
			var chart picture
			if err := xml.Unmarshal([]byte(drawChart(own, peers)), &chart); err != nil {
				t.Fatal(err)
			}
			if got, want := len(chart.Rects), 2+len(own)+len(peers); got != want {
				t.Errorf("%d bars and background, want %d", got, want)
			}
			all := chart.boxes()
			for i, b := range all {
				if b.x < 0 || b.y < 0 || b.x2 > chart.Width || b.y2 > chart.Height {
					t.Errorf("%+v is not within %.0f × %.0f", b, chart.Width, chart.Height)
				}
				for _, other := range all[:i] {
					if b.covers(other) {
						t.Errorf("%+v covers %+v", b, other)
					}
				}
			}
		})
	}
}

func TestPeersHaveTheirOwnTable(t *testing.T) {
	tests := []struct {
		name    string
		results []result
		want    string
	}{
		{"no peers", nil, ""},
		{
			"a peer",
			[]result{{name: "Other, ES384", plain: round{processor: 10}, protected: round{processor: 210.04}, ratio: round{processor: 21}}},
			"\n| another server, hot, 16 tokens | CPU per request: plain → with its check | added | ratio |\n|---|---|---|---|\n" +
				"| Other, ES384 | 10.0 → 210.0 µs | 200.0 µs | **21.00** |\n",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var b strings.Builder
			printPeers(&b, test.results)
			if b.String() != test.want {
				t.Errorf("got\n%s\nwant\n%s", b.String(), test.want)
			}
		})
	}
}
