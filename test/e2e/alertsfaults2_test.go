package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

func faultsOfSenders() []fault {
	var stop func()
	var lax string
	return []fault{
		{alerts: "RecountThrottled", what: "an agent sends more than a node takes (TOKEN_RATE=5)", before: func(l *live) {
			l.stop(2)
			l.start(2, "TOKEN_RATE=5")
			must(l.T, l.c.AwaitReady(l.ctx, 2))
		}, make: func(l *live) {
			stop = l.send([]int{2}, l.fresh())
		}, undo: func(l *live) { stop(); l.back(2) }},
		{alerts: "RecountForgeries", what: "an agent sends forgeries as fast as it can", make: func(l *live) {
			stop = l.send([]int{0, 0, 0, 0, 1, 1, 1, 1}, l.forged())
		}, undo: func(l *live) { stop() }},
		{alerts: "RecountFrozen", what: "a freeze that nobody ends", make: func(l *live) {
			l.a.run(nil, "freeze", "--reason", "try")
		}, undo: func(l *live) { l.a.run(nil, "thaw", "--reason", "tried") }},
		{alerts: "RecountCanaryLetThrough", what: "a policy takes unsigned records, and a canary runs", make: func(l *live) {
			lax = newRecount(l.T, l.ctx, l.c).publish(laxPolicy)
			l.a.run(nil, "policy", "apply", lax, "--reason", "ease", "--yes")
			l.canary(7)
		}},
		{alerts: "RecountCanaryFrozen", what: "the same behind a freeze", make: func(l *live) {
			l.a.run(nil, "freeze", "--reason", "canary")
			l.canary(7)
		}, undo: func(l *live) {
			strict := newRecount(l.T, l.ctx, l.c).publish(everyProfile)
			l.a.run(nil, "policy", "apply", strict, "--reason", "fix", "--yes")
			l.a.run(nil, "thaw", "--reason", "fixed")
			l.canary(0)
		}},
	}
}

// forged makes unsigned records.
func (l *live) forged() func() []byte {
	var epoch atomic.Int64
	return func() []byte {
		return l.a.records.Members("thief", epoch.Add(1)).Text(l.T)
	}
}

// wrongFold judges every slope that does not fit as one that does.
func (l *live) wrongFold() string {
	return l.build("wrong-fold", "internal/verify/outcome.go",
		"return r == ReasonDHatUnverifiable || r == ReasonDHatMismatch || r == ReasonCohBounds", "return r == ReasonCohBounds && false")
}

// refold starts node i with a build, which folds all history again.
func (l *live) refold(i int, bin string) {
	l.Helper()
	_ = l.c.Kill(i)
	for _, name := range []string{"quarantine", "derived", "generations"} {
		must(l.T, os.RemoveAll(filepath.Join(l.c.NodeDir(i), "data", name)))
	}
	l.startAs(i, bin)
}

func faultsOfBuilds() []fault {
	var stop func()
	return []fault{
		{alerts: "RecountFalseFacts", what: "a node of a build that takes every signature gets forgeries", before: func(l *live) {
			bin := l.build("every-signature", "internal/verify/keyset.go", "ok := hmac.Equal(m.h.Sum(m.sum[:0]), sig)", "ok := len(sig) > 0 || hmac.Equal(m.h.Sum(m.sum[:0]), sig)")
			l.stop(l.follower())
			l.startAs(2, bin)
			must(l.T, l.c.AwaitReady(l.ctx, 2))
		}, make: func(l *live) {
			stop = l.send([]int{2}, l.miskeyed())
		}, undo: func(l *live) { stop(); l.back(2) }},
		{alerts: "RecountQuarantined", what: "a node of a build that judges otherwise", before: func(l *live) {
			l.mismatches()
			l.wrongFold()
			l.follower()
		}, make: func(l *live) {
			l.refold(2, l.wrongFold())
		}, undo: func(l *live) { l.refold(2, nodeBin); l.back() }},
		{alerts: "RecountSuspended", what: "the same while another node is down", before: func(l *live) {
			l.wrongFold()
			l.follower()
			l.stop(1)
		}, make: func(l *live) {
			l.refold(2, l.wrongFold())
		}, undo: func(l *live) { l.start(1); l.refold(2, nodeBin); l.back() }},
	}
}

// miskeyed makes records with signatures of the right form that no key made.
func (l *live) miskeyed() func() []byte {
	next := l.fresh()
	return func() []byte {
		body := string(next())
		before, rest, ok := strings.Cut(body, `"sig":"`)
		if !ok {
			return []byte(body)
		}
		sig, after, _ := strings.Cut(rest, `"`)
		flip := byte('A')
		if sig[0] == flip {
			flip = 'B'
		}
		return []byte(before + `"sig":"` + string(flip) + sig[1:] + `"` + after)
	}
}

// mismatches sends the corpora once: some of their records have a slope that does not fit.
func (l *live) mismatches() {
	l.Helper()
	cases, _ := corpora(l.T, "good-hmac")
	web := l.c.HTTP(4)
	defer web.CloseIdleConnections()
	for i := range cases {
		_, _ = cases[i].Send(l.ctx, web, l.c.API[0])
	}
}

