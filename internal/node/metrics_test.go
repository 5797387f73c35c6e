package node_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	spec "github.com/recount-ledger/recount/api"
	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/notary"
	"github.com/recount-ledger/recount/internal/version"
	"github.com/recount-ledger/recount/wire"
)

// closedLabels are all labels that a metric may have, with all their values. A new one needs a line, and its
// values must be known before the program runs.
var closedLabels = map[string]func(string) bool{
	"outcome": oneOf("accepted", "escalated", "refused", "conflict", "replayed", "throttled", "unavailable",
		"unknown", "error"),
	"limit":  oneOf("node", "address", "key"),
	"method": oneOf("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "other"),
	"class":  oneOf("2xx", "3xx", "4xx", "5xx"),
	"reason": oneOf("none", "invalid", "forbidden", "limited"), // of refused credentials

	"end": oneOf("generation_changed", "credential_ended", "not_ready", "stopping", "slow_reader", "failed",
		"reader_left"), // of live tails

	"certificate": oneOf("api", "peer"),
	"result": oneOf(append(notary.Results(), "loaded", "signed", "unsigned", "exported", "failed",
		"dropped")...), // of reloads, checkpoints, cosignatures, spans
	"route":    isRoute,
	"le":       isNumber,
	"quantile": isNumber, // bounds of histograms, quantiles of the runtime's summaries

	"store":     oneOf("events", "derived", "generations", "history"),
	"role":      oneOf("metrics", "auditor", "responder", "operator"), // of tokens
	"version":   isVersion,
	"goversion": isVersion, // go_info and flk_build_info

	"phase": oneOf("waiting", "preparing", "copying", "checking", "ready", "replicating"), // of a node that joins
}

func oneOf(values ...string) func(string) bool {
	return func(v string) bool { return slices.Contains(values, v) }
}

// isVersion holds for the version of Go and for that of the program, which the linker sets.
func isVersion(v string) bool {
	return v == version.Version || regexp.MustCompile(`^go1\.[0-9.]+(rc[0-9]+)?$`).MatchString(v)
}

func isNumber(v string) bool {
	_, err := strconv.ParseFloat(v, 64)
	return err == nil
}

var templates = regexp.MustCompile(`(?m)^  (/[^: ]*):$`)

// isRoute holds for the templates of the contract, written as the router writes them.
func isRoute(v string) bool {
	if v == "unmatched" || v == "/tile/:level/*" { // the contract has two routes for tiles
		return true
	}
	for _, m := range templates.FindAllStringSubmatch(string(spec.OpenAPI), -1) {
		if regexp.MustCompile(`\{([a-z_]+)\}`).ReplaceAllString(m[1], ":$1") == v {
			return true
		}
	}
	return false
}

var (
	sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? \S+$`)
	label      = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)
)

// openLabels lists what is not of a closed set in a page of metrics, and how many samples it has.
func openLabels(page string) (open []string, samples int) {
	for _, line := range strings.Split(strings.TrimSpace(page), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			open = append(open, "not a sample: "+line)
			continue
		}
		samples++
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			if known := closedLabels[l[1]]; known == nil || !known(l[2]) {
				open = append(open, fmt.Sprintf("%s: %s=%q", m[1], l[1], l[2]))
			}
		}
	}
	return open, samples
}

// TestLabelsAreClosed: after traffic of every kind no label of any metric has a value from outside.
func TestLabelsAreClosed(t *testing.T) {
	const marker = "marker-7f3a"
	c := nodetest.Start(t, 1, func(cfg *node.Config) { cfg.TokenRate, cfg.AddressRate, cfg.KeyRate = 20, 60, 15 })
	f := nodetest.NewRecords(t)
	for i := range 80 {
		r := nodetest.Record{
			Shard:   marker,
			Epoch:   int64(i / 3),
			Root:    "r",
			Wrong:   i%7 == 0,
			Forged:  i%5 == 0,
			Bare:    i%11 == 0,
			Attempt: i % 2,
		}
		c.Once(0, http.MethodPost, client.SubmitPath, f.Sign(r))
		c.Once(0, http.MethodPost, client.SubmitPath, []byte(`{"shard_id":"`+marker+`"`))
	}
	for _, m := range templates.FindAllStringSubmatch(string(spec.OpenAPI), -1) {
		path := regexp.MustCompile(`\{[a-z_]+\}`).ReplaceAllString(m[1], marker)
		for _, method := range []string{"GET", "HEAD", "POST", "DELETE", "BREW" + strings.ToUpper(marker[:6])} {
			if !strings.HasSuffix(path, "/progress") {
				c.Once(0, method, path+"?"+marker+"=1", []byte(`{"reason":"`+marker+`"}`))
			}
		}
	}
	c.Once(0, http.MethodGet, "/"+marker, nil)
	c.Once(0, http.MethodGet, "/v1/shards/"+marker, nil)
	page := metricsPage(t, c, 0)
	open, samples := openLabels(page)
	if samples < 100 || len(open) > 0 {
		t.Errorf("%d samples; not of a closed set: %q", samples, open)
	}
	for _, secret := range []string{marker, "MARKER", "node-1", "127.0.0.1", "hmac-", `"s"`} {
		if strings.Contains(page, secret) {
			t.Errorf("the page contains %q", secret)
		}
	}
	for _, want := range []string{`limit="node"`, `limit="key"`, `limit="address"`, `outcome="throttled"`,
		`route="unmatched"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the run was not busy enough: no %s", want)
		}
	}
	if open, _ := openLabels("x{shard=\"s\"} 1\ny{route=\"/v1/pcs/abc\"} 1\n"); len(open) != 2 {
		t.Errorf("the test sees nothing: %q", open)
	}
}

