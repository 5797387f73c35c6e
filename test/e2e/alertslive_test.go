package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// faster divides every "for" of the rules, and longBounds stand for the bounds that no test can wait for.
const faster = 60

var longBounds = []string{
	"> 26 * 3600", "> 26", // hours of a backup
	"> 90 * 86400", "> 90", // days of a key
}

// live is a cluster with faults, under a Prometheus that is faster.
type live struct {
	*dashed
	clocks  string
	env     []string
	small   string // a small file system, "" where this machine mounts none
	rows    []string
	founded time.Time
	fired   map[string]bool
	spares  map[string]string // binaries with a fault, by name
}

// fault is one thing that goes wrong, and the alerts that say so. The time runs from make on. Others than alerts and what may be missing.
type fault struct {
	alerts             string
	what               string
	before, make, undo func(l *live)

	founded bool // it is there since the cluster began
}

// TestAlertsLive makes one real fault after the other on three nodes and takes the time until each alert fires. The table of
// docs/monitoring.md has a row of every alert, with the fault, or with the reason why there is none.
func TestAlertsLive(t *testing.T) {
	if os.Getenv("RECOUNT_ALERTS") != "live" {
		t.Skip("make alerts-live: it takes ten minutes or so")
	}
	l := newLive(t)
	only := os.Getenv("RECOUNT_ALERTS_ONLY")
	for _, f := range faults() {
		if only == "" || regexp.MustCompile(only).MatchString(f.alerts) {
			l.play(f)
		}
	}
	t.Logf("alert | fault | s to firing | for here | for shipped\n%s", strings.Join(l.rows, "\n"))
	if only == "" {
		l.compare()
	}
}

func newLive(t *testing.T) *live {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "recount-node")
	must(t, harness.Build(root, bin, "./cmd/node", "-tags", "faultclock"))
	before := nodeBin
	recountTool(t)
	t.Cleanup(func() { nodeBin = before })
	l := &live{clocks: t.TempDir(), fired: map[string]bool{}, spares: map[string]string{}}
	l.small = smallDisk(t)
	w := newWitness(t)
	nodeBin = bin
	l.env = []string{"RECOUNT_FAULT_CLOCK=" + l.clocks, w.env()}
	if l.small != "" {
		l.env = append(l.env, "RECOUNT_AUDIT_LOG_FILE="+filepath.Join(l.small, "audit"))
	}
	l.founded = time.Now()
	l.dashed = newDashed(t, append(slices.Clone(longBounds), "        for: 1m\n", "        for: 1s\n", "        for: 2m\n", "        for: 2s\n",
		"        for: 5m\n", "        for: 5s\n", "        for: 10m\n", "        for: 10s\n", "        for: 30m\n", "        for: 30s\n"), l.env...)
	return l
}

// smallDisk mounts a file system for the audit stream.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if mount(t, dir, "256m") != nil {
		return ""
	}
	return dir
}

func mount(t *testing.T, dir, size string) error {
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size+",mode=0700")
	if err == nil {
		t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	}
	return err
}

// play makes a fault and waits until its alerts fire. None of them may fire before.
func (l *live) play(f fault) {
	l.Helper()
	names := strings.Fields(f.alerts)
	for _, name := range names {
		if silent := `absent(ALERTS{alertname="` + name + `",alertstate="firing"})`; !f.founded && !l.within(20*time.Second, silent) {
			l.Errorf("%s fires before its fault: %s", name, f.what)
			return
		}
	}
	if f.before != nil {
		f.before(l)
	}
	began := time.Now()
	if f.founded {
		began = l.founded
	} else {
		f.make(l)
	}
	left := slices.Clone(names)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for late := time.Now().Add(4 * time.Minute); len(left) > 0 && time.Now().Before(late); <-tick.C {
		left = slices.DeleteFunc(left, func(name string) bool {
			list, _ := l.ask(`ALERTS{alertname="` + name + `",alertstate="firing"}`)
			if len(list) > 0 {
				took := time.Since(began)
				if f.founded {
					took = l.first(name).Sub(began)
				}
				l.row(name, f.what, took)
			}
			return len(list) > 0
		})
	}
	if len(left) > 0 {
		l.Errorf("%s: never fires: %q", f.what, left)
	}
	if f.undo != nil {
		f.undo(l)
	}
}

// first is the time at which an alert fired for the first time.
func (l *live) first(name string) time.Time {
	l.Helper()
	list, err := l.ask(`min(min_over_time(timestamp(ALERTS{alertname="` + name + `",alertstate="firing"})[1h:1s]))`)
	if err != nil || len(list) != 1 {
		l.Fatalf("%s: %v %v", name, list, err)
	}
	return time.UnixMilli(int64(1000 * list[0].float()))
}

