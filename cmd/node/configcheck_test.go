package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/freeport"
)

// machine is a node that could start: its files, and the text of its settings.
type machine struct {
	t        *testing.T
	dir      string
	settings string
	peer     *certs.CA
}

func freeAddress(t *testing.T) string {
	t.Helper()
	at, err := freeport.Addresses(1)
	if err != nil {
		t.Fatal(err)
	}
	return at[0]
}

// freePorts returns the first port of a dev cluster of n nodes, or of a node and its neighbour.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	base, err := freeport.Range(10 * n)
	if err != nil {
		t.Fatal(err)
	}
	return base
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, dir: t.TempDir()}
	api, err := certs.NewCA("api")
	m.must(err)
	m.peer, err = certs.NewCA("peer")
	m.must(err)
	m.must(m.peer.Save(m.dir, "peer-ca"))
	m.pair(api, "api", certs.Request{CommonName: "n1", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true})
	m.pair(m.peer, "peer", m.node("ledger", "n1", 0))
	m.write("tokens", "", 0o600)
	at, peerAt := freeAddress(t), freeAddress(t)
	m.settings = fmt.Sprintf(`
node_id: n1
cluster_id: ledger
dir: data
pid_file: %s/run/pid
api: {listen: %q, cert_file: api.crt, key_file: api.key}
peer: {listen: %q, ca_file: peer-ca.crt, cert_file: peer.crt, key_file: peer.key}
voters: [{id: n1, peer: %q, api: "https://%s"}]
auth: {tokens_file: tokens}
`, m.dir, at, peerAt, peerAt, at)
	m.must(os.Mkdir(filepath.Join(m.dir, "run"), 0o700))
	return m
}

func (m *machine) node(cluster, id string, validity time.Duration) certs.Request {
	return certs.Request{CommonName: id, URIs: []string{certs.NodeURI(cluster, id)}, Client: true, Server: true, Validity: validity}
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) pair(ca *certs.CA, base string, r certs.Request) {
	m.t.Helper()
	cert, key, err := ca.Issue(r)
	m.must(err)
	m.must(certs.WritePair(m.dir, base, cert, key))
}

func (m *machine) write(name, text string, mode os.FileMode) {
	m.t.Helper()
	path := filepath.Join(m.dir, name)
	m.must(os.WriteFile(path, []byte(text), mode))
	m.must(os.Chmod(path, mode))
}

// check runs config check and gives all that it said.
func (m *machine) check() (said string, err error) {
	m.t.Helper()
	m.write("config.yaml", m.settings, 0o600)
	cmd := root()
	var out, talk bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&talk)
	cmd.SetArgs([]string{"config", "check", "--config", filepath.Join(m.dir, "config.yaml")})
	if err = cmd.ExecuteContext(m.t.Context()); err != nil {
		return err.Error() + "\n" + talk.String(), err
	}
	return out.String() + talk.String(), nil
}

// TestConfigCheckLoadsWhatItNames: check finds, before a start, what a start would find, and everything at once.
func TestConfigCheckLoadsWhatItNames(t *testing.T) {
	m := newMachine(t)
	if said, err := m.check(); err != nil || !strings.HasPrefix(said, "ok\n") || !strings.Contains(said, "--new-cluster") {
		t.Fatalf("%v: %s", err, said)
	}
	for name, c := range map[string]struct {
		spoil func(m *machine)
		want  []string
	}{
		"a file that is not there":     {func(m *machine) { m.must(os.Remove(filepath.Join(m.dir, "api.crt"))) }, []string{"api.cert_file", "api.crt: no such file"}},
		"a key of another certificate": {func(m *machine) { m.must(os.Rename(filepath.Join(m.dir, "peer.key"), filepath.Join(m.dir, "api.key"))) }, []string{"does not match", "peer.key: no such file"}},
		"another cluster":              {func(m *machine) { m.pair(m.peer, "peer", m.node("other", "n1", 0)) }, []string{`names no member of cluster "ledger"`}},
		"another node":                 {func(m *machine) { m.pair(m.peer, "peer", m.node("ledger", "n2", 0)) }, []string{"peer.cert_file", `names node "n2"`}},
		"another authority": {func(m *machine) {
			other, err := certs.NewCA("other")
			m.must(err)
			m.pair(other, "peer", m.node("ledger", "n1", 0))
		}, []string{"other nodes will refuse the peer certificate", "unknown authority"}},
		"tokens that others can change": {func(m *machine) { m.write("tokens", "", 0o622) }, []string{"others could add tokens"}},
		"a directory that is a file":    {func(m *machine) { m.write("data", "", 0o600) }, []string{"data is no directory"}},
		"a damaged directory": {func(m *machine) {
			m.must(os.Mkdir(filepath.Join(m.dir, "data"), 0o700))
			m.write("data/node.json", "{}", 0o600)
		}, []string{"dir: ", "node.json is damaged"}},
		"no directory for the pid": {func(m *machine) { m.must(os.Remove(filepath.Join(m.dir, "run"))); m.write("run", "", 0o600) }, []string{"pid_file", "run is no directory"}},
		"everything at once": {func(m *machine) {
			m.settings += "tokenrate: 5\nthrottle_status: 418\n"
			m.must(os.Remove(filepath.Join(m.dir, "peer.crt")))
			m.write("tokens", "nonsense\n", 0o600)
		}, []string{"4 problems", "unknown key \"tokenrate\", did you mean", "418", "peer.crt: no such file", "tokens line 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			c.spoil(m)
			said, err := m.check()
			for _, want := range c.want {
				if err == nil || !strings.Contains(said, want) {
					t.Errorf("no %q in: %v: %s", want, err, said)
				}
			}
			if strings.Contains(said, "\nx509: ") {
				t.Errorf("one fault is counted twice: %s", said)
			}
		})
	}
}

