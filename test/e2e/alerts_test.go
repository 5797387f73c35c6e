package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/freeport"
	"github.com/recount-ledger/recount/test/harness"
)

// watched is a Prometheus with the files of deploy/prometheus that scrapes a cluster.
type watched struct {
	*testing.T
	ctx context.Context
	c   *harness.Cluster
	url string

	exporter string   // host:port of a node_exporter with the text files of tools, if there is one
	faster   []string // changes of alerts.yaml in the place of those of run
	dir      string   // of Prometheus, with its settings
	targets  string   // in its settings
	cmd      *exec.Cmd
}

// TestAlertsOnRealNodes kills a follower, the leader and the last node under a Prometheus with the rules that are shipped, and starts
// them again. Only the times are shorter: seconds stand where the files have minutes.
func TestAlertsOnRealNodes(t *testing.T) {
	program, err := exec.LookPath("prometheus")
	if err != nil || !full {
		t.Skip("in the long form, with Prometheus: Debian has it in the package prometheus")
	}
	c, ctx := start(t, 3)
	w := &watched{T: t, ctx: ctx, c: c}
	w.run(program)
	w.await(`sum(up{job="recount"}) == 3 and sum(flk_leader) == 1`)
	w.await(firing("RecountCanaryAway", 1)) // nobody runs one: the rules are evaluated
	w.only("RecountCanaryAway")
	w.await(`http_requests_total{code=~"2.."} and on (instance) flk_signature_err`) // the predecessor's names

	leader := leaderOf(t, ctx, c)
	w.kill((leader + 1) % 3)
	w.await(firing("RecountNodeDown", 1))
	w.await(`sum(flk_leader) == 1`)
	w.only("RecountCanaryAway", "RecountNodeDown")

	w.kill(leader)
	w.await(firing("RecountNodeDown", 2) + " and on () " + firing("RecountNoLeader", 1))

	w.kill((leader + 2) % 3)
	w.await(firing("RecountNodeDown", 3))
	w.await(`count_over_time(absent(flk_leader)[6s:1s]) >= 5 and on () ` + firing("RecountNoLeader", 1)) // and it stays

	for i := range 3 {
		must(t, c.Restart(i))
	}
	must(t, c.AwaitReady(ctx, 0, 1, 2))
	w.await(`sum(flk_leader) == 1 unless on () ALERTS{alertname=~"RecountNoLeader|RecountNodeDown",alertstate="firing"}`)
}

func firing(alert string, n int) string {
	return fmt.Sprintf(`count(ALERTS{alertname=%q,alertstate="firing"}) == %d`, alert, n)
}

func (w *watched) kill(i int) {
	w.Helper()
	must(w.T, w.c.Kill(i))
}

// run starts Prometheus with the shipped files, the addresses of the cluster and short times in them.
func (w *watched) run(program string) {
	w.Helper()
	dir := w.TempDir()
	targets, exporter := []string{}, cmp.Or(w.exporter, "recount-1.internal:9100")
	for _, api := range w.c.API {
		targets = append(targets, fmt.Sprintf("%q", strings.TrimPrefix(api, "https://")))
	}
	w.rewrite(dir, "prometheus.yml", "15s", "1s", "credentials_file: recount-metrics.token", "credentials_file: "+filepath.Join(w.c.Dir, "tokens", "metrics.token"),
		"ca_file: recount-api-ca.crt", "ca_file: "+filepath.Join(w.c.Dir, "ca.pem"),
		`"recount-1.internal:9440", "recount-2.internal:9440", "recount-3.internal:9440"`, strings.Join(targets, ", "), "  # - predecessor.yaml", "  - predecessor.yaml", "  # - recording.yaml", "  - recording.yaml",
		"recount-1.internal:9100", exporter)
	if w.faster == nil {
		w.faster = []string{"        for: 1m\n", "        for: 2s\n", "        for: 2m\n", "        for: 2s\n", "        for: 5m\n", "        for: 2s\n"}
	}
	w.rewrite(dir, "alerts.yaml", w.faster...)
	w.rewrite(dir, "predecessor.yaml")
	w.rewrite(dir, "recording.yaml")
	addresses, err := freeport.Addresses(1)
	must(w.T, err)
	address := addresses[0]
	out, err := os.Create(filepath.Join(dir, "log"))
	must(w.T, err)
	cmd := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(w.T, cmd.Start())
	w.dir, w.cmd, w.targets = dir, cmd, strings.Join(targets, ", ")
	w.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if text, _ := os.ReadFile(out.Name()); w.Failed() {
			w.Logf("%s", text)
		}
		_ = out.Close()
	})
	w.url = "http://" + address
}

// rewrite copies a shipped file with other words in it; each of them must be there.
func (w *watched) rewrite(dir, name string, words ...string) {
	w.Helper()
	b, err := os.ReadFile(filepath.Join(root, "deploy", "prometheus", name))
	must(w.T, err)
	for i := 0; i < len(words); i += 2 {
		if !strings.Contains(string(b), words[i]) {
			w.Fatalf("%s has no %q", name, words[i])
		}
	}
	must(w.T, os.WriteFile(filepath.Join(dir, name), []byte(strings.NewReplacer(words...).Replace(string(b))), 0o600))
}

// series is one series that an expression has now.
type series struct {
	Metric map[string]string
	Value  [2]any // the time, and the value as text
}

func (s series) float() float64 {
	text, _ := s.Value[1].(string)
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

// ask gives the series that the expression has now.
func (w *watched) ask(expr string) ([]series, error) {
	var answer struct {
		Data  struct{ Result []series }
		Error string
	}
	status, err := harness.GetJSON(w.ctx, http.DefaultClient, w.url+"/api/v1/query?query="+url.QueryEscape(expr), &answer)
	if err != nil || status != http.StatusOK {
		return nil, fmt.Errorf("%s: %d %s %w", expr, status, answer.Error, err)
	}
	return answer.Data.Result, nil
}

// await waits until the expression has a value.
func (w *watched) await(expr string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		list, err := w.ask(expr)
		if err == nil && len(list) > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			alerts, _ := w.ask("ALERTS")
			text, _ := json.Marshal(alerts)
			w.Fatalf("never: %s: %v\nalerts: %s", expr, err, text)
		}
	}
}

// only waits until no other alert fires. One may fire for a moment, such as before the first scrape on a busy machine.
func (w *watched) only(names ...string) {
	w.Helper()
	w.await(fmt.Sprintf(`absent(ALERTS{alertstate="firing",alertname!~%q})`, strings.Join(names, "|")))
}
