#!/bin/sh
# Stops the node before its program goes. An upgrade stops nothing.
set -e
case "$1" in remove | 0) ;; *) exit 0 ;; esac

if [ -d /run/systemd/system ]; then systemctl --quiet disable --now recount-node.service || true; fi
