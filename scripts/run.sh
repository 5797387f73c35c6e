#!/usr/bin/env bash
# The main job: a three-node cluster on this machine, the sample corpus sent to it, a summary. Serves until Ctrl-C.
# RUN_DIR (default: a new temporary directory), RUN_PORT (default 9440) and RUN_EXIT=1 (stop after the summary).
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${RUN_DIR:-$(mktemp -d -t recount-XXXXXX)}
port=${RUN_PORT:-9440}
mkdir -p "$dir"
# --sample brings the worthless test keys that the records are signed with; keys of the environment would be in its way.
unset PCS_SIGN_ALG PCS_HMAC_KEY PCS_HMAC_KEY_FILE PCS_HMAC_KEYS PCS_HMAC_KEYS_FILE PCS_ED25519_PUB_B64 PCS_ED25519_PUB_B64_FILE
echo "Starting three nodes in $dir ..." >&2
coproc NODES { exec bin/recount-node dev --sample --all-profiles --dir "$dir" --base-port "$port"; }
pid=$NODES_PID
trap 'kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true' EXIT
read -r line <&"${NODES[0]}" || { echo "the cluster did not start; see $dir/node-*/log" >&2; exit 1; }
echo "$line"
for corpus in good-hmac good-ed25519 bad-input; do
  echo "Sending testdata/$corpus.ndjson ..." >&2
  bin/recount submit --dev "$dir" --check "testdata/$corpus.ndjson"
done
bin/recount cluster status --dev "$dir"
bin/recount digest --dev "$dir"
cat <<TXT

Every record has one answer that all nodes agree on. What to try next, in another terminal:

  export RECOUNT_DEV=$dir
  bin/recount shard list
  bin/recount audit --outcome escalated --limit 5
  bin/recount get 65c8f709
  bin/recount token create --role auditor --name alice --expires 720h --out alice.token   # docs/roles.md
  kill -9 \$(cat $dir/node-1/pid)          # then: bin/recount cluster status
  bin/recount-node serve --config $dir/node-1/config.yaml
  bin/recount policy publish testdata/policies/tighter-tolerance.yaml   # then docs/recounting.md

TXT
if [ "${RUN_EXIT:-}" = 1 ]; then exit 0; fi
echo "Serving until Ctrl-C." >&2
wait "$pid"
