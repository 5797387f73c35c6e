package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/test/harness"
	"github.com/recount-ledger/recount/wire"
)

const (
	clockSkew   = 5 * time.Second  // how far log time may be off while a majority of the clocks is right
	clockOutage = 10 * time.Second // how long nothing may be acknowledged meanwhile
	clockDay    = 24 * time.Hour
	clockHold   = 8 * time.Second // how long a clock stays wrong
)

// clockCase is one thing that happens to clocks while records come in.
type clockCase struct {
	who   string // leader, follower or all
	step  time.Duration
	speed float64       // of the clocks that drift; 0 is none
	slept time.Duration // of the machines; they do not go back
	stops bool          // nothing is taken meanwhile: no majority of the clocks is right, and no node believes them
	named bool          // somebody says that the clock is wrong
}

func (k clockCase) String() string {
	switch {
	case k.slept != 0:
		return fmt.Sprintf("%s, asleep for %s", k.who, k.slept)
	case k.speed != 0:
		return fmt.Sprintf("%s, %.1f times as fast", k.who, k.speed)
	}
	return fmt.Sprintf("%s, %s", k.who, k.step)
}

// bound returns the largest error of log time: when all clocks are wrong and are believed, as far as they are.
func (k clockCase) bound() time.Duration {
	switch {
	case k.who != "all" || k.stops || k.slept != 0:
		return clockSkew
	case k.speed != 0:
		return k.shift(4*clockHold).Abs() + clockSkew
	}
	return k.step.Abs() + clockSkew
}

// shift returns the error of the clocks after a time.
func (k clockCase) shift(after time.Duration) time.Duration {
	if k.speed != 0 {
		return time.Duration(float64(after) * (k.speed - 1))
	}
	return k.step
}

func clockCases() []clockCase {
	if !full {
		return []clockCase{{who: "leader", step: 20 * time.Second, named: true}, {who: "follower", step: -30 * clockDay, named: true},
			{who: "all", step: 30 * clockDay, stops: true, named: true}, {who: "all", slept: 2 * time.Hour}}
	}
	var list []clockCase
	for _, who := range []string{"leader", "follower"} {
		for _, step := range []time.Duration{-30 * clockDay, -time.Hour, 20 * time.Second, time.Hour, 30 * clockDay} {
			list = append(list, clockCase{who: who, step: step, named: true})
		}
	}
	return append(list, clockCase{who: "leader", speed: 1.5, named: true}, clockCase{who: "leader", speed: 0.5, named: true},
		clockCase{who: "all", step: -30 * clockDay, stops: true, named: true}, clockCase{who: "all", step: 30 * clockDay, stops: true, named: true},
		clockCase{who: "all", step: 2 * time.Hour, stops: true, named: true}, clockCase{who: "all", step: -time.Hour},
		clockCase{who: "all", speed: 0.5}, clockCase{who: "all", speed: 1.5}, clockCase{who: "all", step: 20 * time.Second},
		clockCase{who: "all", step: time.Hour}, clockCase{who: "all", slept: 2 * time.Hour})
}

// TestClocksOnBinaries: clocks of one or of all nodes step or drift while records come in, and are right again. Log time is off
// by at most the bound, and nothing rests for long while a majority is right. The last case lets all machines sleep.
func TestClocksOnBinaries(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "recount-node")
	out, err := exec.Command("go", "build", "-tags", "faultclock", "-o", bin, "github.com/recount-ledger/recount/cmd/node").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	defer func(b string) { nodeBin = b }(nodeBin)
	nodeBin = bin
	files := t.TempDir()
	c, ctx := start(t, 3, "RECOUNT_FAULT_CLOCK="+files)
	must(t, c.AwaitReady(ctx, 0, 1, 2))
	b := &clockBed{Cluster: c, t: t, ctx: ctx, files: files, http: c.HTTP(8), acks: map[uint64]ack{}}
	defer b.http.CloseIdleConnections()
	sending, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	for i := range c.API {
		all.Go(func() { b.send(sending, i) })
	}
	defer all.Wait()
	defer stop()
	b.await("the first record", func() bool { return b.newest().After(time.Time{}) })
	rows := []string{"case | longest silence | log time off by | bound | who names the clock"}
	for _, k := range clockCases() {
		rows = append(rows, b.run(k))
	}
	t.Log("\n" + strings.Join(rows, "\n"))
}

