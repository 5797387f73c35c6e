package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/freeport"
	"github.com/recount-ledger/recount/test/harness"
)

// board is a dashboard of deploy/grafana, as Grafana reads it.
type board struct {
	name   string
	Title  string
	Panels []struct {
		Type, Title string
		Targets     []struct{ Expr string }
	}
	Templating struct {
		List []struct{ Type, Name, Query string }
	}
	Annotations struct{ List []struct{ Expr string } }
}

func readBoards(t *testing.T) (list []board) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, "deploy", "grafana", "*.json"))
	if err != nil || len(names) < 5 {
		t.Fatalf("%d dashboards: %v", len(names), err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		must(t, err)
		b := board{name: strings.TrimSuffix(filepath.Base(name), ".json")}
		must(t, json.Unmarshal(text, &b))
		list = append(list, b)
	}
	return list
}

// expr returns the first question of the panel with that title.
func (b board) expr(t *testing.T, title string) string {
	t.Helper()
	for _, p := range b.Panels {
		if p.Title == title {
			return p.Targets[0].Expr
		}
	}
	t.Fatalf("%s has no panel %q", b.name, title)
	return ""
}

// dashed is a cluster with a Prometheus, a node_exporter, and somebody who uses both.
type dashed struct {
	*watched
	a     *abused
	files string // of the node_exporter
}

// newDashed starts all three, with three nodes. It skips the test without the programs of Debian. faster changes the rules.
func newDashed(t *testing.T, faster []string, env ...string) *dashed {
	t.Helper()
	var programs [2]string
	for i, name := range []string{"prometheus", "prometheus-node-exporter"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("no %s here: Debian has it in the package of that name", name)
		}
		programs[i] = path
	}
	a := abuse(t, 3, env...)
	d := &dashed{a: a, watched: &watched{T: t, ctx: a.ctx, c: a.Cluster, faster: faster}, files: t.TempDir()}
	address, err := freeport.Addresses(1)
	must(t, err)
	d.exporter = address[0]
	cmd := exec.Command(programs[1], "--collector.disable-defaults", "--collector.textfile", "--collector.textfile.directory="+d.files,
		"--web.listen-address="+d.exporter)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	d.run(programs[0])
	d.await(`sum(up{job="recount"}) == 3 and on () up{job="node"} == 1 and on () sum(flk_leader) == 1`)
	return d
}

// traffic sends fresh records, and the corpora over and over: forgeries, conflicts, repeats, records of every fault.
func (d *dashed) traffic() {
	cases, _ := corpora(d.T, "good-hmac", "bad-input")
	source, err := harness.NewSource(root)
	must(d.T, err)
	ctx, cancel := context.WithCancel(d.ctx)
	ended := make(chan struct{})
	d.Cleanup(func() { cancel(); <-ended })
	go func() {
		defer close(ended)
		web := d.c.HTTP(4)
		defer web.CloseIdleConnections()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			api := d.c.API[i%3]
			_, _ = cases[i%len(cases)].Send(ctx, web, api)
			if body, err := source.Next("dashboard"); err == nil {
				_ = harness.Call(ctx, web, http.MethodPost, api+"/v1/pcs/submit", json.RawMessage(body), nil)
			}
			<-tick.C
		}
	}()
}

// watchers makes a token, a backup and a canary, with their text files.
func (d *dashed) watchers() {
	d.Helper()
	dir := d.TempDir()
	d.a.run(nil, "token", "create", "--role", "auditor", "--name", "alice", "--expires", "60d", "--reason", "try", "--out", filepath.Join(dir, "token"))
	d.a.run(nil, "keygen", "ed25519", "--out", filepath.Join(dir, "backup"))
	d.a.run(nil, "backup", "create", filepath.Join(dir, "target"), "--key", filepath.Join(dir, "backup.key"),
		"--metrics-file", filepath.Join(d.files, "made.prom"))
	out, err := exec.CommandContext(d.ctx, nodeBin, "backup", "verify", filepath.Join(dir, "target"), "--public-key", filepath.Join(dir, "backup.pub"),
		"--metrics-file", filepath.Join(d.files, "verified.prom")).CombinedOutput()
	if err != nil {
		d.Fatalf("%v: %s", err, out)
	}
	d.canary(0)
}

// canary runs one, which ends with a code.
func (d *dashed) canary(want int) {
	d.Helper()
	args := []string{"canary", "--textfile", filepath.Join(d.files, "canary.prom")}
	if want == 0 {
		d.a.run(nil, args...)
	} else if code, said := d.a.fails(args...); code != want {
		d.Fatalf("canary: exit %d: %s", code, said)
	}
}

// awaitPanel waits until a panel shows a number.
func (d *dashed) awaitPanel(b board, title string, want float64) {
	d.Helper()
	d.await(fmt.Sprintf("(%s) == %v", fill(b.expr(d.T, title), ".*"), want))
}