// TestMetricsListener: with a listener of its own /metrics is not on the API, and asks for the credentials of
// the settings.
func TestMetricsListener(t *testing.T) {
	c := nodetest.Start(t, 1, func(cfg *node.Config) {
		cfg.MetricsListen, cfg.MetricsUser, cfg.MetricsPass = nodetest.FreePort(t), "ops", "open sesame"
	})
	listen := c.Config(0).MetricsListen
	if status, _ := c.Once(0, http.MethodGet, "/metrics", nil); status != http.StatusNotFound {
		t.Errorf("/metrics on the API: %d", status)
	}
	for _, try := range []struct {
		path, user, pass string
		want             int
	}{
		{"/metrics", "", "", 401}, {"/metrics", "ops", "", 401}, {"/metrics", "ops", "open sesam", 401},
		{"/metrics", "ops", "open sesame ", 401}, {"/metrics", "", "open sesame", 401},
		{"/metrics", "Ops", "open sesame", 401}, {"/metrics", "ops", "open sesame", 200},
		{"/v1/audit", "ops", "open sesame", 404}, {"/livez", "", "", 404},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listen+try.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if try.user+try.pass != "" {
			req.SetBasicAuth(try.user, try.pass)
		}
		resp, err := c.HTTPFrom("127.0.0.1").Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != try.want ||
			(try.want == 200) != strings.Contains(string(body), "flk_applied_seq") {
			t.Errorf("%+v: %d, %v", try, resp.StatusCode, err)
		}
		var p wire.Problem
		if try.want == 401 &&
			(json.Unmarshal(body, &p) != nil || p.Code != wire.CodeUnauthorized ||
				resp.Header.Get("WWW-Authenticate") == "") {
			t.Errorf("%+v: %s", try, body)
		}
	}
}

// TestMetricsListenerOutsideLoopback: where others can listen, the page has the API's certificate.
func TestMetricsListenerOutsideLoopback(t *testing.T) {
	c := nodetest.Start(t, 1, func(cfg *node.Config) {
		_, port, _ := strings.Cut(nodetest.FreePort(t), ":")
		cfg.MetricsListen = "0.0.0.0:" + port
	})
	_, port, _ := strings.Cut(c.Config(0).MetricsListen, ":")
	for scheme, want := range map[string]int{"https": 200, "http": 400} {
		resp, err := c.HTTPFrom("127.0.0.1").Get(scheme + "://127.0.0.1:" + port + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d", scheme, resp.StatusCode)
		}
	}
}

