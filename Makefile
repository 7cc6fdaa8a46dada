# The tools are pinned here and never in go.mod, which enters the build of
# everyone who uses xcaddy. .ci/run reads the versions from this file.
GOFUMPT := mvdan.cc/gofumpt@v0.12.0
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
BENCHSTAT := golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da

.PHONY: build test lint fmt docs fuzz e2e soak mutate bench bench-load bench-pictures bench-caches demo ci

build: ## A Caddy with this module, as bin/caddy
	@echo 'The first build compiles all of Caddy and prints nothing meanwhile: about 6 minutes of CPU time, 1.7 GB in caches.'
	go build -o bin/ ./cmd/caddy

test: ## All tests
	go test ./...

lint: ## What .golangci.yml asks for
	go run $(GOLANGCI_LINT) run

fmt: ## gofumpt and the order of imports
	go run $(GOLANGCI_LINT) fmt

docs: ## docs/reference.md, from the comments in the source
	go test -run='^TestReferenceIsWhatTheCodeSays$$' -count=1 . -update

fuzz: ## Every fuzz target, guided by coverage; FUZZTIME=10m for longer
	FUZZ_GUIDED=1 FUZZTIME=$(or $(FUZZTIME),1m) .ci/run fuzz

e2e: ## Against real software of others; needs node and npm
	.ci/run e2e

soak: ## Ten minutes of mixed traffic, rotations, faults and reloads; SOAK=1h for longer
	SOAK=$(or $(SOAK),10m) SOAK_TIMEOUT=0 .ci/run soak

CORE := jws.go validator.go authinfo.go requirements.go organization.go refusal.go responder.go
CORE_FIELDS := header.go connection.go spelling.go plain.go
CORE_KEYS := select.go set.go wait.go refresh.go config.go jwk.go jwks.go discovery.go
CORE_SESSION := cookie.go cookies.go keyring.go state.go flow.go returnpath.go codec.go session.go site.go fit.go access.go \
	record.go refresher.go ledger.go tokenendpoint.go gate.go write.go

mutate: ## What the tests of the security core would not notice
	go run -C internal/mutate . -dir ../.. $(CORE)
	go run -C internal/mutate . -dir ../fields $(CORE_FIELDS)
	go run -C internal/mutate . -dir ../keys $(CORE_KEYS)
	go run -C internal/mutate . -dir ../session $(CORE_SESSION)

bench: ## Benchmarks, compared with bench.old.txt where that exists
	go test -run='^$$' -bench=. -benchmem -count=6 ./... >bench.txt && go run $(BENCHSTAT) $(wildcard bench.old.txt) bench.txt

bench-load: ## A real Caddy under load, with and without the directive, and the peers that are installed (Linux, seven minutes)
	go run -C bench .

bench-pictures: ## The pictures of docs, from the tables in docs/internals/performance.md
	go run -C bench . -draw ../docs

bench-caches: ## The cache for verified tokens next to others
	go test -run='^$$' -bench=TokenCache -benchmem -cpu=1,2 -count=6 .
	go test -C bench -bench=. -benchmem -cpu=1,2 -count=6 ./caches

demo: ## The whole thing on this machine: a throw-away tenant, Caddy, tokens, a page to try them
	@echo 'The first build compiles all of Caddy and prints nothing meanwhile: about 6 minutes of CPU time, 1.7 GB in caches.'
	go run ./cmd/demo

ci: ## Everything that has to pass before a change is merged
	.ci/run
