package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// smallDisk is the node whose data lies on a file system of its own, when this machine can make one.
const smallDisk = 2

// refuseLimit bounds the time in which a node refuses a directory.
const refuseLimit = time.Minute

var diskFaults = []fault{
	{name: "flipped bit", inject: flippedBit},
	{name: "wiped directory", inject: wiped, usable: remembersItself},
	{name: "swapped directories", inject: swapped, usable: remembersItself},
	{name: "copied directory", inject: copied, usable: remembersItself},
	{name: "full disk", mayEnd: true, inject: fullDisk, usable: func(n *nemesis) error { return n.mounted }},
}

// data is the data directory of a node.
func (b *bed) data(i int) string {
	if i == smallDisk && b.mounted == nil {
		return filepath.Join(b.node[i].dir, "disk", "data")
	}
	return filepath.Join(b.node[i].dir, "data")
}

// mountDisk moves the data of a stopped node to a file system in memory. Not every machine allows that.
func (b *bed) mountDisk() {
	dir := filepath.Join(b.node[smallDisk].dir, "disk")
	old := filepath.Join(b.node[smallDisk].dir, "data")
	b.mounted = func() error {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=3g,mode=0700"); err != nil {
			return fmt.Errorf("this machine does not mount a small file system: %w", err)
		}
		path := filepath.Join(b.node[smallDisk].dir, "config.yaml")
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		moved := bytes.Replace(text, []byte("\ndir: data\n"), []byte("\ndir: disk/data\n"), 1)
		if bytes.Equal(moved, text) {
			return fmt.Errorf("%s does not say \"dir: data\"", path)
		}
		if err := copyTree(old, filepath.Join(dir, "data")); err != nil {
			return err
		}
		return errors.Join(os.RemoveAll(old), os.WriteFile(path, moved, 0o600))
	}()
}

// unmountDisk keeps the data of a run that failed: what is in memory goes with the mount.
func (b *bed) unmountDisk() error {
	if b.mounted != nil {
		return nil
	}
	dir := filepath.Join(b.node[smallDisk].dir, "disk")
	return errors.Join(copyTree(filepath.Join(dir, "data"), filepath.Join(b.node[smallDisk].dir, "data")), unix.Unmount(dir, 0))
}

func copyTree(from, to string) error {
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("copy %s: %w: %s", from, err, out)
	}
	return nil
}

// fullDisk fills the disk of a node to the brim or nearly so, lets it be started on the full disk, and makes room again.
func fullDisk(ctx context.Context, n *nemesis) error {
	dir := filepath.Join(n.node[smallDisk].dir, "disk")
	filler := filepath.Join(dir, "filler")
	leave := []uint64{0, 0, 1 << 20, 32 << 20, 200 << 20}[n.rng.IntN(5)]
	if err := fill(dir, filler, leave); err != nil {
		return err
	}
	n.hold(ctx, 2*time.Second, 6*time.Second)
	if n.rng.IntN(2) == 0 {
		n.kill(smallDisk)
	}
	if !n.isRunning(smallDisk) {
		if err := n.restart(smallDisk); err != nil {
			return err
		}
		n.hold(ctx, time.Second, 4*time.Second)
	}
	return os.Remove(filler)
}

// fill leaves so many bytes free.
func fill(dir, filler string, leave uint64) error {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return err
	}
	f, err := os.Create(filler)
	if err != nil {
		return err
	}
	defer f.Close()
	take := s.Bavail*uint64(s.Bsize) - min(leave, s.Bavail*uint64(s.Bsize))
	const step = 4 << 20
	for at := uint64(0); at < take; at += step {
		if err := unix.Fallocate(int(f.Fd()), 0, int64(at), int64(min(step, take-at))); err != nil {
			break // the node has taken the rest
		}
	}
	return nil
}

// damage is one flipped bit of one file.
type damage struct {
	path        string
	at          int64
	before      []byte // around the bit
	after       []byte
	windowStart int64
}

func (d damage) String() string { return fmt.Sprintf("bit at byte %d of %s", d.at, d.path) }

// flip changes one bit of one file below dir, each file equally likely.
func (n *nemesis) flip(dir string) (d damage, err error) {
	var files []string
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil && info.Size() > 0 {
				files = append(files, path)
			}
		}
		return err
	})
	if err != nil || len(files) == 0 {
		return d, errors.Join(err, fmt.Errorf("%d files in %s", len(files), dir))
	}
	d.path = files[n.rng.IntN(len(files))]
	text, err := os.ReadFile(d.path)
	if err != nil {
		return d, err
	}
	d.at = n.rng.Int64N(int64(len(text)))
	d.windowStart = max(0, d.at-64)
	end := min(int64(len(text)), d.at+64)
	d.before = bytes.Clone(text[d.windowStart:end])
	text[d.at] ^= 1 << n.rng.IntN(8)
	d.after = bytes.Clone(text[d.windowStart:end])
	return d, d.write(d.after)
}

