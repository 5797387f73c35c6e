#!/bin/sh
# Makes the user of the node and its two directories, and leaves what is there as it is. Debian calls it with
# "configure", RPM with the number of installed versions. It starts nothing: a new node needs its settings first, and
# the nodes of a cluster are upgraded one after another.
set -e
case "$1" in configure | 1 | 2) ;; *) exit 0 ;; esac

if ! getent passwd recount >/dev/null; then
  useradd --system --user-group --no-create-home --home-dir /var/lib/recount --shell /usr/sbin/nologin \
    --comment "Recount node" recount
fi
# The private keys in here belong to root: systemd hands copies of them to the node.
if [ ! -d /etc/recount ]; then install -d -o root -g recount -m 0750 /etc/recount; fi
if [ ! -d /var/lib/recount ]; then install -d -o recount -g recount -m 0700 /var/lib/recount; fi

if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
