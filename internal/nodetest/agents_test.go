package nodetest

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/cluster/certs"
)

// blocks are the fenced blocks of a language in a page.
func blocks(t *testing.T, page, language string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", page))
	must(t, err)
	var out []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		out = append(out, m[1])
	}
	return out
}

// delivery is one request that reached the front, and what it was answered.
type delivery struct {
	at       time.Time
	epoch    json.Number
	status   int
	accepted bool
}

// front stands before node 0 with a certificate of the cluster. It answers the first requests itself, with faults, and hands on
// the rest.
type front struct {
	url string
	ca  string // file

	mu     sync.Mutex
	faults []http.Header // status in "Status"
	seen   []delivery
}

func newFront(t *testing.T, c *Cluster) *front {
	t.Helper()
	f := &front{ca: filepath.Join(t.TempDir(), "ca.pem")}
	must(t, os.WriteFile(f.ca, c.CA.CertPEM(), 0o644))
	cert, key, err := c.CA.Issue(certs.Request{CommonName: "front", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true})
	must(t, err)
	pair, err := tls.X509KeyPair(cert, key)
	must(t, err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/pcs/submit" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s, %q: %v", r.Method, r.URL.Path, r.Header.Get("Content-Type"), err)
		}
		f.serve(w, body, c)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *front) serve(w http.ResponseWriter, body []byte, c *Cluster) {
	var record struct {
		Epoch json.Number `json:"epoch"`
	}
	_ = json.Unmarshal(body, &record)
	d := delivery{at: time.Now(), epoch: record.Epoch}
	f.mu.Lock()
	defer f.mu.Unlock()
	var answer []byte
	if len(f.faults) > 0 {
		h := f.faults[0]
		f.faults = f.faults[1:]
		_, _ = fmt.Sscan(h.Get("Status"), &d.status)
		if wait := h.Get("Retry-After"); wait != "" {
			w.Header().Set("Retry-After", wait)
		}
		answer = []byte("<html>a proxy's own page</html>")
	} else {
		d.status, answer = c.Once(0, http.MethodPost, "/v1/pcs/submit", body)
		var said struct {
			Accepted bool `json:"accepted"`
		}
		_ = json.Unmarshal(answer, &said)
		d.accepted = said.Accepted
	}
	f.seen = append(f.seen, d)
	w.WriteHeader(d.status)
	_, _ = w.Write(answer)
}

// fail lets the next requests fail; a fault is a status and, behind a space, the seconds of Retry-After.
func (f *front) fail(faults ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = nil
	for _, text := range faults {
		status, wait, _ := strings.Cut(text, " ")
		f.faults = append(f.faults, http.Header{"Status": {status}, "Retry-After": {wait}})
	}
}

// run plays a program in a directory, with the base record on its standard input.
func (f *front) run(t *testing.T, dir string, base []byte, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(base)
	cmd.Env = append(os.Environ(), "URL="+f.url, "KEY="+trustedKey(t), "SSL_CERT_FILE="+f.ca, "NODE_EXTRA_CA_CERTS="+f.ca,
		"PYTHONIOENCODING=cp1252", "LC_ALL=C") // what text is read and written in on other machines must not matter
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
	return string(out)
}

// want compares what reached the ledger, "epoch status accepted" of each request.
func (f *front) want(t *testing.T, out string, want ...string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	var got []string
	for _, d := range f.seen {
		got = append(got, fmt.Sprint(d.epoch, " ", d.status, " ", d.accepted))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the ledger got %q, not %q\n%s", got, want, out)
	}
}

func has(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("docs/agents.md is played with %s, which is not on this machine: %v", name, err)
		}
	}
}

func save(t *testing.T, dir, name, text string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
}

const pythonAgent = `import hashlib, json, os, pathlib, sys
import agent
base, key = json.load(sys.stdin.buffer), os.environ["KEY"].encode()
pathlib.Path("outbox").mkdir()
def record(epoch, **members):
    r = base | {"epoch": epoch, "shard_id": "lab-\u00e9\U0001f600"} | members
    r["pcs_id"] = hashlib.sha256(f"{r['merkle_root']}|{epoch}|{r['shard_id']}".encode()).hexdigest()
    return r
for epoch in (10, 9, 9223372036854775807):
    agent.put("outbox", record(epoch), key)
agent.put("outbox", record(11, D_hat=3.0), key)
agent.put("outbox", record(12, version="9"), key)
agent.flush("outbox", os.environ["URL"])
agent.put("outbox", record(13, shard_id="shard-signed-without-a-key"), b"another key")
agent.flush("outbox", os.environ["URL"])
`

