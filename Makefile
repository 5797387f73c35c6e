# Recount. `make` prints this list; every target works from a fresh clone.
SHELL := /bin/bash
GO ?= go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X github.com/recount-ledger/recount/internal/version.Version=$(VERSION)
FUZZTIME ?= 60s
CHAOS_TIME ?= 60m
FLIPS ?= 400

.PHONY: help build run test race lint fuzz e2e chaos chaos-short drill flip-matrix golden-arm64 bench bench-recount clean
help: ## print this list
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

build: ## compile bin/recount-node and bin/recount
	@mkdir -p bin
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/recount-node ./cmd/node
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/recount ./cmd/recount

run: build ## three TLS nodes on this machine, the sample corpus sent to them; Ctrl-C stops
	@scripts/run.sh

test: build ## the whole suite, with a short end-to-end run on the built binaries
	$(GO) vet ./...
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt'd:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	@# Compile everything first, then one package at a time: the clusters in the tests have real timeouts.
	$(GO) test -run '^$$' ./... >/dev/null
	$(GO) test -p 1 -timeout 20m ./...

race: ## the suite under the race detector
	$(GO) test -race -p 1 -timeout 30m ./...

lint: ## vet, gofmt, staticcheck
	$(GO) vet ./...
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))"
	$(GO) tool -modfile=tools/go.mod staticcheck ./...

fuzz: ## every fuzz target for FUZZTIME each (default 60s)
	@FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

flip-matrix: ## flipped bits in every region of every file of a stopped node: FLIPS on processes, 2,400 in memory
	FLIPS=600 $(GO) test -count=1 -timeout 60m -run 'TestFlips' -v ./internal/log ./internal/cluster
	FLIPS=$(FLIPS) $(GO) test -count=1 -timeout 150m -run 'TestFlipMatrix' -v ./test/e2e

e2e: build ## long end-to-end and chaos runs on the built binaries
	RECOUNT_E2E=full $(GO) test -count=1 -timeout 150m -v ./test/e2e/

chaos: ## faults on three real nodes for CHAOS_TIME (default 60m), every answer checked
	$(GO) run ./test/chaos -time $(CHAOS_TIME)

chaos-short: ## every kind of fault once, three minutes or so
	$(GO) run ./test/chaos -time 150s

drill: build ## both incidents on scratch clusters with 100,000 submissions, with the timings
	bin/recount drill key
	bin/recount drill bypass

golden-arm64: ## the folds and kernels on arm64, under qemu-user (Debian: qemu-user-static)
	GOARCH=arm64 CGO_ENABLED=0 $(GO) test -exec qemu-aarch64-static -run 'Golden|Corpus|Wycheproof|Scenarios|Squatter|SamePolicy' ./internal/pcs ./internal/verify ./internal/projections

bench: build ## throughput against a bare TLS echo server, in one run
	$(GO) run ./test/bench

bench-recount: build ## a rebuild of 1,000,000 events, and what it costs live traffic
	$(GO) run ./test/bench -rebuild 1000000 -limit 20m

clean: ## remove what was built
	rm -rf bin
