#!/usr/bin/env bash
# static.sh ARCH DIR: compiles recount-node and recount for Linux on ARCH into DIR: static, without paths of this machine
# and without symbols for debuggers. The image and the packages contain these bytes. LDFLAGS is that of the Makefile.
set -euo pipefail
cd "$(dirname "$0")/.."
arch=$1 dir=$2
flags="-s -w ${LDFLAGS:?run it by make}"
for program in node:recount-node recount:recount; do
  GOOS=linux GOARCH=$arch CGO_ENABLED=0 GOFLAGS='' go build -trimpath -buildvcs=auto -ldflags "$flags" \
    -o "$dir/${program#*:}" "./cmd/${program%%:*}"
  chmod 0755 "$dir/${program#*:}"
done
