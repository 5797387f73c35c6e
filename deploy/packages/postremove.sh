#!/bin/sh
# Removing the package keeps settings and data. Purging it (Debian) and erasing it (RPM has no purge) remove the
# directories and the user only where nothing of the ledger is left: a package manager must not delete the only copy of a
# ledger or of a key.
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
case "$1" in purge | 0) ;; *) exit 0 ;; esac

for dir in /etc/recount /var/lib/recount; do
  if [ -d "$dir" ]; then rmdir --ignore-fail-on-non-empty "$dir"; fi
  if [ -d "$dir" ]; then kept="$kept $dir"; fi
done
if [ -n "$kept" ]; then
  echo "recount: kept$kept and the user recount, to which they belong. Delete them yourself if nobody needs them." >&2
elif getent passwd recount >/dev/null; then
  userdel recount
fi
