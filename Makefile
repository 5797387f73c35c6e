# Recount. `make` prints this list; every target works from a fresh clone.
SHELL := /bin/bash
GO ?= go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X github.com/recount-ledger/recount/internal/version.Version=$(VERSION)
FUZZTIME ?= 60s
CHAOS_TIME ?= 60m
FLIPS ?= 400

.PHONY: help build pages run test race race-short lint verify-generated generate vuln fuzz e2e chaos chaos-short upgrade-test operator-day drill flip-matrix member-histories golden-arm64 bench bench-batches bench-stages bench-reads bench-growth bench-peers bench-recount bench-seed bench-evidence bench-tail bench-proofs bench-replay image image-test packages package-test chart-test release release-test dashboards dashboards-test alerts-live clean
help: ## print this list
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

build: ## compile bin/recount-node and bin/recount
	@mkdir -p bin
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/recount-node ./cmd/node
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/recount ./cmd/recount

# Packages take SHARE as /usr/share.
SHARE := bin/share
pages: build ## manual pages and shell completion of both programs, into bin/share
	@rm -rf $(SHARE)
	@mkdir -p $(SHARE)/man/man1 $(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions $(SHARE)/fish/vendor_completions.d
	@for p in recount recount-node; do \
	  bin/$$p man $(SHARE)/man/man1 && \
	  bin/$$p completion bash >$(SHARE)/bash-completion/completions/$$p && \
	  bin/$$p completion zsh >$(SHARE)/zsh/site-functions/_$$p && \
	  bin/$$p completion fish >$(SHARE)/fish/vendor_completions.d/$$p.fish || exit 1; \
	done

run: build ## three TLS nodes on this machine, the sample corpus sent to them; Ctrl-C stops
	@scripts/run.sh

test: build ## the whole suite, with a short end-to-end run on the built binaries
	$(GO) vet ./...
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt'd:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	@# Compile everything first, then two packages at a time: the clusters in the tests have real timeouts. The longest
	@# package comes first.
	$(GO) test -run '^$$' ./... >/dev/null
	$(GO) test -p 2 -timeout 30m ./test/e2e ./...
	$(GO) test -tags profiling ./cmd/node ./internal/laps -run Watch
	@# The dashboards are what their tables make.
	cd tools/dashboards && $(GO) vet ./... && $(GO) test -timeout 5m ./...
	@# The evidence of a node and the libraries of others, in a module of their own.
	cd test/interop && $(GO) vet ./... && INTEROP_NODE=$(CURDIR)/bin/recount-node $(GO) test -count=1 -timeout 5m ./...

race: ## the suite under the race detector
	$(GO) test -race -p 2 -timeout 40m ./test/e2e ./...

# The packages whose tests have many goroutines on one lock or one channel.
CONCURRENT := ./internal/propose ./internal/limit ./internal/log ./internal/fsm ./internal/api ./internal/cluster/frames
race-short: ## the concurrent packages under the race detector, three minutes or so
	$(GO) test -race -short -timeout 15m $(CONCURRENT)

lint: verify-generated ## golangci-lint (.golangci.yml), go vet, go mod tidy, generated code, workflows (actionlint)
	$(GO) vet ./...
	$(GO) mod tidy -diff
	$(GO) tool -modfile=tools/go.mod golangci-lint run
	$(GO) tool -modfile=tools/actions/go.mod actionlint

verify-generated: ## compare event.pb.go with what protoc makes of event.proto
	@scripts/verify-generated.sh

generate: ## write event.pb.go (Debian: protobuf-compiler)
	@mkdir -p bin
	$(GO) build -modfile=tools/go.mod -o bin/protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go
	PATH="$(CURDIR)/bin:$$PATH" $(GO) generate ./internal/event

# govulncheck reads https://vuln.go.dev, which not every build machine may reach, so no other target runs it.
# GOVULNDB names a mirror: make vuln GOVULNDB=file:///srv/vulndb
GOVULNDB ?= https://vuln.go.dev
vuln: ## known vulnerabilities of the modules that are linked; needs the database of the Go project
	$(GO) tool -modfile=tools/go.mod govulncheck -db $(GOVULNDB) ./...

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

# BASE names the node to upgrade from, or UPGRADE_FROM the commit to build it from: the newest release, or else the commit before.
upgrade-test: ## nodes upgraded one by one and back, in all six orders, under load: failed submissions, digests, p99
	BASE=$(BASE) UPGRADE_ORDERS=all $(GO) test -count=1 -timeout 60m -run TestUpgrades -v ./test/e2e

# MEMBER_SEED says where the seeds begin.
member-histories: ## 300 random histories of membership changes with power cuts, full disks and partitions
	MEMBER_HISTORIES=300 $(GO) test -count=1 -timeout 60m -parallel 16 -run 'TestMemberHistories' -v ./internal/cluster

operator-day: ## members added, drained, removed, lost, replaced, restarted, upgraded under load, with the commands of the manual
	BASE=$(BASE) OPERATOR_DAY=whole $(GO) test -count=1 -timeout 60m -run TestOperatorsDay -v ./test/e2e

drill: build ## both incidents on scratch clusters with 100,000 submissions, with the timings
	bin/recount drill key
	bin/recount drill bypass

golden-arm64: ## the folds, kernels and ledgers of earlier builds on arm64, under qemu-user (Debian: qemu-user-static)
	GOARCH=arm64 CGO_ENABLED=0 $(GO) test -exec qemu-aarch64-static -run 'Golden|Corpus|Wycheproof|Ed25519|Scenarios|Squatter|SamePolicy' ./internal/pcs ./internal/verify ./internal/projections ./test/golden

# BASE names another recount-node binary. It is measured in turn with the one of this tree.
BASE ?=
bench: build ## throughput, lone clients and idle nodes against a bare TLS echo server, in one run
	$(GO) run ./test/bench $(if $(BASE),-base $(BASE))

bench-stages: ## where the processor time of a record goes and what answers wait for, from profiles of the three nodes
	$(GO) run ./test/bench -stages

# EVENTS is the size of the ledger of these two.
bench-reads: build ## reads, Ed25519 records and restarts in a ledger of EVENTS records (default 100000)
	$(GO) run ./test/bench -reads $(or $(EVENTS),100000) -limit 30m $(if $(BIN),-bin $(BIN))

bench-growth: build ## costs, memory, reads and restarts up to EVENTS records (default 1000000), at each power of ten
	$(GO) run ./test/bench -growth $(or $(EVENTS),1000000) -limit 6h $(if $(BIN),-bin $(BIN))

# test/peers is a module of its own, so that nothing of these systems is a dependency of Recount.
bench-peers: build ## etcd, NATS JetStream and PostgreSQL (if installed) with three replicas, in turn with Recount
	cd test/peers && $(GO) build -trimpath -o $(CURDIR)/bin/recount-peers .
	$(GO) run ./test/bench -peers bin/recount-peers -limit 30m

bench-batches: build ## batches of records beside single submissions, in one run
	$(GO) run ./test/bench -batches

bench-seed: ## a node joins a ledger of EVENTS records (default 200000), and what it costs live traffic. APART is a directory on another disk
	$(GO) run ./test/bench -seed $(or $(EVENTS),200000) -limit 30m $(if $(APART),-apart $(APART))

bench-evidence: ## checkpoints on and off: rate and processor time of single records
	$(GO) run ./test/bench -evidence -rounds 5 -limit 20m

bench-tail: ## from a commit to the readers of live tails
	$(GO) run ./test/bench -tail -rounds 5

bench-proofs: ## Merkle proofs of random events in a ledger of EVENTS records (default 1000000)
	$(GO) run ./test/bench -proofs $(or $(EVENTS),1000000) -limit 60m

bench-replay: ## a node joins a ledger of EVENTS records (default 200000) with a copy of the log, and another one by replication alone
	EVENTS=$(or $(EVENTS),200000) $(GO) test ./internal/node -run '^$$' -bench '^BenchmarkSeed$$' -benchtime 1x -timeout 60m -v

bench-recount: build ## a rebuild and an audit of 1,000,000 events, and what a rebuild costs live traffic
	$(GO) run ./test/bench -rebuild 1000000 -limit 20m

# tools/dashboards is a module of its own, so that nothing of Grafana is a dependency of Recount.
dashboards: ## write deploy/grafana/*.json from the tables of tools/dashboards
	cd tools/dashboards && $(GO) run . -out $(CURDIR)/deploy/grafana

dashboards-test: ## what the dashboards ask, on three nodes under a real Prometheus (Debian: prometheus, prometheus-node-exporter)
	cd tools/dashboards && $(GO) vet ./... && $(GO) test -count=1 -timeout 5m ./...
	$(GO) test -count=1 -timeout 10m -run 'TestDashboards$$' -v ./test/e2e

alerts-live: ## a real fault for each alert, with the time until it fires under a real Prometheus (needs root, prometheus, prometheus-node-exporter)
	RECOUNT_ALERTS=live $(GO) test -count=1 -timeout 60m -run 'TestAlertsLive$$' -v ./test/e2e

# STORAGE_DRIVER=vfs is for machines without overlay file systems. scripts/image.sh names its settings.
image: ## an image for amd64 and arm64 by buildah, with no daemon, and its SBOM, in bin/image
	VERSION='$(VERSION)' LDFLAGS='$(LDFLAGS)' scripts/image.sh

packages: pages ## .deb and .rpm for amd64 and arm64 by nfpm, in bin/packages
	VERSION='$(VERSION)' LDFLAGS='$(LDFLAGS)' scripts/packages.sh

# scripts/release.sh names its settings.
release: ## archives, packages, SBOMs, checksums and their signature of this commit, in bin/release. It publishes nothing
	VERSION='$(VERSION)' scripts/release.sh

image-test: ## build the image twice, compare the digests, and follow docs/deploy-containers.md (needs root, podman, runc)
	RECOUNT_IMAGE_TEST=1 $(GO) test -count=1 -timeout 30m -v ./test/containers

package-test: ## build the packages twice, lint them, and follow docs/deploy-packages.md (needs root, Debian, lintian, rpm)
	RECOUNT_PACKAGE_TEST=1 $(GO) test -count=1 -timeout 30m -v -run 'Packages$$' ./test/e2e

release-test: ## build a release twice and compare, follow docs/releases.md, and go install a tag (needs openssh-client)
	RECOUNT_RELEASE_TEST=1 $(GO) test -count=1 -timeout 60m -v ./test/release

# test/chart is a module of its own, so that Helm and the types of Kubernetes are no dependencies of Recount.
chart-test: build ## lint and render the Helm chart, check its objects, who may reach what, and its settings with real nodes
	cd test/chart && $(GO) vet ./... && CHART_BIN=$(CURDIR)/bin $(GO) test -count=1 -timeout 10m ./...

clean: ## remove what was built
	rm -rf bin