// TestMetricsOfTheState: the page names the build, the bytes of the log, the missing disk reserve and the end
// of the first token of each role that counts and was made to last.
func TestMetricsOfTheState(t *testing.T) {
	c := nodetest.Start(t, 1, func(cfg *node.Config) { cfg.NoAuth = true })
	create := func(role wire.Role, life time.Duration) string {
		text, id, err := wire.NewToken(role)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Client.CreateToken(t.Context(),
			wire.TokenRequest{Op: wire.Op{OpID: "make-" + id, Reason: "test"}, ID: id, Role: role, Name: "somebody",
				Digest: wire.TokenDigest(text), ExpiresAt: wire.Time(time.Now().Add(life))})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	expiry := func(role string) float64 { return metricOf(t, c, `flk_token_expiry_seconds{role="`+role+`"}`) }
	create("auditor", 12*time.Hour)
	if got := expiry("auditor"); !math.IsInf(got, 1) {
		t.Errorf("a token for a shift counts: %v", got)
	}
	create("auditor", 60*24*time.Hour)
	first := create("auditor", 20*24*time.Hour)
	if got := expiry("auditor"); got > 20*86400 || got < 19*86400 {
		t.Errorf("first of two: %v", got)
	}
	if _, err := c.Client.RevokeToken(t.Context(), first, wire.TokenRevokeRequest{
		Op: wire.Op{OpID: "away", Reason: "test"},
	}); err != nil {
		t.Fatal(err)
	}
	if got := expiry("auditor"); got < 59*86400 {
		t.Errorf("a revoked token counts: %v", got)
	}
	if got := expiry("metrics"); !math.IsInf(got, 1) {
		t.Errorf("no token of the role: %v", got)
	}
	build := `flk_build_info{goversion="` + runtime.Version() + `",version="` + version.Version + `"}`
	if v := float64(event.NewestVersion); metricOf(t, c, "flk_cluster_version") != v ||
		metricOf(t, c, "flk_cluster_version_known") != v {
		t.Errorf("cluster versions:\n%s", metricsPage(t, c, 0))
	}
	if metricOf(t, c, build) != 1 || metricOf(t, c, "flk_log_bytes") <= 0 ||
		metricOf(t, c, "flk_ballast_missing_bytes") != 0 {
		t.Errorf("state:\n%s", metricsPage(t, c, 0))
	}
	for _, store := range []string{"events", "derived", "generations", "history"} {
		if metricOf(t, c, `flk_store_bytes{store="`+store+`"}`) <= 0 {
			t.Errorf("store %s takes no room", store)
		}
	}
	if log, store := metricOf(t, c, "flk_log_bytes"),
		metricOf(t, c, `flk_store_bytes{store="events"}`); store < log/2 || store > 2*log {
		t.Errorf("the log has %v bytes, the store of events %v", log, store)
	}
}

// metricOf is one sample of node 0, which must be there.
func metricOf(t *testing.T, c *nodetest.Cluster, sample string) float64 {
	t.Helper()
	_, rest, ok := strings.Cut(metricsPage(t, c, 0), "\n"+sample+" ")
	text, _, _ := strings.Cut(rest, "\n")
	v, err := strconv.ParseFloat(text, 64)
	if !ok || err != nil {
		t.Fatalf("no sample %s: %v", sample, err)
	}
	return v
}

// TestMetricsOfTheAlerts: the pages of a node and of recount backup have every metric that the shipped files for
// Prometheus speak of.
func TestMetricsOfTheAlerts(t *testing.T) {
	page := metricsPage(t, nodetest.Start(t, 1), 0)
	tool, err := os.ReadFile("../backup/metrics.go") // recount backup has a page of its own
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"alerts.yaml", "predecessor.yaml"} {
		text, err := os.ReadFile("../../deploy/prometheus/" + file)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`\bflk_[a-z_]+`).FindAllString(string(text), -1)
		if len(names) < 3 {
			t.Fatalf("%s names %d metrics", file, len(names))
		}
		for _, name := range names {
			if name == "flk_signature_err" {
				continue // what a rule makes
			}
			if strings.HasPrefix(name, "flk_backup_") && strings.Contains(string(tool), `put("`+name+`"`) {
				continue
			}
			if !strings.Contains(page, "\n"+name+" ") && !strings.Contains(page, "\n"+name+"{") {
				t.Errorf("%s: no node has %s", file, name)
			}
		}
	}
}
