package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/test/harness"
)

// planted is a node with secrets that can be told from everything else, and everything that it has said.
type planted struct {
	t                   *testing.T
	dir, config         string
	api                 string
	hmac, pass, token   string
	client              *http.Client
	said                map[string][]byte // by where it was said
	node                *exec.Cmd
	starts, requestsNum int
}

// TestSecretsStayWhereTheyWerePut: neither the keys, nor the password, nor a client's token is in anything that the
// programs write, after good and bad traffic, a crash with a dump of all stacks, a kill and an orderly stop.
func TestSecretsStayWhereTheyWerePut(t *testing.T) {
	p := plant(t)
	p.start()
	p.traffic("a")
	p.end(syscall.SIGQUIT) // the runtime writes the stacks of all goroutines
	if !bytes.Contains(p.said["output of start 1"], []byte("goroutine ")) {
		t.Error("SIGQUIT wrote no stacks")
	}
	p.start()
	p.traffic("b")
	p.end(syscall.SIGKILL)
	p.start()
	p.traffic("c")
	p.end(syscall.SIGTERM)
	p.commands()
	p.search()
}

func plant(t *testing.T) *planted {
	t.Helper()
	p := &planted{t: t, dir: t.TempDir(), said: map[string][]byte{}, hmac: "planted-hmac-" + rand.Text(), pass: "planted-pass-" + rand.Text(),
		token: "rct_operator_planted" + rand.Text()}
	p.write("metrics-pass", p.pass)
	port, err := harness.FreePort(1)
	if err != nil {
		t.Fatal(err)
	}
	c, err := harness.Start(t.Context(), nodeBin, filepath.Join(p.dir, "cluster"), 1, port, "PCS_HMAC_KEY="+p.hmac)
	if err != nil {
		t.Fatal(err)
	}
	p.api, p.config = c.API[0], filepath.Join(c.NodeDir(0), "config.yaml")
	if err := c.Stop(); err != nil { // dev has made the files; from here on the node is started by hand
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(p.dir, "cluster", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}
	p.client = &http.Client{Timeout: 20 * time.Second, Transport: transport}
	return p
}

func (p *planted) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text+"\n"), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// start runs the node until end, with the metrics behind the password, and waits until it serves.
func (p *planted) start() {
	p.t.Helper()
	p.starts++
	out, err := os.Create(filepath.Join(p.t.TempDir(), "output"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.node = exec.Command(nodeBin, "serve", "--new-cluster", "--config", p.config, "--metrics-user", "ops", "--metrics-pass-file", filepath.Join(p.dir, "metrics-pass"),
		"--token-rate", "200", "--key-rate", "100", "--audit-log-file", filepath.Join(p.dir, "audit.log"), "--audit-log-max-bytes", "8000")
	p.node.Stdout, p.node.Stderr = out, out
	p.node.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.node.Start(); err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		resp, err := p.client.Get(p.api + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				tick.Stop()
				break
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			text, _ := os.ReadFile(out.Name())
			p.t.Fatalf("the node does not get ready: %s", text)
		}
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.node.Process.Pid))
	if err != nil || !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), "Max core file size 0 0 bytes") {
		p.t.Errorf("the node may dump core: %v\n%s", err, limits)
	}
}

// end sends the signal, waits and keeps what the node wrote.
func (p *planted) end(s syscall.Signal) {
	p.t.Helper()
	if err := p.node.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
	_ = p.node.Wait() // how it ends is up to the signal
	out := p.node.Stdout.(*os.File)
	defer out.Close()
	text, err := os.ReadFile(out.Name())
	if err != nil {
		p.t.Fatal(err)
	}
	p.said["output of start "+strconv.Itoa(p.starts)] = text
}