// ack is one acknowledged record.
type ack struct{ sent, got time.Time }

type clockBed struct {
	*harness.Cluster
	t     *testing.T
	ctx   context.Context
	files string // directory of the shifts
	http  *http.Client

	read  uint64        // events up to here were looked at
	log   time.Time     // log time of the newest one
	ahead time.Duration // how far log time was put ahead by clocks that were believed; it never goes back
	slept time.Duration
	since time.Time // records sent earlier count no more: their time was before the sleep

	mu      sync.Mutex
	acks    map[uint64]ack
	last    time.Time
	silence time.Duration
	refused map[string]bool // nodes that answered with the code clock
}

// send sends fresh records to one node, one after the other.
func (b *clockBed) send(ctx context.Context, i int) {
	src, err := harness.NewSource(root)
	if err != nil {
		b.t.Error(err)
		return
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		body, err := src.Next(fmt.Sprint("clock-", i))
		if err != nil {
			b.t.Error(err)
			return
		}
		b.sendOne(ctx, i, body)
	}
}

func (b *clockBed) sendOne(ctx context.Context, i int, body []byte) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.API[i]+"/v1/pcs/submit", bytes.NewReader(body))
	if err != nil {
		b.t.Error(err)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	sent := time.Now()
	resp, err := b.http.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	var answer struct {
		Seq  uint64
		Code wire.Code
	}
	if json.NewDecoder(resp.Body).Decode(&answer) != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch now := time.Now(); {
	case resp.StatusCode == http.StatusOK:
		b.acks[answer.Seq] = ack{sent, now}
		b.silence, b.last = max(b.silence, now.Sub(b.last)), now
	case answer.Code == wire.CodeClock:
		b.refused[fmt.Sprint("node-", i+1)] = true
	}
}

func (b *clockBed) newest() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// begin forgets what was measured.
func (b *clockBed) begin() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last, b.silence, b.refused = time.Now(), 0, map[string]bool{}
	return b.last
}

// quiet is the longest silence since begin.
func (b *clockBed) quiet() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(b.silence, time.Since(b.last))
}

func (b *clockBed) await(what string, ok func() bool) {
	b.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			b.t.Fatalf("not within a minute: %s", what)
		}
	}
}

// set shifts the clocks of nodes.
func (b *clockBed) set(nodes []int, off time.Duration) {
	for _, i := range nodes {
		path := filepath.Join(b.files, fmt.Sprint("node-", i+1))
		must(b.t, os.WriteFile(path+".new", fmt.Appendf(nil, "%s %s", off, b.slept), 0o600))
		must(b.t, os.Rename(path+".new", path))
	}
}

// nodesOf returns the nodes whose clocks a case changes.
func (b *clockBed) nodesOf(who string) (list []int) {
	lead := -1
	b.await("a leader", func() bool {
		var a wire.ClusterAnswer
		status, err := harness.GetJSON(b.ctx, b.http, b.API[0]+"/v1/cluster", &a)
		n, _ := fmt.Sscanf(a.Leader, "node-%d", &lead)
		lead--
		return err == nil && status == http.StatusOK && n == 1
	})
	for i := range b.API {
		if who == "all" || (who == "leader") == (i == lead) && len(list) == 0 {
			list = append(list, i)
		}
	}
	return list
}