func (d damage) write(window []byte) error {
	f, err := os.OpenFile(d.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(window, d.windowStart)
	return errors.Join(err, f.Close())
}

// mend turns the bit back where it still is. A file that the node has replaced meanwhile needs nothing.
func (d damage) mend() error {
	text, err := os.ReadFile(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || int64(len(text)) < d.windowStart+int64(len(d.after)) {
		return err
	}
	if bytes.Equal(text[d.windowStart:d.windowStart+int64(len(d.after))], d.after) {
		return d.write(d.before)
	}
	return nil
}

// flippedBit: a node with a damaged file refuses to start, ends, keeps quiet, or serves what is right: the checker judges
// that. Then the bit is turned back; what is folded of it is deleted, as the manual says.
func flippedBit(ctx context.Context, n *nemesis) error {
	i := n.any()
	n.kill(i)
	d, err := n.flip(n.data(i))
	if err != nil {
		return err
	}
	if err := n.start(i); err != nil { // still expected to end
		return err
	}
	limit, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	what := n.fate(limit, i)
	if what == "serves" {
		n.hit(ctx)
	}
	n.kill(i)
	n.log("node-%d with a flipped %s: %s", i+1, d, what)
	if err := d.mend(); err != nil {
		return err
	}
	for _, name := range []string{"quarantine", "derived", "generations"} {
		if err := os.RemoveAll(filepath.Join(n.data(i), name)); err != nil {
			return err
		}
	}
	return n.restart(i)
}

// fate waits until a node has ended or serves.
func (n *nemesis) fate(ctx context.Context, i int) string {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-n.running(i):
			return fmt.Sprintf("refused, code %d: %s", n.exitCode(i), n.lastLine(i))
		case <-tick.C:
			if n.serves(ctx, n.probe, i) {
				return "serves"
			}
		case <-ctx.Done():
			return "does not serve"
		}
	}
}

// remembersItself: a directory that does not say whose it is cannot be told from another one.
func remembersItself(n *nemesis) error {
	if _, err := os.Stat(filepath.Join(n.data(0), "node.json")); err != nil {
		return fmt.Errorf("this build keeps no node.json: %w", err)
	}
	return nil
}

// mustRefuse starts nodes on directories that are not theirs and wants every one to refuse.
func (n *nemesis) mustRefuse(ctx context.Context, what string, which ...int) error {
	ctx, cancel := context.WithTimeout(ctx, refuseLimit)
	defer cancel()
	for _, i := range which {
		if err := n.start(i); err != nil { // still expected to end
			return err
		}
	}
	var errs []error
	for _, i := range which {
		select {
		case <-n.running(i):
			if n.exitCode(i) == 0 {
				errs = append(errs, fmt.Errorf("node-%d on a %s ended as if it were well", i+1, what))
			}
			n.log("node-%d on a %s: code %d: %s", i+1, what, n.exitCode(i), n.lastLine(i))
		case <-ctx.Done():
			errs = append(errs, fmt.Errorf("node-%d runs on a %s", i+1, what))
		}
		n.kill(i)
	}
	return errors.Join(errs...)
}

// aside moves a directory away, lets f try without it, and puts it back.
func aside(dir string, f func() error) error {
	if err := os.Rename(dir, dir+".aside"); err != nil {
		return err
	}
	err := f()
	return errors.Join(err, os.RemoveAll(dir), os.Rename(dir+".aside", dir))
}

// wiped: a node whose disk was replaced by an empty one must not come back by itself, nor when somebody says that the cluster is
// new.
func wiped(ctx context.Context, n *nemesis) error {
	i := n.any()
	n.kill(i)
	what := "wiped directory"
	if n.rng.IntN(2) == 0 {
		what = "wiped directory, called new,"
		n.node[i].env = []string{"RECOUNT_NEW_CLUSTER=true"}
	}
	err := aside(n.data(i), func() error { return n.mustRefuse(ctx, what, i) })
	n.node[i].env = nil
	if err != nil {
		return err
	}
	return n.restart(i)
}

// copied: a node must not run on a copy of the directory of another one.
func copied(ctx context.Context, n *nemesis) error {
	i, j := n.two()
	n.kill(i)
	n.kill(j)
	err := aside(n.data(i), func() error {
		if err := copyTree(n.data(j), n.data(i)); err != nil {
			return err
		}
		if err := n.restart(j); err != nil {
			return err
		}
		return n.mustRefuse(ctx, "copied directory", i)
	})
	if err != nil {
		return err
	}
	return n.restart(i)
}

// swapped: two nodes must not run on each other's directories.
func swapped(ctx context.Context, n *nemesis) error {
	i, j := n.two()
	n.kill(i)
	n.kill(j)
	err := aside(n.data(i), func() error {
		return aside(n.data(j), func() error {
			if err := copyTree(n.data(i)+".aside", n.data(j)); err != nil {
				return err
			}
			if err := copyTree(n.data(j)+".aside", n.data(i)); err != nil {
				return err
			}
			return n.mustRefuse(ctx, "swapped directory", i, j)
		})
	})
	if err != nil {
		return err
	}
	return errors.Join(n.restart(i), n.restart(j))
}
