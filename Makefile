SHELL := /bin/bash
.DEFAULT_GOAL := help

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LINT     := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
SUDO     := $(shell [ "$$(id -u)" = 0 ] || echo sudo -n)
FUZZTIME ?= 5m
# The fuzz targets of which make test runs a little, as package:target:inputs. No
# times: go test may call its own time limit a failure, when it ends a worker.
FUZZ     ?= lang:FuzzScan:20000x lang:FuzzCompile:10000x lang:FuzzCompilePath:15000x yamldoc:FuzzParse:10000x mapping:FuzzLoad:700x mapping:FuzzMapping:1200x
FOR      ?= 1h
SCALE    ?= 10
CHAOS    := $(GO) test -tags chaos ./cmd/cibridge -run '^TestChaos$$' -count=1 -v

.PHONY: help build run test tools chaos soak lint bench fuzz clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/cibridge
	@mkdir -p bin
	$(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/cibridge ./cmd/cibridge

run: build ## build and start everything in one process, no setup
	./bin/cibridge dev

# What the tests use beyond Go. Missing parts are installed where that is
# possible; otherwise the tests that need them say so.
tools:
	@for need in redis-server:redis-server gcc:gcc; do \
	  command -v $${need%%:*} >/dev/null && continue; \
	  if command -v apt-get >/dev/null && $(SUDO) true 2>/dev/null; then \
	    echo "installing $${need##*:}"; \
	    { $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $${need##*:} $$([ $${need%%:*} = gcc ] && echo libc6-dev); } >/dev/null 2>&1 \
	      || echo "could not install $${need##*:}"; \
	  fi; \
	done; \
	command -v redis-server >/dev/null || echo "skipped: tests on a real Redis (no redis-server on PATH; install it with your package manager)"; \
	command -v gcc >/dev/null || echo "skipped: the race detector (no C compiler on PATH)"

test: tools ## all tests, with the race detector where there is a C compiler
	@if command -v gcc >/dev/null; then set -x; CGO_ENABLED=1 $(GO) test -race -timeout 20m ./...; else set -x; $(GO) test -timeout 20m ./...; fi
	$(GO) test ./bridge -run TestAnyOrderConverges -rapid.checks=100000
	@set -e; for t in $(FUZZ); do IFS=: read -r in target inputs <<<"$$t"; echo "== $$target"; $(GO) test ./internal/$$in -run '^$$' -fuzz "^$$target$$" -fuzztime $$inputs -fuzzminimizetime 10x; done

chaos: tools ## kill, freeze and cut off servers and Redis under load: 0 lost, 0 stale
	$(CHAOS) -timeout 20m

soak: tools ## the same with SCALE times the load, round after round for FOR (1h)
	$(CHAOS) -timeout 0 -chaos.scale $(SCALE) -chaos.for $(FOR)

lint: ## vet, linters, formatting, go.mod
	$(GO) mod tidy -diff
	$(GO) mod verify
	$(GO) run $(LINT) run ./...

bench: build ## events per second beside a bare floor, and Redis bytes per run
	$(GO) run ./cmd/bench -cibridge bin/cibridge

fuzz: ## every fuzz target for FUZZTIME
	@set -e; grep -rl --include=*_test.go '^func Fuzz' . | while read -r file; do \
	  for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
	    echo "== $$target"; $(GO) test $$(dirname $$file) -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x; \
	  done; \
	done

clean: ## what the build made
	rm -rf bin
