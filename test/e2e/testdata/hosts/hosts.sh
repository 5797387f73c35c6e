#!/bin/bash
# hosts.sh DIR SCRIPT: runs SCRIPT in DIR on a machine that reaches three hosts, 10.0.0.1 to 10.0.0.3. A host is a
# network and a mount namespace with its own /etc, /var/lib and /usr/local/bin. ssh, scp and, on a host, systemctl are
# the small programs beside this file. With HOSTS_DISKS=1 each host has /var/lib/recount on a disk of its own, 2 GiB of
# ext4 in a file. With HOSTS_WHOLE=1 each host has a whole root of its own, which begins as that of this machine, so
# that packages can be installed there. DIR/.hosts/ADDRESS/upper has what it changed. It needs root, and runs inside of
# "unshare --net --mount --pid --fork --kill-child --mount-proc": everything ends with it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$1 script=$2
export HOSTS=$dir/.hosts
mkdir -p "$HOSTS"
ip link set lo up
ip link add hosts type bridge
ip address add 10.0.0.254/24 dev hosts
ip link set hosts up
for i in 1 2 3; do
  h=$HOSTS/10.0.0.$i
  mkdir -p "$h/lib" "$h/bin"
  cp -a /etc "$h/etc"
  cp "$here/systemctl" "$here/journalctl" "$here/notify.py" "$h/bin/"
  if [ -n "${HOSTS_DISKS:-}" ]; then
    mkdir -p "$h/lib/recount"
    truncate -s 2G "$h/disk"
    mkfs.ext4 -q -m 0 "$h/disk"
  fi
  mkdir -p "$h/etc/systemd/system"
  if [ -n "${HOSTS_WHOLE:-}" ]; then
    mkdir -p "$h/upper" "$h/work" "$h/root"
  fi
  unshare --net --mount bash -c '
    if [ -d "$1/upper" ]; then
      mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
      for fs in proc sys dev; do mount --rbind "/$fs" "$1/root/$fs"; done
      mount -t tmpfs tmpfs "$1/root/run" && mkdir -p "$1/root/run/systemd/system"
      cp "$1"/bin/* "$1/root/usr/bin/" # apt gives the scripts of packages no /usr/local/bin
      ip link set lo up
      echo $$ > "$1/pid"
      exec chroot "$1/root" sleep infinity
    fi
    mount --bind "$1/etc" /etc && mount --bind "$1/lib" /var/lib && mount --bind "$1/bin" /usr/local/bin
    if [ -f "$1/disk" ]; then mount -o loop "$1/disk" /var/lib/recount && rm -r /var/lib/recount/lost+found; fi
    ip link set lo up
    echo $$ > "$1/pid"
    exec sleep infinity' host "$h" &
  until [ -s "$h/pid" ]; do :; done
  pid=$(cat "$h/pid")
  ip link add "host$i" type veth peer name eth0 netns "$pid"
  ip link set "host$i" master hosts up
  nsenter --target "$pid" --net ip address add "10.0.0.$i/24" dev eth0
  nsenter --target "$pid" --net ip link set eth0 up
done
export PATH=$here:$PATH
cd "$dir"
bash -c "$script"
