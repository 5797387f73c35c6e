#!/usr/bin/env bash
# Builds recount_VERSION_ARCH.deb and the .rpm for each architecture of ARCHES (default: amd64 arm64), in bin/packages.
# Two builds of one commit give the same bytes. The programs are those of the image (scripts/static.sh). bin/share has
# the manual pages and the completion scripts. VERSION and LDFLAGS are those of the Makefile.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${VERSION:?run it by make packages}
seconds=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH=$seconds
# v1.2.3-4-gabc is 1.2.3+4.gabc, behind 1.2.3, and v1.2.3-rc.1 is 1.2.3~rc.1, before it. What has no tag is before the
# first version.
case $version in
v[0-9]*-alpha* | v[0-9]*-beta* | v[0-9]*-rc*) PACKAGE_VERSION=${version#v} PACKAGE_VERSION=${PACKAGE_VERSION/-/\~} ;;
v[0-9]*) PACKAGE_VERSION=${version#v} PACKAGE_VERSION=${PACKAGE_VERSION/-/+} ;;
*) PACKAGE_VERSION=0.0.0~git$(date -u -d "@$seconds" +%Y%m%d).$version ;;
esac
PACKAGE_VERSION=${PACKAGE_VERSION//-/.}
export PACKAGE_VERSION ARCH STAGE

nfpm=$PWD/bin/nfpm
GOFLAGS='' go build -modfile=tools/ship/go.mod -o "$nfpm" github.com/goreleaser/nfpm/v2/cmd/nfpm
umask 022
out=bin/packages
mkdir -p "$out"

# stage KIND fills STAGE with the files of a machine. Debian keeps the text of the license in one place, and completion
# for zsh in another one.
stage() {
  local doc=$STAGE/usr/share/doc/recount units=$STAGE/usr/lib/systemd/system
  rm -rf "$STAGE"
  install -d "$units/recount-node.service.d" "$doc/examples"
  cp -r "$programs" "$STAGE/usr/bin"
  sed 's|/usr/local/bin/|/usr/bin/|' deploy/systemd/recount-node.service >"$units/recount-node.service"
  cp deploy/systemd/credentials.conf "$units/recount-node.service.d/"
  cp -r bin/share/. "$STAGE/usr/share/"
  gzip -9n "$STAGE"/usr/share/man/man1/*
  cp deploy/packages/config.yaml deploy/systemd/recount-backup.service deploy/prometheus/alerts.yaml "$doc/examples/"
  gzip -9n <CHANGELOG.md >"$doc/changelog.gz"
  if [ "$1" = deb ]; then
    mv "$STAGE/usr/share/zsh/site-functions" "$STAGE/usr/share/zsh/vendor-completions"
    cp deploy/packages/copyright "$doc/"
    printf '%s\n' "recount ($PACKAGE_VERSION-1) stable; urgency=medium" '' '  * changelog.gz has what changed.' '' \
      " -- Recount maintainers <maintainers@recount-ledger.example>  $(date -u -R -d "@$seconds")" |
      gzip -9n >"$doc/changelog.Debian.gz"
    install -D -m 0644 deploy/packages/lintian-overrides "$STAGE/usr/share/lintian/overrides/recount"
  else
    cp LICENSE "$doc/"
  fi
  chmod -R u=rwX,go=rX "$STAGE"
}

for ARCH in ${ARCHES:-amd64 arm64}; do
  STAGE=$out/stage-$ARCH programs=$out/programs-$ARCH
  mkdir -p "$programs"
  scripts/static.sh "$ARCH" "$programs"
  for kind in deb rpm; do
    stage "$kind"
    "$nfpm" package --config deploy/packages/nfpm.yaml --packager "$kind" --target "$out/"
  done
  rm -r "$STAGE" "$programs"
done
(cd "$out" && sha256sum ./*.deb ./*.rpm | tee sha256sums)
