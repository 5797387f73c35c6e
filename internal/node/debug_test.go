package node_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// debugged is a node with a listener for profiles.
type debugged struct {
	*nodetest.Cluster
	t      *testing.T
	listen string
	audit  string // file of the audit stream
}

func newDebugged(t *testing.T) *debugged {
	d := &debugged{t: t, listen: nodetest.FreePort(t), audit: filepath.Join(t.TempDir(), "audit.log")}
	before := runtime.SetMutexProfileFraction(-1)
	t.Cleanup(func() {
		runtime.SetMutexProfileFraction(before)
		runtime.SetBlockProfileRate(0)
	})
	d.Cluster = nodetest.Start(t, 1, func(c *node.Config) {
		c.Debug = node.Debug{Listen: d.listen, BlockRate: 1000, MutexFraction: 7}
		c.MetricsListen, c.Audit.File = nodetest.FreePort(t), d.audit
	})
	return d
}

// get sends a request with the token of an operator, and changes it before.
func (d *debugged) get(path string, change func(*http.Request)) (int, []byte) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, "http://"+d.listen+path, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+d.Tokens[wire.RoleOperator])
	change(req)
	resp, err := d.HTTPFrom("127.0.0.1").Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, body
}

func asOperator(*http.Request) {}

// textsOf decodes a profile as https://github.com/google/pprof describes it: gzip around a message of which field 6 are the
// texts that it uses.
func textsOf(t *testing.T, profile []byte) (texts []string) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(profile))
	if err != nil {
		t.Fatalf("%v: %.200q", err, profile)
	}
	message, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		size := protowire.ConsumeFieldValue(number, kind, message[max(n, 0):])
		if n < 0 || size < 0 {
			t.Fatal("not a message")
		}
		if number == 6 {
			text, _ := protowire.ConsumeBytes(message[n:])
			texts = append(texts, string(text))
		}
		message = message[n+size:]
	}
	return texts
}

// TestProfiles: an operator gets the profiles of a node, at the rates of its settings, which no request changes.
func TestProfiles(t *testing.T) {
	d := newDebugged(t)
	for path, want := range map[string][]string{
		"profile?seconds=1":           {"cpu", "nanoseconds"},
		"heap?gc=1":                   {"inuse_space", "bytes"},
		"allocs":                      {"alloc_space", "bytes"},
		"goroutine":                   {"goroutine", "recount/internal/node."},
		"mutex?seconds=1&rate=1":      {"contentions", "delay"},
		"block?debug=0&rate=1":        {"contentions", "delay", "recount/internal/"},
		"threadcreate?fraction=99999": {"threadcreate", "count"},
	} {
		status, body := d.get("/debug/pprof/"+path, asOperator)
		if status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
			continue
		}
		texts := strings.Join(textsOf(t, body), " ")
		for _, text := range want {
			if !strings.Contains(texts, text) {
				t.Errorf("%s: no %q in %s", path, text, texts)
			}
		}
	}
	for path, want := range map[string]string{"trace?seconds=0.1": "go 1.", "goroutine?debug=2": "internal/node.", "": "mutex"} {
		if status, body := d.get("/debug/pprof/"+path, asOperator); status != http.StatusOK || !bytes.Contains(body, []byte(want)) {
			t.Errorf("%s: %d %.200q", path, status, body)
		}
	}
	if n := runtime.SetMutexProfileFraction(-1); n != 7 {
		t.Errorf("one of %d waits for locks, not of 7", n)
	}
}

