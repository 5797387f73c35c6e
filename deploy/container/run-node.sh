#!/usr/bin/env bash
# run-node.sh NODE [OPTION OF PODMAN RUN...]: starts a node in a container, with out/NODE as its settings, secrets/NODE as
# its secrets and the volume recount-NODE for everything that it writes. docs/deploy-containers.md makes these directories.
#
# The node has no capability, no way to get one, a read-only root and no other place to write. IMAGE names the image
# (localhost/recount).
set -euo pipefail
node=${1:?which node, such as node-1}
shift
exec podman run --detach --name "$node" --network=host --restart=on-failure:10 \
  --read-only --read-only-tmpfs=false --cap-drop=all --security-opt=no-new-privileges \
  --ulimit nofile=16384:16384 --ulimit nproc=4096:4096 --stop-timeout=30 \
  --volume "recount-$node:/var/lib/recount" \
  --volume "$PWD/out/$node:/etc/recount:ro" \
  --volume "$PWD/secrets/$node:/run/secrets:ro" \
  --env RECOUNT_API_KEY_FILE=/run/secrets/api.key \
  --env RECOUNT_PEER_KEY_FILE=/run/secrets/peer.key \
  --env RECOUNT_CHECKPOINT_KEY_FILE=/run/secrets/checkpoint.key \
  --env RECOUNT_AUTH_TOKENS_FILE=/run/secrets/tokens \
  "$@" "${IMAGE:-localhost/recount}"