// fill puts values where Grafana puts them.
func fill(expr, instance string) string {
	return strings.NewReplacer("$__rate_interval", "20s", "$job", "recount", "$instance", instance).Replace(expr)
}

// TestDashboards plays a day of an operator on three nodes, and asks a real Prometheus what every panel, variable and annotation
// of the shipped dashboards asks: each has data. So have those of the predecessor, or a table says why not.
func TestDashboards(t *testing.T) {
	d := newDashed(t, nil)
	boards := readBoards(t)
	d.traffic()
	d.watchers()
	by := map[string]board{}
	for _, b := range boards {
		by[b.name] = b
	}
	d.awaitPanel(by["operator"], "Leaders (1 is right)", 1)
	d.awaitPanel(by["operator"], "Forged records accepted", 0)

	d.a.run(nil, "freeze", "--reason", "try")
	d.awaitPanel(by["operator"], "Freezes in force", 1)
	d.await(fill(by["incident"].expr(t, "Refused by a freeze"), ".*") + " > 0")
	d.a.run(nil, "thaw", "--reason", "tried")
	d.recount(by)
	d.everything(boards)
	d.predecessor()
	rules, err := os.ReadFile(filepath.Join(root, "deploy", "prometheus", "recording.yaml"))
	must(t, err)
	for _, m := range regexp.MustCompile(`- record: (\S+)`).FindAllStringSubmatch(string(rules), -1) {
		d.hasData("recording.yaml", m[1])
	}

	d.kill((leaderOf(t, d.ctx, d.c) + 1) % 3)
	d.awaitPanel(by["operator"], "Nodes that do not respond", 1)
}

// recount activates a policy that accepts forgeries, and lets the canary find that.
func (d *dashed) recount(by map[string]board) {
	d.Helper()
	r := newRecount(d.T, d.ctx, d.c)
	number := r.start(r.publish(laxPolicy))
	r.await(number)
	d.await(fill(by["recount"].expr(d.T, "Outcomes that change"), ".*") + " > 0")
	r.activate(number)
	d.await(fmt.Sprintf("count((%s) == %d) == 3", fill(by["recount"].expr(d.T, "Active generation"), ".*"), number))
	d.canary(7)
	d.await(fill(by["incident"].expr(d.T, "Forged records accepted"), ".*") + " > 0 and on () " + firing("RecountCanaryLetThrough", 1))
}

// everything asks what all dashboards ask, for every node where one is chosen.
func (d *dashed) everything(boards []board) {
	d.Helper()
	asked := 0
	for _, b := range boards {
		instances := []string{".*"}
		for _, v := range b.Templating.List {
			if v.Type != "query" {
				continue
			}
			values := d.labelValues(fill(v.Query, ".*"))
			if want := map[string]int{"job": 1, "instance": 3}[v.Name]; len(values) != want {
				d.Errorf("%s: the variable %s has the values %q", b.name, v.Name, values)
			}
			if v.Name == "instance" && b.name == "node" {
				instances = values
			}
		}
		for _, a := range b.Annotations.List {
			d.hasData(b.name+": annotations", fill(a.Expr, ".*"))
		}
		for _, p := range b.Panels {
			for _, q := range p.Targets {
				for _, instance := range instances {
					d.hasData(b.name+": "+p.Title, fill(q.Expr, instance))
					asked++
				}
			}
		}
	}
	d.Logf("asked %d questions of %d dashboards", asked, len(boards))
}

var labelValues = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)

// labelValues asks what a template variable asks.
func (d *dashed) labelValues(query string) []string {
	d.Helper()
	m := labelValues.FindStringSubmatch(query)
	if m == nil {
		d.Fatalf("no question of label_values: %s", query)
	}
	var answer struct{ Data []string }
	status, err := harness.GetJSON(d.ctx, http.DefaultClient, d.url+"/api/v1/label/"+m[2]+"/values?match[]="+url.QueryEscape(m[1]), &answer)
	if err != nil || status != http.StatusOK {
		d.Fatalf("%s: %d %v", query, status, err)
	}
	return answer.Data
}

// hasData waits until an expression has a number: a rate needs two scrapes.
func (d *dashed) hasData(what, expr string) {
	d.Helper()
	if !d.within(20*time.Second, expr) {
		d.Errorf("%s has no data: %s", what, expr)
	}
}

// within reports that an expression has a number before the time is over.
func (d *dashed) within(limit time.Duration, expr string) bool {
	d.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for late := time.Now().Add(limit); ; <-tick.C {
		list, err := d.ask(expr)
		if err != nil {
			d.Fatal(err)
		}
		for _, s := range list {
			if !math.IsNaN(s.float()) {
				return true
			}
		}
		if !time.Now().Before(late) {
			return false
		}
	}
}
