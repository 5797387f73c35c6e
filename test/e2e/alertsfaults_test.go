package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// faults are in an order in which no earlier one hides a later one: counters remember for minutes what was.
func faults() []fault {
	return slices.Concat(faultsOfWatchers(), faultsOfNodes(), faultsOfFiles(), faultsOfSenders(), faultsOfBuilds(), faultsOfDisks(), faultsOfTheEnd())
}

func faultsOfWatchers() []fault {
	return []fault{
		{alerts: "RecountNoSignatureErrors", what: "canaries ask one node of three", make: func(l *live) {
			l.tool(0, "canary", "--endpoint", l.c.API[0], "--textfile", filepath.Join(l.dashed.files, "canary.prom"))
		}, undo: func(l *live) { l.canary(0) }},
		{alerts: "RecountCanaryAway", what: "the text file of the canary is gone", make: func(l *live) {
			must(l.T, os.Remove(filepath.Join(l.dashed.files, "canary.prom")))
		}, undo: func(l *live) { l.canary(0) }},
		{alerts: "RecountNotScraped", what: "the list of nodes in the settings of Prometheus is empty", make: func(l *live) {
			l.reconfigure("- targets: ["+l.targets+"]", "- targets: []")
		}, undo: func(l *live) {
			l.reconfigure("- targets: []", "- targets: ["+l.targets+"]")
			l.await(`sum(up{job="recount"}) == 3`)
		}},
	}
}

// tool runs recount on the cluster by its addresses, with the token of an operator.
func (l *live) tool(want int, args ...string) {
	l.Helper()
	cmd := exec.CommandContext(l.ctx, recountTool(l.T), append(args, "--ca", filepath.Join(l.c.Dir, "ca.pem"), "--token-file",
		filepath.Join(l.c.Dir, "tokens", "operator.token"))...)
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != want {
		l.Fatalf("recount %v: %v: %s", args, err, out)
	}
}

// instance is the name that Prometheus has for node i.
func (l *live) instance(i int) string { return strings.TrimPrefix(l.c.API[i], "https://") }

// reconfigure changes the settings of Prometheus and lets it read them.
func (l *live) reconfigure(old, fresh string) {
	l.Helper()
	path := filepath.Join(l.dir, "prometheus.yml")
	text, err := os.ReadFile(path)
	must(l.T, err)
	if !strings.Contains(string(text), old) {
		l.Fatalf("no %q in the settings", old)
	}
	must(l.T, os.WriteFile(path, []byte(strings.Replace(string(text), old, fresh, 1)), 0o600))
	must(l.T, l.cmd.Process.Signal(syscall.SIGHUP))
}

func faultsOfNodes() []fault {
	var stop func()
	return []fault{
		{alerts: "RecountSlow", what: "the leader hangs for 1.5 s again and again, under load", make: func(l *live) {
			stop = l.hang()
		}, undo: func(l *live) { stop(); l.back() }},
		{alerts: "RecountNodeDown", what: "kill -9 of a node", make: func(l *live) { l.stop(l.follower()) }},
		{alerts: "RecountCanaryNoAnswer", what: "a canary while a node is down", make: func(l *live) { l.canary(5) }},
		{alerts: "RecountNoLeader RecountSubmissionsFail", what: "kill -9 of two nodes of three, under load", make: func(l *live) {
			stop = l.send([]int{0}, l.fresh())
			l.stop(1)
		}, undo: func(l *live) { stop(); l.back(1, 2); l.canary(0) }},
		{alerts: "RecountRestarts", what: "a node is killed and started four times", make: func(l *live) {
			for range 4 {
				started := `changes(process_start_time_seconds{instance="` + l.instance(2) + `"}[1h])`
				list, err := l.ask(started)
				must(l.T, err)
				l.stop(2)
				l.start(2)
				l.await(fmt.Sprintf("%s > %v", started, list[0].float()))
			}
		}, undo: func(l *live) { l.back() }},
		{alerts: "RecountClock", what: "the clock of a node goes an hour ahead", make: func(l *live) {
			must(l.T, os.WriteFile(filepath.Join(l.clocks, "node-3"), []byte("1h 0s"), 0o600))
		}, undo: func(l *live) { must(l.T, os.Remove(filepath.Join(l.clocks, "node-3"))); l.back() }},
	}
}

// fresh makes records of shards of its own.
func (l *live) fresh() func() []byte {
	l.Helper()
	source, err := harness.NewSource(root)
	must(l.T, err)
	shard := fmt.Sprint("live-", time.Now().UnixNano())
	var mu sync.Mutex
	return func() []byte {
		mu.Lock()
		defer mu.Unlock()
		body, _ := source.Next(shard)
		return body
	}
}

// hang stops the leader for 1.5 s and lets it run for 2, under load, until the returned function is called.
func (l *live) hang() (stop func()) {
	next, pace := l.fresh(), time.NewTicker(60*time.Millisecond)
	sending := l.send([]int{0, 1, 2}, func() []byte { <-pace.C; return next() })
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for at := range time.Tick(3500 * time.Millisecond) {
			select {
			case <-ended:
				return
			default:
			}
			lead := leaderOf(l.T, l.ctx, l.c)
			_ = l.c.Signal(lead, syscall.SIGSTOP)
			<-time.After(1500*time.Millisecond - time.Since(at))
			_ = l.c.Signal(lead, syscall.SIGCONT)
		}
	}()
	return func() { close(ended); <-done; sending(); pace.Stop() }
}

