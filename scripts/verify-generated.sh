#!/usr/bin/env bash
# Generates internal/event/event.pb.go again, into a directory of its own, and compares. The line that names the version of
# protoc is left out: other versions write the same code.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v protoc >/dev/null || { echo "protoc is missing (Debian: protobuf-compiler)" >&2; exit 1; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go build -modfile=tools/go.mod -o "$dir/protoc-gen-go" google.golang.org/protobuf/cmd/protoc-gen-go
(cd internal/event && protoc --plugin="$dir/protoc-gen-go" --go_out="$dir" --go_opt=paths=source_relative event.proto)
same() { grep -vE '^// 	protoc +v' "$1"; }
diff <(same internal/event/event.pb.go) <(same "$dir/event.pb.go") || {
  echo "internal/event/event.pb.go is not what event.proto gives; run \"make generate\"" >&2
  exit 1
}