// TestAgents plays the agents of docs/agents.md against a node, over TLS, with faults before the answers.
func TestAgents(t *testing.T) {
	c := Start(t, 1)
	f := newFront(t, c)
	base, err := json.Marshal(NewRecords(t).base)
	must(t, err)
	t.Run("python", func(t *testing.T) {
		has(t, "python3")
		dir := t.TempDir()
		save(t, dir, "pcs2.py", blocks(t, "signing.md", "python")[0])
		save(t, dir, "agent.py", blocks(t, "agents.md", "python")[0])
		f.fail("503 1", "429 0", "502 0")
		out := f.run(t, dir, base, "python3", "-c", pythonAgent)
		f.want(t, out, "9 503 false", "9 429 false", "9 502 false", "9 200 true", "10 200 true", "11 202 false", "12 400 false",
			"9223372036854775807 200 true", "13 401 false")
		if waited := f.seen[1].at.Sub(f.seen[0].at); waited < time.Second {
			t.Errorf("sent again after %v, Retry-After was 1", waited)
		}
		left, err := filepath.Glob(filepath.Join(dir, "outbox", "*"))
		must(t, err)
		if len(left) != 3 || !strings.HasSuffix(left[0], ".refused") || !strings.Contains(out, "d_hat_mismatch") {
			t.Errorf("the outbox holds %q\n%s", left, out)
		}
	})
	t.Run("javascript", func(t *testing.T) {
		has(t, "node")
		dir := t.TempDir()
		save(t, dir, "agent.mjs", blocks(t, "agents.md", "js")[0])
		save(t, dir, "main.mjs", javascriptAgent)
		f.fail("503 1")
		f.want(t, f.run(t, dir, base, "node", "main.mjs"), "1 503 false", "1 200 true", "2 202 false")
		if waited := f.seen[1].at.Sub(f.seen[0].at); waited < time.Second {
			t.Errorf("sent again after %v, Retry-After was 1", waited)
		}
	})
	t.Run("curl", func(t *testing.T) {
		has(t, "bash", "curl")
		dir := t.TempDir()
		signed, err := Sign(NewRecords(t).Sign(Record{Shard: "curl", Epoch: 1, Root: "curl"}), []byte(trustedKey(t)))
		must(t, err)
		save(t, dir, "signed.json", string(signed))
		save(t, dir, "ca.pem", string(c.CA.CertPEM()))
		f.fail("503 1")
		f.want(t, f.run(t, dir, nil, "bash", "-c", blocks(t, "agents.md", "sh")[0]), "1 503 false", "1 200 true")
	})
	t.Run("go", func(t *testing.T) { agentGo(t, c) })
}

const javascriptAgent = `import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { sign, submit } from "./agent.mjs";
const base = JSON.parse(readFileSync(0, "utf8"));
for (const epoch of [1, 2]) {
  const record = { ...base, epoch, shard_id: "js-é😀", seed: 12345678901000, v_star: [1e-7, -0.5, 1e21, 0], sig_scheme: "pcs/2" };
  record.pcs_id = createHash("sha256").update(record.merkle_root + "|" + epoch + "|" + record.shard_id).digest("hex");
  if (epoch === 2) record.D_hat = 3;
  record.sig = sign(record, process.env.KEY);
  console.log(JSON.stringify(await submit(process.env.URL, record)));
}
`

// agentGo sends what the Go of the page signs, and compares the page with the code that was compiled.
func agentGo(t *testing.T, c *Cluster) {
	source, err := os.ReadFile("agents_example_test.go")
	must(t, err)
	for _, block := range blocks(t, "agents.md", "go") {
		if !strings.Contains(string(source), block) {
			t.Errorf("docs/agents.md and agents_example_test.go differ:\n%s", block)
		}
	}
	body := NewRecords(t).Sign(Record{Shard: `go-<é>&"`, Epoch: 1<<63 - 1, Root: "go"})
	signed, err := Sign(body, []byte(trustedKey(t)))
	must(t, err)
	r, err := submit(t.Context(), c.CA.CertPEM(), signed, c.URL(0))
	if err != nil || r.Status != http.StatusOK || !r.Accepted || !r.InputsSigned {
		t.Errorf("%+v: %v", r, err)
	}
	body = NewRecords(t).Sign(Record{Shard: "go-\u2028-sign", Epoch: 1<<63 - 1, Root: "go", Bare: true})
	r, err = signAndSubmit(t.Context(), c.CA.CertPEM(), []byte(trustedKey(t)), body, c.URL(0))
	if err != nil || r.Status != http.StatusOK || !r.Accepted || !r.InputsSigned {
		t.Errorf("package sign: %+v: %v", r, err)
	}
}

// TestAgentGoNumbers: numbers that are the same are written alike.
func TestAgentGoNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0e0", "-0.0": "-0e0", "7": "7e0", "16": "16e0", "70.0": "7e1", "0.41": "41e-2", "1e-7": "1e-7", "1.50E+3": "15e2", "0.0010": "1e-3",
		"-12.5": "-125e-1", "9223372036854775807": "9223372036854775807e0",
	} {
		if got := number(text); got != want {
			t.Errorf("%s is %s, not %s", text, got, want)
		}
	}
}
