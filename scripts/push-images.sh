#!/usr/bin/env bash
# push-images.sh DIR TAG TO: puts the images of a release in DIR together and sends them to TO:TAG, such as
# docker://ghcr.io/recount-ledger/recount. Engines then choose the one of their architecture. A registry asks for the name in
# GITHUB_ACTOR and the password in TOKEN. Needs podman.
set -euo pipefail
dir=$1 tag=$2 to=$3
case $to in
docker://*) podman login --username "$GITHUB_ACTOR" --password-stdin "$(cut -d/ -f3 <<<"$to")" <<<"$TOKEN" ;;
esac
list=localhost/recount-release:$tag
podman manifest rm "$list" >/dev/null 2>&1 || true
podman manifest create "$list"
for arch in amd64 arm64; do
  podman manifest add "$list" "docker-archive:$dir/recount-$tag-$arch.tar"
done
# The format of docker, since the one of OCI has no health check.
podman manifest push --all --format v2s2 "$list" "$to:$tag"
