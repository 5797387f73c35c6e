#!/usr/bin/env bash
# Builds the image of the tree for each architecture of IMAGE_ARCHES (default: amd64 arm64) with buildah, which needs no
# daemon. Two builds of one commit give one digest. In bin/image/ it leaves, for each of them,
#
#   recount-VERSION-ARCH.tar          the image, for podman load, docker load and skopeo
#   recount-node-VERSION-ARCH.cdx.json, recount-VERSION-ARCH.cdx.json    what is linked into the programs (CycloneDX)
#   digests                           the digest of each image
#
# and the image under IMAGE:ARCH in the storage of buildah, and IMAGE:latest for the architecture of this machine.
#
# The programs are compiled on this machine and copied into the image. The packages and the releases contain the same
# bytes, the compiler needs no image from a registry, and arm64 needs no emulator.
#
# IMAGE (default: localhost/recount), NODE_UID (default: 65532), VERSION and LDFLAGS as the Makefile has them.
set -euo pipefail
cd "$(dirname "$0")/.."
image=${IMAGE:-localhost/recount}
uid=${NODE_UID:-65532}
version=${VERSION:?run it by make image}
command -v buildah >/dev/null || { echo "make image needs buildah (Debian: apt install buildah)" >&2; exit 1; }

# The moment of everything in the image is that of the commit.
seconds=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
created=$(date -u -d "@$seconds" +%Y-%m-%dT%H:%M:%SZ)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
mkdir -p bin/image
: >bin/image/digests

build_one() {
  local arch=$1 context=bin/image/context-$1 archive=bin/image/recount-$version-$1.tar id digest
  rm -rf "$context" "$archive"
  install -d -m 0755 "$context"/root/{usr/bin,etc/recount,run/secrets,var/lib}
  install -d -m 0700 "$context/data/recount"
  # Engines make these files in the root of a container where an image has none.
  echo "recount:x:$uid:$uid::/var/lib/recount:/sbin/nologin" >"$context/root/etc/passwd"
  echo "recount:x:$uid:" >"$context/root/etc/group"
  for file in hosts hostname resolv.conf; do : >"$context/root/etc/$file"; done
  ln -s /proc/mounts "$context/root/etc/mtab"
  chmod 0644 "$context"/root/etc/{passwd,group,hosts,hostname,resolv.conf}
  scripts/static.sh "$arch" "$context/root/usr/bin"
  id=$(buildah bud --format docker --layers=false --identity-label=false --timestamp "$seconds" --platform "linux/$arch" \
    --build-arg NODE_UID="$uid" --build-arg VERSION="$version" --build-arg REVISION="$revision" \
    --build-arg CREATED="$created" --quiet --file deploy/container/Containerfile "$context")
  buildah push --quiet "$id" "docker-archive:$archive.first:$image:$arch"
  buildah rmi "$id" >/dev/null
  id=$(go run ./scripts/steady "$archive.first" "$archive" "$image:$arch")
  buildah pull --quiet "docker-archive:$archive" >/dev/null
  for program in recount-node recount; do
    "$sbom" bin -json -noserial -notimestamp -version "$version" -output "bin/image/$program-$version-$arch.cdx.json" \
      "$context/root/usr/bin/$program" 2>/dev/null
  done
  digest=$(buildah inspect --type image --format '{{.FromImageDigest}}' "$image:$arch")
  echo "$digest  sha256:$id  $arch" >>bin/image/digests
  rm -r "$context" "$archive.first"
}

sbom=$PWD/bin/cyclonedx-gomod
GOFLAGS='' go build -modfile=tools/ship/go.mod -o "$sbom" github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
for arch in ${IMAGE_ARCHES:-amd64 arm64}; do
  build_one "$arch"
done
own=$(go env GOHOSTARCH)
if buildah inspect --type image "$image:$own" >/dev/null 2>&1; then buildah tag "$image:$own" "$image:latest"; fi
ls -l bin/image/*.tar
echo "digest, image id, architecture:"
cat bin/image/digests