// TestProfilesAreForOperators: nobody else gets anything, least of all a page in a browser on that machine, and refusals
// are in the audit stream.
func TestProfilesAreForOperators(t *testing.T) {
	d := newDebugged(t)
	_, port, _ := net.SplitHostPort(d.listen)
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	host := func(host string) func(*http.Request) { return func(r *http.Request) { r.Host = host } }
	token := func(role wire.Role) func(*http.Request) { return set("Authorization", "Bearer "+d.Tokens[role]) }
	nobody := func(r *http.Request) { r.Header.Del("Authorization") }
	unknown, _, err := wire.NewToken(wire.RoleOperator)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		path   string
		change func(*http.Request)
		want   int
	}{
		"operator":         {"heap", asOperator, 200},
		"localhost":        {"heap", host("localhost:" + port), 200},
		"IPv6":             {"heap", host("[::1]:" + port), 200},
		"typed in":         {"heap", set("Sec-Fetch-Site", "none"), 200},
		"no credential":    {"heap", nobody, 401},
		"in the query":     {"heap?token=" + d.Tokens[wire.RoleOperator], nobody, 401},
		"unknown token":    {"heap", set("Authorization", "Bearer "+unknown), 401},
		"Basic":            {"heap", set("Authorization", "Basic eDp5"), 401},
		"auditor":          {"heap", token(wire.RoleAuditor), 403},
		"metrics":          {"heap", token(wire.RoleMetrics), 403},
		"rebound name":     {"heap", host("attacker.example:" + port), 403},
		"name of loopback": {"heap", host("127.0.0.1.attacker.example"), 403},
		"other address":    {"heap", host("10.0.0.1:" + port), 403},
		"other origin":     {"heap", set("Origin", "https://attacker.example"), 403},
		"image of a page":  {"heap", set("Sec-Fetch-Site", "cross-site"), 403},
		"other port":       {"heap", set("Sec-Fetch-Site", "same-site"), 403},
		"preflight":        {"heap", func(r *http.Request) { r.Method = http.MethodOptions }, 405},
		"command line":     {"cmdline", asOperator, 404},
		"symbols":          {"symbol", asOperator, 404},
		"variables":        {"../vars", asOperator, 404},
		"too long":         {"profile?seconds=121", asOperator, 400},
		"endless":          {"trace?seconds=Inf", asOperator, 400},
	} {
		status, body := d.get("/debug/pprof/"+x.path, x.change)
		if status != x.want || status != 200 && bytes.Contains(body, []byte("recount/internal")) {
			t.Errorf("%s: %d, want %d: %.200s", name, status, x.want, body)
		}
	}
	d.Await("lines of the refusals", func() error {
		_, err := refusals(d.audit)
		return err
	})
	list, _ := refusals(d.audit)
	for _, want := range []string{"GET /debug/pprof/heap 401 ", "GET /debug/pprof/heap 403 test-auditor"} {
		if !slices.Contains(list, want) {
			t.Errorf("no %q in %v", want, list)
		}
	}
}

// refusals reads the refused reads of an audit stream. err says that there are fewer than ten.
func refusals(path string) (list []string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(text) {
		var x struct {
			Event, Route, Actor string
			Status              json.Number
		}
		if json.Unmarshal(line, &x) == nil && x.Event == "access_refused" {
			list = append(list, x.Route+" "+x.Status.String()+" "+x.Actor)
		}
	}
	if len(list) < 10 {
		return list, io.ErrUnexpectedEOF
	}
	return list, nil
}

// TestNoOtherProfiles: the other listeners serve neither profiles nor what libraries put on Go's default mux.
func TestNoOtherProfiles(t *testing.T) {
	d := newDebugged(t)
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/requests", "/debug/vars"} {
		if status, _ := d.Once(0, http.MethodGet, path, nil); status != http.StatusNotFound {
			t.Errorf("the API answers %s with %d", path, status)
		}
		resp, err := d.HTTPFrom("127.0.0.1").Get("http://" + d.Config(0).MetricsListen + path)
		if err != nil {
			t.Fatal(err)
		}
		if _ = resp.Body.Close(); resp.StatusCode != http.StatusNotFound {
			t.Errorf("the listener for metrics answers %s with %d", path, resp.StatusCode)
		}
	}
	if status, _ := d.get("/debug/requests", asOperator); status != http.StatusNotFound {
		t.Errorf("the listener for profiles answers /debug/requests with %d", status)
	}
}

// TestDebugSettings: a listener that others than operators of this machine could use is refused with the reason, and rates
// without a listener are pointed out.
func TestDebugSettings(t *testing.T) {
	good := nodetest.Start(t, 1).Config(0)
	good.Debug = node.Debug{Listen: "[::1]:6060", BlockRate: 1000, MutexFraction: 1}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*node.Config){
		"is not on loopback":                         func(c *node.Config) { c.Debug.Listen = "0.0.0.0:6060" },
		"ssh to reach it":                            func(c *node.Config) { c.Debug.Listen = "[::]:6060" },
		`debug.listen: "192.0.2.1:6060" is not`:      func(c *node.Config) { c.Debug.Listen = "192.0.2.1:6060" },
		"is the address of api.listen already":       func(c *node.Config) { c.Debug.Listen = c.API.Listen },
		"needs auth.required":                        func(c *node.Config) { c.NoAuth = true },
		"debug.block_rate: 0 (off), or 1000 or more": func(c *node.Config) { c.Debug.BlockRate = 1 },
	} {
		bad := good
		change(&bad)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	good.Debug.Listen, good.Tracing.Endpoint = "", "http://192.0.2.1:4318"
	warnings := strings.Join(good.Examine(time.Now()).Warnings, "\n")
	for _, want := range []string{"debug.listen: is missing", "cross the network in clear text"} {
		if !strings.Contains(warnings, want) {
			t.Errorf("no %q in %s", want, warnings)
		}
	}
}