func faultsOfFiles() []fault {
	keyFile := func(l *live) string { return filepath.Join(l.clocks, "hmac-keys") }
	checkpoint := func(l *live) string { return filepath.Join(l.c.Dir, "checkpoint.key") }
	return []fault{
		{alerts: "RecountMissingSecret", what: "a node starts without one of the keys", make: func(l *live) {
			l.stop(2)
			l.start(2, "PCS_HMAC_KEYS="+harness.BenchKey)
		}, undo: func(l *live) { l.back(2) }},
		{alerts: "RecountKeyFilesFailed", what: "the file of the keys is removed", before: func(l *live) {
			must(l.T, os.WriteFile(keyFile(l), []byte(strings.TrimPrefix(abuseKeys()[0], "PCS_HMAC_KEYS=")), 0o600))
			l.stop(2)
			l.start(2, "PCS_HMAC_KEYS=", "PCS_HMAC_KEYS_FILE="+keyFile(l))
			must(l.T, l.c.AwaitReady(l.ctx, 2))
		}, make: func(l *live) {
			must(l.T, os.Remove(keyFile(l)))
			l.hangup(2)
		}, undo: func(l *live) { l.back(2) }},
		{alerts: "RecountCheckpointKeyFailed", what: "the file of the checkpoint keys is garbled", make: func(l *live) {
			text, err := os.ReadFile(checkpoint(l))
			must(l.T, err)
			must(l.T, os.WriteFile(checkpoint(l)+".kept", text, 0o600))
			must(l.T, os.WriteFile(checkpoint(l), []byte("no key\n"), 0o600))
			l.hangup(0, 1, 2)
		}, undo: func(l *live) {
			must(l.T, os.Rename(checkpoint(l)+".kept", checkpoint(l)))
			l.hangup(0, 1, 2)
		}},
		{alerts: "RecountCertificateEnds RecountCertificateEndsSoon", what: "a node gets certificates for five days", make: func(l *live) {
			l.certify(settingOfCluster(l), "5d")
		}},
		{alerts: "RecountCertificateRefused", what: "a node gets certificates of another cluster", make: func(l *live) { l.certify("other", "90d") },
			undo: func(l *live) { l.certify(settingOfCluster(l), "90d") }},
		{alerts: "RecountTokenEnds", what: "a token of the file ends in three days", make: func(l *live) {
			path := filepath.Join(l.c.Dir, "tokens", "tokens")
			text, err := os.ReadFile(path)
			must(l.T, err)
			line := fmt.Sprintf("brieftokenbrieft auditor %064x %s brief\n", 7, time.Now().Add(72*time.Hour).UTC().Format(time.RFC3339))
			must(l.T, os.WriteFile(path, append(text, line...), 0o600))
			l.stop(2)
			l.start(2)
		}},
		{alerts: "RecountLogLinesLost", what: "nobody reads the pipe that a node logs to", make: func(l *live) { l.unread(2) },
			undo: func(l *live) { l.back(2) }},
	}
}

func settingOfCluster(l *live) string {
	text, err := os.ReadFile(filepath.Join(l.c.Dir, "cluster-id"))
	must(l.T, err)
	return strings.TrimSpace(string(text))
}

// certify gives node 3 other certificates.
func (l *live) certify(cluster, validity string) {
	l.Helper()
	dir := l.TempDir()
	l.command(nodeBin, "certs", "create-node", "--cluster", cluster, "--node", "node-3", "--host", "127.0.0.1,localhost", "--validity", validity,
		"--api-ca", filepath.Join(l.c.Dir, "api-ca", "ca"), "--peer-ca", filepath.Join(l.c.Dir, "peer-ca", "ca"), "--out", dir)
	for from, to := range map[string]string{"api.crt": "api.pem", "api.key": "api-key.pem", "peer.crt": "peer.pem", "peer.key": "peer-key.pem"} {
		must(l.T, os.Rename(filepath.Join(dir, from), filepath.Join(l.c.NodeDir(2), to)))
	}
	l.hangup(2)
}

// unread starts a node with a pipe as its log that nobody reads, and lets it log.
func (l *live) unread(i int) {
	l.Helper()
	r, w, err := os.Pipe()
	must(l.T, err)
	l.Cleanup(func() { r.Close() })
	const setPipeSize = 1031
	_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, w.Fd(), setPipeSize, 4096)
	l.stop(i)
	log := filepath.Join(l.c.NodeDir(i), "log")
	must(l.T, os.Rename(log, log+".kept"))
	must(l.T, os.Symlink(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), w.Fd()), log))
	l.start(i)
	must(l.T, os.Remove(log))
	must(l.T, os.Rename(log+".kept", log))
	must(l.T, l.c.AwaitReady(l.ctx, i))
	l.await(`sum(up{job="recount"}) == 3`)
	web, dropped := l.c.HTTP(1), 0.0
	defer web.CloseIdleConnections()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for n := 0; dropped == 0 && n < 100_000; n++ { // a queue in memory is full before the first line is lost
		l.hangup(i)
		<-tick.C
		if n%500 == 0 {
			all, err := l.c.Metrics(l.ctx, web, i)
			must(l.T, err)
			dropped = all["flk_log_lines_dropped_total"]
		}
	}
}