// do sends one request with the client's token and keeps the answer.
func (p *planted) do(method, path string, body []byte, change func(*http.Request)) int {
	p.t.Helper()
	req, err := http.NewRequest(method, p.api+path, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+p.token)
	if change != nil {
		change(req)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	p.requestsNum++
	head, err := json.Marshal(resp.Header)
	if err != nil {
		p.t.Fatal(err)
	}
	p.said[fmt.Sprintf("answer %d, %s %s", p.requestsNum, method, path)] = append(append(head, '\n'), answer...)
	return resp.StatusCode
}

// traffic is of every kind; run tells the runs apart.
func (p *planted) traffic(run string) {
	p.t.Helper()
	f := nodetest.NewRecords(p.t)
	want := func(want int, r nodetest.Record) {
		p.t.Helper()
		if status := p.do("POST", "/v1/pcs/submit", f.Sign(r), nil); status != want {
			p.t.Errorf("%+v: %d, want %d", r, status, want)
		}
	}
	shard := "planted-shard-" + run
	for i := range int64(20) {
		want(200, nodetest.Record{Shard: shard, Epoch: i, Root: "r", Key: p.hmac})
		want(401, nodetest.Record{Shard: shard, Epoch: i, Root: "r", Key: "another key"})
	}
	want(200, nodetest.Record{Shard: shard, Epoch: 3, Root: "r", Key: p.hmac, Attempt: 5})
	want(409, nodetest.Record{Shard: shard, Epoch: 3, Root: "r", Key: p.hmac, Near: true})
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/v1/pcs/submit", "{"}, {"POST", "/v1/pcs/submit", strings.Repeat("x", 2<<20)}, {"GET", "/v1/audit?limit=1000", ""},
		{"GET", "/v1/nowhere", ""}, {"DELETE", "/v1/audit", ""}, {"POST", "/v1/policies", "{\"document\":3}"}, {"GET", "/v1/cluster", ""},
		{"POST", "/v1/keys/hmac-0000000000000000/revoke", "{}"}, {"GET", "/readyz?verbose", ""}, {"GET", "/version", ""}, {"GET", "/metrics", ""},
	} {
		p.do(c.method, c.path, []byte(c.body), nil)
	}
	for seq := range 12 {
		p.do("GET", fmt.Sprintf("/v1/events/%d", seq+1), nil, nil)
	}
	for user, want := range map[string]int{"ops": 200, "eve": 401} {
		if status := p.do("GET", "/metrics", nil, func(r *http.Request) { r.SetBasicAuth(user, p.pass) }); status != want {
			p.t.Errorf("metrics as %s: %d", user, status)
		}
	}
}

// commands keeps what the commands about settings print, right and wrong ones.
func (p *planted) commands() {
	p.t.Helper()
	open := filepath.Join(p.dir, "open-pass")
	if err := os.WriteFile(open, []byte(p.pass), 0o644); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Chmod(open, 0o644); err != nil {
		p.t.Fatal(err)
	}
	secrets := []string{"PCS_HMAC_KEYS=" + p.hmac + ",other", "METRICS_PASS=" + p.pass, "PCS_ED25519_PUB_B64=" + p.hmac}
	for i, c := range []struct {
		args, env []string
		code      int
	}{
		{[]string{"config", "view", "--config", p.config}, secrets, 0},
		{[]string{"config", "check", "--config", p.config}, secrets, 2},
		{[]string{"serve", "--config", p.config}, secrets, 2},
		{[]string{"serve", "--config", p.config, "--metrics-pass-file", open}, nil, 2},
		{[]string{"config", "view", "--config", p.config, "--metrics-pass-file", open}, nil, 2},
		{[]string{"serve", "--config", p.config}, []string{"METRICS_PASS=" + p.pass}, 2},
	} {
		cmd := exec.Command(nodeBin, c.args...)
		cmd.Env = append(os.Environ(), c.env...)
		out, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != c.code || len(out) == 0 {
			p.t.Errorf("%v: exit code %d, want %d; %v: %s", c.args, code, c.code, err, out)
		}
		p.said[fmt.Sprintf("command %d, %v", i, c.args)] = out
	}
	if text := string(p.said["command 3, [serve --config "+p.config+" --metrics-pass-file "+open+"]"]); !strings.Contains(text, "chmod 600 "+open) {
		p.t.Errorf("the refusal of an open file does not say what to do: %s", text)
	}
	if err := os.Remove(open); err != nil {
		p.t.Fatal(err)
	}
}

// needles are the secrets in every form in which they might be written.
func (p *planted) needles() map[string][]byte {
	p.t.Helper()
	out := map[string][]byte{}
	for name, secret := range map[string]string{"HMAC key": p.hmac, "metrics password": p.pass, "token": p.token, "basic auth": "ops:" + p.pass} {
		out[name] = []byte(secret)
		out[name+", base64"] = []byte(strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "=")[:len(secret)])
		out[name+", hex"] = []byte(hex.EncodeToString([]byte(secret)))
	}
	for _, name := range []string{"api-key.pem", "peer-key.pem"} {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(p.config), name))
		if err != nil {
			p.t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			if key, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
				p.t.Fatal(err)
			}
		}
		raw, err := key.(*ecdsa.PrivateKey).Bytes()
		if err != nil {
			p.t.Fatal(err)
		}
		out[name+", raw"], out[name+", hex"] = raw, []byte(hex.EncodeToString(raw))
		out[name+", line"] = []byte(strings.Split(string(text), "\n")[1])
	}
	return out
}

// mine recognizes the files into which the operator put the secrets.
func mine(path string) bool {
	return strings.HasSuffix(path, "-key.pem") || strings.HasSuffix(path, ".key") || filepath.Base(path) == "metrics-pass"
}

func (p *planted) search() {
	p.t.Helper()
	files, control := 0, false
	err := filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || mine(path) {
			return err
		}
		text, err := os.ReadFile(path)
		p.said["file "+path] = text
		files++
		control = control || bytes.Contains(text, []byte("planted-shard-c"))
		return err
	})
	if err != nil || files < 20 || !control {
		p.t.Fatalf("%d files, the records found: %v, %v", files, control, err)
	}
	if n := bytes.Count(p.said["file "+filepath.Join(p.dir, "audit.log")], []byte("\n")); n == 0 {
		p.t.Error("nothing in the audit stream")
	}
	size := 0
	needles := p.needles()
	for where, text := range p.said {
		size += len(text)
		for name, needle := range needles {
			if bytes.Contains(text, needle) {
				p.t.Errorf("%s: found in %s", name, where)
			}
		}
	}
	for name, path := range map[string]string{"HMAC key": "cluster/keys/pcs_hmac_key.key", "api-key.pem, line": "cluster/node-1/api-key.pem"} {
		if text, err := os.ReadFile(filepath.Join(p.dir, path)); err != nil || !bytes.Contains(text, needles[name]) {
			p.t.Errorf("the search does not find the %s where it was put: %v", name, err)
		}
	}
	p.t.Logf("%d forms of 6 secrets searched in %d files and %d other texts, %d bytes", len(needles), files, len(p.said)-files, size)
}
