#!/usr/bin/env bash
# Builds what a release consists of into bin/release, and publishes nothing: archives, packages, SBOMs, SHA256SUMS, its
# signature, and the notes. Once the Go modules are on the machine, it needs no network. Two builds of one commit, in any
# directories, give the same SHA256SUMS.
#
# On a commit with a tag it builds that release, and refuses a tag without a section in CHANGELOG.md. Elsewhere, and in a
# tree with changes, it builds a snapshot without notes.
#
#   RELEASE_KEY_FILE   sign with this private key (scripts/sign-release.sh). Without it nothing is signed
#   RELEASE_IMAGES=1   with the images (scripts/image.sh)
#
# VERSION is that of the Makefile.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${VERSION:?run it by make release}
modes=() skips=publish,announce
mkdir -p bin
rm -rf bin/release bin/extra bin/share-client bin/packages bin/release-notes.md
if [ "$(git describe --tags --exact-match --match 'v[0-9]*' 2>/dev/null)" = "$version" ]; then
  scripts/release-notes.sh "$version" >bin/release-notes.md
  export GORELEASER_CURRENT_TAG=$version
else
  echo "$version is no tag of a clean tree: this is a snapshot" >&2
  modes=(--snapshot)
fi
[ -n "${RELEASE_KEY_FILE:-}" ] || skips+=,sign
# goreleaser knows no commit where git knows no remote. It asks for the address and never goes there.
if ! git ls-remote --get-url >/dev/null 2>&1; then
  export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=remote.origin.url GIT_CONFIG_VALUE_0=https://github.com/recount-ledger/recount
fi
wanted=go$(<.go-version)
if [ "$(go env GOVERSION)" != "$wanted" ]; then
  echo "this is $(go env GOVERSION), and releases are built by $wanted: the checksums differ from theirs" >&2
fi

make --no-print-directory packages
if [ "${RELEASE_IMAGES:-}" = 1 ]; then make --no-print-directory image; fi
mkdir -p bin/release bin/extra
# A release page changes the ~ of a version such as 1.2.3~rc.1 in the names of files.
for file in bin/packages/*.deb bin/packages/*.rpm; do
  name=${file##*/}
  cp "$file" "bin/extra/${name//\~/.}"
done
if [ "${RELEASE_IMAGES:-}" = 1 ]; then
  cp bin/image/recount-"$version"-*.tar bin/extra/
  cp bin/image/digests "bin/extra/recount-$version-images"
fi
# What belongs to the client alone, for the machines that run no node.
cp -r bin/share bin/share-client
find bin/share-client \( -name 'recount-node*' -o -name '_recount-node' \) -delete

GOFLAGS='' go build -modfile=tools/release/go.mod -o bin/goreleaser github.com/goreleaser/goreleaser/v2
GOFLAGS='' go build -modfile=tools/ship/go.mod -o bin/cyclonedx-gomod github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
PATH="$PWD/bin:$PATH" bin/goreleaser release --clean "${modes[@]}" --skip="$skips"

# Every file that SHA256SUMS names, and nothing else.
while read -r _ name; do
  if [ -e "bin/extra/$name" ]; then from=bin/extra; else from=bin/dist; fi
  cp "$from/$name" bin/release/
done <bin/dist/SHA256SUMS
cp bin/dist/SHA256SUMS* bin/release/
(cd bin/release && sha256sum --check --strict --quiet SHA256SUMS)
if [ -n "${RELEASE_KEY_FILE:-}" ]; then
  ssh-keygen -q -Y verify -f "${RELEASE_SIGNERS:-deploy/release/signers}" -I releases@recount-ledger.example \
    -n recount-release -s bin/release/SHA256SUMS.sig <bin/release/SHA256SUMS
fi
ls -l bin/release