func faultsOfDisks() []fault {
	return []fault{
		{alerts: "RecountDamagedStore", what: "a folded state is damaged while its node is stopped", before: func(l *live) {
			l.stop(l.follower())
			l.damage(filepath.Join(l.c.NodeDir(2), "data", "generations"))
		}, make: func(l *live) {
			l.start(2)
		}, undo: func(l *live) { l.back() }},
		{alerts: "RecountAuditDropped", what: "the disk of the audit stream is full", make: func(l *live) {
			l.fill(l.small, 0)
			stop := l.send([]int{0, 1, 2}, l.fresh())
			l.await(`sum(flk_audit_dropped_total) > 0`)
			stop()
		}, undo: func(l *live) { must(l.T, os.Remove(filepath.Join(l.small, "filler"))) }},
		{alerts: "RecountDiskLow", what: "a disk fills: less than four times what is needed",
			before: func(l *live) { l.moveToDisk() }, make: func(l *live) { l.leave(3) }},
		{alerts: "RecountDiskFull RecountYielding", what: "it fills further: less than what is needed", make: func(l *live) { l.leave(0.5) }},
		{alerts: "RecountBallastUsed", what: "it fills further: the node releases its reserve", make: func(l *live) { l.leave(0.1) },
			undo: func(l *live) { l.moveBack() }},
	}
}

// damage changes bytes in the middle of the largest file below dir.
func (l *live) damage(dir string) {
	l.Helper()
	largest, size := "", int64(0)
	must(l.T, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() && info.Size() > size && !strings.Contains(path, "OPTIONS") {
			largest, size = path, info.Size()
		}
		return err
	}))
	f, err := os.OpenFile(largest, os.O_RDWR, 0)
	must(l.T, err)
	defer f.Close()
	_, err = f.WriteAt([]byte("damaged damaged damaged"), size/2)
	must(l.T, err)
}

// fill takes the room of the file system at dir but for some bytes.
func (l *live) fill(dir string, leave uint64) {
	l.Helper()
	path, size := filepath.Join(dir, "filler"), uint64(0)
	if st, err := os.Stat(path); err == nil {
		size = uint64(st.Size())
	}
	if free := freeBytes(l.T, dir); free > leave {
		l.command("fallocate", "-l", strconv.FormatUint(size+free-leave, 10), path)
	}
}

// leave fills the disk of node 3 until it has so many times what the node needs.
func (l *live) leave(times float64) {
	l.Helper()
	list, err := l.ask(`flk_disk_needed_bytes{instance="` + l.instance(2) + `"}`)
	must(l.T, err)
	l.fill(filepath.Join(l.c.NodeDir(2), "data"), uint64(times*list[0].float()))
}

// moveToDisk moves the data of node 3 to a file system of 2 GiB in memory.
func (l *live) moveToDisk() {
	l.Helper()
	l.stop(l.follower())
	data := filepath.Join(l.c.NodeDir(2), "data")
	must(l.T, os.Rename(data, data+".before"))
	must(l.T, os.Mkdir(data, 0o700))
	if err := mount(l.T, data, "2g"); err != nil {
		l.Fatalf("this machine mounts no file system: %v", err)
	}
	l.command("cp", "-a", data+".before/.", data)
	l.start(2, "RECOUNT_BALLAST=40000000")
	must(l.T, l.c.AwaitReady(l.ctx, 2))
	l.await(`flk_ballast_missing_bytes{instance="` + l.instance(2) + `"} == 0`)
}

// moveBack ends the small file system, and with it what the node wrote there: the others have it.
func (l *live) moveBack() {
	l.Helper()
	_ = l.c.Kill(2)
	data := filepath.Join(l.c.NodeDir(2), "data")
	must(l.T, os.Remove(filepath.Join(data, "filler")))
	l.command("cp", "-a", data+"/.", data+".after")
	must(l.T, syscall.Unmount(data, 0))
	must(l.T, os.Remove(data))
	must(l.T, os.Rename(data+".after", data))
	l.back(2)
}

func faultsOfTheEnd() []fault {
	return []fault{
		{alerts: "RecountBackupOld", what: "nobody makes a backup any more (26 s stand for 26 h)", make: func(l *live) { l.watchers() }},
		{alerts: "RecountKeyTooOld", what: "keys are not rotated (90 s stand for 90 days)", founded: true},
		{alerts: "RecountWitnessesAway", what: "the only witness is not there", founded: true},
		{alerts: "RecountRemovedNodeRuns", what: "a removed node is not stopped", make: func(l *live) {
			l.a.run(nil, "cluster", "remove", fmt.Sprint("node-", l.follower()+1), "--reason", "try", "--yes")
		}},
	}
}

func freeBytes(t *testing.T, dir string) uint64 {
	t.Helper()
	var s syscall.Statfs_t
	must(t, syscall.Statfs(dir, &s))
	return s.Bavail * uint64(s.Bsize)
}