// run lets a case happen and gives its row.
func (b *clockBed) run(k clockCase) string {
	b.t.Helper()
	nodes := b.nodesOf(k.who)
	b.slept += k.slept
	if k.slept > b.ahead {
		b.set(nodes, 0)
		b.ahead, b.since = 0, time.Now().Add(50*time.Millisecond) // the nodes have read their files by then
	}
	began := b.begin()
	said := map[string]bool{}
	b.await(k.String(), func() bool {
		past := time.Since(began)
		b.set(nodes, k.shift(past))
		b.listen(nodes, said)
		heard := said["readyz"] && said["flk_clock_ok"] && (said["answer"] || !k.stops)
		return past >= 3*clockHold || k.speed == 0 && past >= clockHold && (heard || !k.named)
	})
	wrong, taken := b.quiet(), b.newest().After(began.Add(2*time.Second))
	back := time.Now()
	if k.stops {
		back = b.begin()
	}
	b.set(nodes, 0)
	b.await(k.String()+", right again: all nodes ready and a new record", func() bool {
		return b.allReady() && b.newest().After(back) || b.quiet() > 4*clockOutage
	})
	quiet, off := b.quiet(), b.logTimeOff(k)
	b.judge(k, quiet, off, said, taken)
	note := "nobody"
	if len(said) > 0 {
		note = strings.Join(keysOf(said), ", ")
	}
	silence := fmt.Sprintf("%.1f s", quiet.Seconds())
	if k.stops {
		silence = fmt.Sprintf("nothing taken while wrong (%.1f s), %.1f s after", wrong.Seconds(), quiet.Seconds())
	}
	return fmt.Sprintf("%s | %s | %.3f s | %.0f s | %s", k, silence, off.Seconds(), max(k.bound(), b.ahead).Seconds(), note)
}

func (b *clockBed) judge(k clockCase, quiet, off time.Duration, said map[string]bool, taken bool) {
	b.t.Helper()
	if quiet > clockOutage {
		b.t.Errorf("%s: nothing was acknowledged for %s", k, quiet)
	}
	if off > max(k.bound(), b.ahead) {
		b.t.Errorf("%s: log time is off by %s, more than %s", k, off, max(k.bound(), b.ahead))
	}
	if k.named && (!said["readyz"] || !said["flk_clock_ok"]) {
		b.t.Errorf("%s: only %v name the clock", k, keysOf(said))
	}
	if k.stops && (taken || !said["answer"]) {
		b.t.Errorf("%s: taken %v, named by %v", k, taken, keysOf(said))
	}
	if k.who == "all" && !k.stops && (k.step > 0 || k.speed > 1) {
		b.ahead = max(b.ahead, k.bound())
	}
}

// listen notes who says that a clock is wrong.
func (b *clockBed) listen(nodes []int, said map[string]bool) {
	i := nodes[len(nodes)-1]
	ctx, cancel := context.WithTimeout(b.ctx, 3*time.Second)
	defer cancel()
	if m, err := b.Metrics(ctx, b.http, i); err == nil && m["flk_clock_ok"] == 0 {
		said["flk_clock_ok"] = true
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.API[i]+"/readyz?verbose", nil)
	must(b.t, err)
	if resp, err := b.http.Do(req); err == nil {
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if strings.Contains(string(text), "[-]clock failed") {
			said["readyz"] = true
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.refused) > 0 {
		said["answer"] = true
	}
}

func (b *clockBed) allReady() bool {
	for _, api := range b.API {
		var body struct{}
		if status, _ := harness.GetJSON(b.ctx, b.http, api+"/readyz", &body); status != http.StatusOK {
			return false
		}
	}
	return true
}

// logTimeOff reads the new submissions in log order and says how far log time was from the time at which a record was on its way.
func (b *clockBed) logTimeOff(k clockCase) (worst time.Duration) {
	b.t.Helper()
	for {
		var page struct{ Items []wire.AuditItem }
		url := fmt.Sprintf("%s/v1/audit?limit=1000&from_seq=%d", b.API[0], b.read+1)
		if status, err := harness.GetJSON(b.ctx, b.http, url, &page); err != nil || status != http.StatusOK {
			b.t.Fatalf("audit: %d %v", status, err)
		}
		if len(page.Items) == 0 {
			return worst
		}
		for _, item := range page.Items {
			at, err := time.Parse(time.RFC3339Nano, item.LogTime)
			must(b.t, err)
			if at.Before(b.log) {
				b.t.Errorf("%s: log time goes back from %s to %s at %d", k, b.log, at, item.Seq)
			}
			b.read, b.log = item.Seq, at
			b.mu.Lock()
			a, ok := b.acks[item.Seq]
			b.mu.Unlock()
			if ok && a.sent.After(b.since) {
				worst = max(worst, a.sent.Add(b.slept).Sub(at), at.Sub(a.got.Add(b.slept)))
			}
		}
	}
}

func keysOf(m map[string]bool) (list []string) {
	for _, name := range []string{"answer", "readyz", "flk_clock_ok"} {
		if m[name] {
			list = append(list, name)
		}
	}
	return list
}
