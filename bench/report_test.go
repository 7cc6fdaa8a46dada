//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"
)

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

func TestTablesAreReadAsTheyAreWritten(t *testing.T) {
	of := func(name string, plain, protected, ratio float64) result {
		return result{name: name, plain: round{processor: plain}, protected: round{processor: protected}, ratio: round{processor: ratio}}
	}
	own := []result{of("hot, 16 tokens, ES384", 30.6, 32.9, 1.066), of("no token", 27.1, 30.6, 1.144)}
	peers := []result{of("HAProxy `jwt_verify`, ES384", 6.5, 688.8, 107.69)}
	var page strings.Builder
	printTable(&page, own)
	printPeers(&page, peers)
	gotOwn, gotPeers, err := readTables(page.String())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(gotOwn, own) || !slices.Equal(gotPeers, peers) {
		t.Errorf("read\n%v\n%v\nwritten\n%v\n%v", gotOwn, gotPeers, own, peers)
	}
	if _, _, err := readTables("no table"); err == nil {
		t.Error("a page without tables is read")
	}
}
