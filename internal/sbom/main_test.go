package main

import (
	"encoding/json"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

func TestBillHasEveryModuleOfTheBinary(t *testing.T) {
	info := &debug.BuildInfo{
		GoVersion: "go1.26.8",
		Main:      debug.Module{Path: "example.com/program", Version: "(devel)"},
		Deps: []*debug.Module{
			{Path: "example.com/plain", Version: "v1.2.3"},
			{Path: "example.com/old", Version: "v1.0.0", Replace: &debug.Module{Path: "example.com/fork", Version: "v2.0.0+incompatible"}},
		},
	}
	b := describe(info)
	if got := b.Metadata.Component; got.Name != "example.com/program" || got.Version != "" {
		t.Errorf("the program is %+v", got)
	}
	want := []string{"pkg:golang/example.com/plain@v1.2.3", "pkg:golang/example.com/fork@v2.0.0+incompatible", "pkg:golang/stdlib@1.26.8"}
	var got []string
	for _, c := range b.Components {
		got = append(got, c.PURL)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A test's own binary is a Go program as well.
func TestBillOfARealBinary(t *testing.T) {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := run([]string{binary}, &text); err != nil {
		t.Fatal(err)
	}
	var b bom
	if err := json.Unmarshal([]byte(text.String()), &b); err != nil {
		t.Fatal(err)
	}
	if b.Format != "CycloneDX" || len(b.Components) == 0 {
		t.Errorf("the bill is %s", text.String())
	}
	if err := run([]string{"main.go"}, &text); err == nil {
		t.Error("a text file has a bill")
	}
	if err := run(nil, &text); err == nil {
		t.Error("nothing has a bill")
	}
}
