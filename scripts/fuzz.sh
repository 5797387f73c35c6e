#!/usr/bin/env bash
# Runs every fuzz target of the module for FUZZTIME each and stops at the first crash.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${FUZZTIME:=60s}"
go list -f '{{.ImportPath}} {{.Dir}}' ./... | while read -r pkg dir; do
  { grep -hoE '^func (Fuzz[A-Za-z0-9_]+)' "$dir"/*_test.go 2>/dev/null || true; } | awk '{print $2}' | while read -r target; do
    echo "== $pkg $target ($FUZZTIME)"
    # Without a bound, Go shortens one interesting input for a minute and tries nothing else.
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 10x "$pkg"
  done
done