func (l *live) row(name, what string, took time.Duration) {
	shipped := ruleFor(l.T, name)
	l.fired[name] = true
	text := fmt.Sprintf("%s | %s | %.1f | %.0f | %.0f", name, what, took.Seconds(), shipped.Seconds()/faster, shipped.Seconds())
	l.Log(text)
	l.rows = append(l.rows, text)
}

// ruleFor is the time for which a rule waits, as shipped.
func ruleFor(t *testing.T, name string) time.Duration {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "deploy", "prometheus", "alerts.yaml"))
	must(t, err)
	_, rest, ok := strings.Cut(string(text), "alert: "+name+"\n")
	if !ok {
		t.Fatalf("no alert %s", name)
	}
	rest, _, _ = strings.Cut(rest, "alert: ")
	m := regexp.MustCompile(`(?m)^        for: (\d+)m$`).FindStringSubmatch(rest)
	if m == nil {
		return 0
	}
	minutes, err := strconv.Atoi(m[1])
	must(t, err)
	return time.Duration(minutes) * time.Minute
}

// compare holds the table of the page against what happened.
func (l *live) compare() {
	l.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs", "monitoring.md"))
	must(l.T, err)
	rules, err := os.ReadFile(filepath.Join(root, "deploy", "prometheus", "alerts.yaml"))
	must(l.T, err)
	for _, m := range regexp.MustCompile(`alert: (\w+)\n`).FindAllStringSubmatch(string(rules), -1) {
		name := m[1]
		timed := regexp.MustCompile(`\n\| ` + name + ` \| [^|]+ \| [0-9.]+ \|`).Match(page)
		if timed != l.fired[name] {
			l.Errorf("%s fired: %v, and the table of docs/monitoring.md has a time: %v", name, l.fired[name], timed)
		}
	}
}

// start starts node i again, with more in its environment. Later values go before earlier ones.
func (l *live) start(i int, env ...string) { l.startAs(i, nodeBin, env...) }

func (l *live) startAs(i int, bin string, env ...string) {
	l.Helper()
	all := append(slices.Clone(abuseKeys()), l.env...)
	must(l.T, l.c.RestartAs(i, []string{bin}, append(all, env...)...))
}

func (l *live) stop(i int) { must(l.T, l.c.Kill(i)) }

// back stops node i and starts it as the others are, and waits until all serve.
func (l *live) back(nodes ...int) {
	l.Helper()
	for _, i := range nodes {
		_ = l.c.Kill(i)
		l.start(i)
	}
	must(l.T, l.c.AwaitReady(l.ctx, 0, 1, 2))
	l.await(`sum(up{job="recount"}) == 3 and on () sum(flk_leader) == 1`)
}

func (l *live) hangup(nodes ...int) {
	for _, i := range nodes {
		must(l.T, l.c.Signal(i, syscall.SIGHUP))
	}
}

// follower gives a node that does not lead, the last one if it may choose.
func (l *live) follower() int {
	if lead := leaderOf(l.T, l.ctx, l.c); lead == 2 {
		l.a.run(nil, "cluster", "transfer", "node-1", "--reason", "try")
		l.await(`flk_leader{instance="` + l.instance(0) + `"} == 1`)
	}
	return 2
}

// send submits to some nodes until the returned function is called.
func (l *live) send(nodes []int, body func() []byte) (stop func()) {
	ctx, cancel := context.WithCancel(l.ctx)
	ended := make(chan struct{}, len(nodes))
	for _, i := range nodes {
		go func() {
			defer func() { ended <- struct{}{} }()
			web := l.c.HTTP(8)
			defer web.CloseIdleConnections()
			for ctx.Err() == nil {
				_ = harness.Call(ctx, web, http.MethodPost, l.c.API[i]+"/v1/pcs/submit", json.RawMessage(body()), nil)
			}
		}()
	}
	return func() {
		cancel()
		for range nodes {
			<-ended
		}
	}
}

// build compiles a node with a fault in it: one file of the tree with other words.
func (l *live) build(name, file, old, fresh string) string {
	l.Helper()
	if l.spares[name] != "" {
		return l.spares[name]
	}
	dir := l.TempDir()
	path := filepath.Join(root, file)
	text, err := os.ReadFile(path)
	must(l.T, err)
	if strings.Count(string(text), old) != 1 {
		l.Fatalf("%s does not have %q once", file, old)
	}
	must(l.T, os.WriteFile(filepath.Join(dir, "changed.go"), []byte(strings.Replace(string(text), old, fresh, 1)), 0o600))
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{path: filepath.Join(dir, "changed.go")}})
	must(l.T, err)
	must(l.T, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))
	bin := filepath.Join(dir, name)
	must(l.T, harness.Build(root, bin, "./cmd/node", "-tags", "faultclock", "-overlay", filepath.Join(dir, "overlay.json")))
	l.spares[name] = bin
	return bin
}

// command runs a program that must succeed.
func (l *live) command(name string, args ...string) {
	l.Helper()
	if out, err := exec.CommandContext(l.ctx, name, args...).CombinedOutput(); err != nil {
		l.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}
