//go:build linux

package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// picture is what a chart consists of.
type picture struct {
	Width  float64 `xml:"width,attr"`
	Height float64 `xml:"height,attr"`
	Rects  []struct {
		Class  string  `xml:"class,attr"`
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
		switch text.Anchor {
		case "end":
			text.X -= width
		case "middle":
			text.X -= width / 2
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
	for name, drawn := range map[string]struct {
		svg         string
		bars, boxes int // boxes of the legend
	}{
		"with peers":    {drawChart(own, others), len(own) + len(hot) + len(others), 5},
		"without peers": {drawChart(own, nil), len(own), 5},
		"summary":       {drawSummary(own, others), 1 + len(peers), 0},
	} {
		t.Run(name, func(t *testing.T) {
			var chart picture
			if err := xml.Unmarshal([]byte(drawn.svg), &chart); err != nil {
				t.Fatal(err)
			}
			if got, want := len(chart.Rects), 1+drawn.bars+drawn.boxes; got != want {
				t.Errorf("%d bars and boxes, want %d", got, want)
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
			for _, rect := range chart.Rects {
				if rect.Class == "" || strings.Count(style, "."+rect.Class+"{") != 2 {
					t.Errorf("%q has no colour for light and for dark pages", rect.Class)
				}
			}
		})
	}
}

// Who changes a figure in the page draws the pictures again: make bench-pictures.
func TestPicturesShowTheFiguresOfThePage(t *testing.T) {
	drawn, err := pictures("../docs")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range drawn {
		got, err := os.ReadFile(filepath.Join("../docs", path))
		if err != nil {
			t.Error(err)
		} else if string(got) != want {
			t.Errorf("%s is not what the tables say; run make bench-pictures", path)
		}
	}
}