// TestConfigCheckTriesThePorts: what listens already is found, unless it is the node itself.
func TestConfigCheckTriesThePorts(t *testing.T) {
	m := newMachine(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	m.must(err)
	defer l.Close()
	m.settings += fmt.Sprintf("metrics: {listen: %q}\n", l.Addr())
	if said, err := m.check(); err == nil || !strings.Contains(said, "metrics.listen: "+l.Addr().String()+" is in use") {
		t.Errorf("%v: %s", err, said)
	}
	m.must(os.MkdirAll(filepath.Join(m.dir, "data", "events"), 0o700))
	lock := filepath.Join(m.dir, "data", "events", "LOCK")
	m.write("data/events/LOCK", "", 0o600)
	cmd := exec.Command(os.Args[0], "-test.run=^TestHoldLock$", "-test.v")
	cmd.Env = append(os.Environ(), "HOLD_LOCK="+lock)
	out, err := cmd.StdoutPipe()
	m.must(err)
	stdin, err := cmd.StdinPipe()
	m.must(err)
	m.must(cmd.Start())
	defer func() { _ = stdin.Close(); _ = cmd.Wait() }()
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "locked"; {
	}
	if said, err := m.check(); err != nil || !strings.Contains(said, fmt.Sprintf("a node runs on %s/data, process %d", m.dir, cmd.Process.Pid)) {
		t.Errorf("%v: %s", err, said)
	}
}

// TestHoldLock is no test but the other process of the one above.
func TestHoldLock(t *testing.T) {
	path := os.Getenv("HOLD_LOCK")
	if path == "" {
		t.Skip("runs in a process of its own")
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		err = syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK})
	}
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("\nlocked")
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the other one lets go
}

// TestConfigCheckWarns: what a node can live with, and somebody should know, is said and is no problem.
func TestConfigCheckWarns(t *testing.T) {
	m := newMachine(t)
	t.Setenv("MULTI_TENANT", "true")
	t.Setenv("TENANTS", "t1:hmac:k1")
	m.pair(m.peer, "peer", m.node("ledger", "n1", 10*24*time.Hour))
	m.settings = strings.ReplaceAll(strings.ReplaceAll(m.settings, `api: "https://127.0.0.1`, `api: "https://localhost`), "auth: {tokens_file: tokens}", "")
	said, err := m.check()
	for _, want := range []string{"ok\n", "MULTI_TENANT is set", "TENANTS is set", "ends in 9 days", "does not name localhost", "recount-node token mint"} {
		if err != nil || !strings.Contains(said, want) {
			t.Errorf("no %q in %v: %s", want, err, said)
		}
	}
	v, c, err := loadConfig(filepath.Join(m.dir, "config.yaml"), flags(t), environment(nil))
	if err != nil || len(v.voters) != 1 {
		t.Fatal(err)
	}
	x := c.Examine(time.Now().Add(400 * 24 * time.Hour))
	if text := fmt.Sprint(x.Problems); strings.Count(text, "not valid now") != 2 {
		t.Errorf("both have expired: %s", text)
	}
}

// TestConfigViewShowsVoters: the members belong to the settings.
func TestConfigViewShowsVoters(t *testing.T) {
	m := newMachine(t)
	m.write("config.yaml", m.settings, 0o600)
	var out bytes.Buffer
	if _, err := execute(t.Context(), []string{"config", "view", "--config", filepath.Join(m.dir, "config.yaml")}, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "voters[0]") || !strings.Contains(out.String(), "id n1, peer 127.0.0.1:") {
		t.Errorf("%s", out.String())
	}
}
