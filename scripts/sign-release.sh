#!/usr/bin/env bash
# sign-release.sh FILE: writes FILE.sig with the key in the file that RELEASE_KEY_FILE names. Then it verifies the signature
# as users do (docs/releases.md), and so refuses a key that deploy/release/signers does not name. RELEASE_SIGNERS names
# another list.
set -euo pipefail
file=$1 signers=${RELEASE_SIGNERS:-$(dirname "$0")/../deploy/release/signers}
key=${RELEASE_KEY_FILE:?the file of the private key}
rm -f "$file.sig" # ssh-keygen would ask
ssh-keygen -q -Y sign -f "$key" -n recount-release "$file"
if ! ssh-keygen -q -Y verify -f "$signers" -I releases@recount-ledger.example -n recount-release -s "$file.sig" <"$file"; then
  rm -f "$file.sig"
  echo "$signers does not name the key of RELEASE_KEY_FILE: nothing is signed" >&2
  exit 1
fi
