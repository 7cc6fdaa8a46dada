// Command sbom writes the bill of materials of a Go program, as CycloneDX: the
// modules that are in it, by what Go itself has noted in the binary.
//
//	go run ./internal/sbom bin/caddy >caddy.cdx.json
package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
)

type component struct {
	Type    string `json:"type"`
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	PURL    string `json:"purl"`
}

type bom struct {
	Format   string `json:"bomFormat"`
	Spec     string `json:"specVersion"`
	Version  int    `json:"version"`
	Metadata struct {
		Component component `json:"component"`
	} `json:"metadata"`
	Components []component `json:"components"`
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(arguments []string, w io.Writer) error {
	if len(arguments) != 1 {
		return fmt.Errorf("usage: sbom <binary>, not %d arguments", len(arguments))
	}
	info, err := buildinfo.ReadFile(arguments[0])
	if err != nil {
		return fmt.Errorf("reading what is in the binary: %w", err)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(describe(info))
}

func describe(info *debug.BuildInfo) bom {
	b := bom{Format: "CycloneDX", Spec: "1.6", Version: 1}
	b.Metadata.Component = describeModule("application", &info.Main)
	for _, module := range info.Deps {
		// What a replace directive put in its place is what was compiled.
		if module.Replace != nil {
			module = module.Replace
		}
		b.Components = append(b.Components, describeModule("library", module))
	}
	// The standard library is in every Go program and has vulnerabilities of its
	// own.
	b.Components = append(b.Components, describeModule("library", &debug.Module{Path: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go")}))
	return b
}

func describeModule(kind string, module *debug.Module) component {
	version := module.Version
	if version == "(devel)" {
		version = ""
	}
	purl := "pkg:golang/" + module.Path
	if version != "" {
		purl += "@" + url.PathEscape(version)
	}
	return component{Type: kind, Name: module.Path, Version: version, PURL: purl}
}
