package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/wire"
)

// joinCluster is a cluster of files: its authorities, and a join token of node-4.
type joinCluster struct {
	*testing.T
	dir   string
	token wire.JoinToken
}

func newJoinCluster(t *testing.T) *joinCluster {
	t.Helper()
	c := &joinCluster{T: t, dir: t.TempDir()}
	makeAll(t, c.dir)
	authorities, err := certs.ReadAll(c.at("peer-ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	at := freePorts(t, 1)
	c.token = wire.JoinToken{
		ClusterID:   "ledger",
		NodeID:      "node-4",
		PeerAddress: "127.0.0.1:" + strconv.Itoa(at+1),
		APIAddress:  "https://127.0.0.1:" + strconv.Itoa(at),
		ExpiresAt:   wire.Time(time.Now().Add(time.Hour)),
		Secret:      make([]byte, 32),
		Members:     []wire.JoinMember{{ID: "node-1", Peer: "10.0.0.1:9441", API: "https://10.0.0.1:9440"}, {ID: "node-2", Peer: "10.0.0.2:9441"}},
		Authorities: authorities,
	}
	return c
}

func (c *joinCluster) at(name string) string { return filepath.Join(c.dir, name) }

// write writes a token that is the one of node-4 but for a change.
func (c *joinCluster) write(name string, change func(*wire.JoinToken)) string {
	c.Helper()
	token := c.token
	change(&token)
	text, err := token.Text()
	if err == nil {
		err = os.WriteFile(c.at(name), []byte(text+"\n"), 0o600)
	}
	if err != nil {
		c.Fatal(err)
	}
	return c.at(name)
}

func same(*wire.JoinToken) {}

// TestJoinAndSign: join writes keys, requests and settings, sign-node signs them with the command that join prints, and
// the settings pass the check. With the authorities at hand, join signs at once.
func TestJoinAndSign(t *testing.T) {
	c := newJoinCluster(t)
	token := c.write("token", same)
	t.Chdir(c.dir)
	if err := errors.Join(os.Mkdir("node-4", 0o700), os.WriteFile("node-4/tokens", nil, 0o600),
		newCheckpointKey("node-4", "ledger"), os.Symlink(".", "pki")); err != nil {
		t.Fatal(err)
	}
	said := ok(t, "join", "--token-file", token, "--out", "node-4", "--host", "recount.internal", "--host", "127.0.0.1")
	_, sign, found := strings.Cut(said, "recount-node certs sign-node")
	sign, _, _ = strings.Cut(sign, "\n")
	const want = " --cluster ledger --node node-4 --host 127.0.0.1 --host localhost --host recount.internal --csr node-4" +
		" --peer-ca pki/peer-ca --api-ca pki/api-ca --out node-4"
	if !found || sign != want || strings.Contains(said, "PRIVATE") || strings.Contains(said, "rcj1_") {
		t.Fatalf("%s", said)
	}
	if _, err := command("config", "check", "--config", "node-4/config.yaml"); err == nil {
		t.Error("the settings pass without certificates")
	}
	ok(t, append([]string{"certs", "sign-node"}, strings.Fields(sign)...)...)
	said = ok(t, "join", "--token-file", token, "--out", "at-once", "--peer-ca", "peer-ca", "--api-ca", "api-ca", "-o", "json")
	var files []certFile
	if err := json.NewDecoder(strings.NewReader(said)).Decode(&files); err != nil || len(files) != 7 {
		t.Errorf("%v: %s", err, said)
	}
	if strings.Contains(said, "sign-node") {
		t.Errorf("there is nothing to sign: %s", said)
	}
	for _, dir := range []string{"node-4", "at-once"} {
		if out := ok(t, "config", "check", "--config", filepath.Join(dir, "config.yaml")); !strings.HasSuffix(out, "ok\n") ||
			strings.Contains(out, "does not name") {
			t.Errorf("%s: %s", dir, out)
		}
		_, cfg, err := loadConfig(filepath.Join(dir, "config.yaml"), flags(t), environment(nil))
		if err != nil || !cfg.Join || filepath.Base(cfg.JoinTokenFile) != "join.token" || len(cfg.Voters) != 2 ||
			cfg.Peer.Listen != c.token.PeerAddress || (cfg.TokensFile != "") != (dir == "node-4") ||
			(cfg.CheckpointKeyFile != "") != (dir == "node-4") || cfg.API.CA != "" {
			t.Errorf("%s: %v %+v", dir, err, cfg)
		}
		for _, secret := range []string{"peer.key", "api.key", "join.token", "config.yaml"} {
			if info, err := os.Stat(filepath.Join(dir, secret)); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s/%s: %v", dir, secret, err)
			}
		}
	}
}

// TestJoinRefuses: what cannot be joined is refused with the words to mend it, and nothing is written.
func TestJoinRefuses(t *testing.T) {
	c := newJoinCluster(t)
	good := c.write("good", same)
	text, err := os.ReadFile(good)
	open := os.WriteFile(c.at("open"), text, 0o644)
	other := os.WriteFile(c.at("rcj2"), bytes.Replace(text, []byte("rcj1_"), []byte("rcj2_"), 1), 0o600)
	if err := errors.Join(err, open, other, os.Chmod(c.at("open"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, taken := range []string{"config.yaml", "peer.key", "api.key", "peer.csr", "api.crt", "join.token", "peer-trust.crt"} {
		if err := errors.Join(os.Mkdir(c.at(taken+".d"), 0o700), os.WriteFile(c.at(taken+".d/"+taken), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	token := func(name string, change func(*wire.JoinToken)) []string {
		return []string{"--token-file", c.write(name, change)}
	}
	with := func(more ...string) []string { return append([]string{"--token-file", good}, more...) }
	cases := map[string][]string{
		"--token-file is required":     {},
		"no such file":                 {"--token-file", c.at("none")},
		"can read it":                  {"--token-file", c.at("open")},
		"use the release that made it": {"--token-file", c.at("rcj2")},
		"does not begin with":          {"--token-file", c.at("peer-ca.key")},
		"recount cluster invite node-4": token("late", func(j *wire.JoinToken) {
			j.ExpiresAt = wire.Time(time.Now().Add(-time.Second))
		}),
		"the end of its time is no time": token("never", func(j *wire.JoinToken) { j.ExpiresAt = "never" }),
		"--api https://HOST:PORT":        token("mute", func(j *wire.JoinToken) { j.APIAddress = "" }),
		"is not an https URL":            token("plain", func(j *wire.JoinToken) { j.APIAddress = "http://h:1" }),
		"can be in no certificate":       token("id", func(j *wire.JoinToken) { j.NodeID = "a/b" }),
		"--token-file: cluster":          token("cluster", func(j *wire.JoinToken) { j.ClusterID = "a b" }),
		"at least one member":            token("alone", func(j *wire.JoinToken) { j.Members = j.Members[1:] }),
		"is used twice":                  token("own", func(j *wire.JoinToken) { j.PeerAddress = "10.0.0.1:9441" }),
		"authority 1 is no certificate":  token("der", func(j *wire.JoinToken) { j.Authorities = [][]byte{{1}} }),
		"no member of ledger trusts":     with("--peer-ca", c.at("api-ca")),
		"none.crt":                       with("--peer-ca", c.at("none")),
		"no authority":                   with("--api-ca", c.at("none")),
		"without scheme and port":        with("--host", "https://h"),
		`--validity "0d"`:                with("--validity", "0d"),
		"outlive its authority":          with("--api-ca", c.at("api-ca"), "--validity", "36500d"),
	}
	before := listing(t, c.dir)
	for says, args := range cases {
		refusedJoin(t, says, append([]string{"join", "--out", c.at("new")}, args...))
	}
	for _, taken := range []string{"config.yaml", "peer.key", "api.key", "peer.csr", "api.crt", "join.token", "peer-trust.crt"} {
		refusedJoin(t, taken+" exists; nothing was written", []string{"join", "--out", c.at(taken + ".d"), "--token-file", good})
	}
	if after := listing(t, c.dir); after != before {
		t.Errorf("files changed from\n%s\nto\n%s", before, after)
	}
	if _, err := os.Stat(c.at("new")); err == nil {
		t.Error("a directory was made")
	}
}

func refusedJoin(t *testing.T, says string, args []string) {
	t.Helper()
	out, err := command(args...)
	var usage *usageError
	if err == nil || !strings.Contains(err.Error(), says) || !errors.As(err, &usage) || strings.Contains(err.Error(), "rcj1_Y") {
		t.Errorf("%q: %v: %v %s", says, args, err, out)
	}
}

// TestSignNodeRefuses: sign-node gives no certificate for another node, cluster or host than its flags name, nor for a
// changed request, and writes nothing.
func TestSignNodeRefuses(t *testing.T) {
	c := newJoinCluster(t)
	ok(t, "join", "--token-file", c.write("token", same), "--out", c.at("new"))
	csr, err := os.ReadFile(c.at("new/peer.csr"))
	if err != nil {
		t.Fatal(err)
	}
	half := append(slices.Clone(csr[:len(csr)/2]), '\n')
	if err := errors.Join(os.MkdirAll(c.at("half"), 0o700), os.WriteFile(c.at("half/peer.csr"), half, 0o600)); err != nil {
		t.Fatal(err)
	}
	run := func(says string, change ...string) {
		args := []string{"--cluster", "ledger", "--node", "node-4", "--csr", c.at("new"), "--out", c.at("signed"), "--peer-ca", c.at("peer-ca")}
		for i := 0; i < len(change); i += 2 {
			if k := slices.Index(args, change[i]); k >= 0 {
				args[k+1] = change[i+1]
			} else {
				args = append(args, change[i], change[i+1])
			}
		}
		refusedJoin(t, says, append([]string{"certs", "sign-node"}, args...))
	}
	before := listing(t, c.dir)
	run(`its subject is "CN=node-4", not "CN=node-5"`, "--node", "node-5")
	run("recount://ledger/node/node-4", "--cluster", "other")
	run("IP:127.0.0.1", "--host", "10.0.0.4", "--api-ca", c.at("api-ca"))
	run("at least one --host", "--api-ca", c.at("api-ca"))
	run("one CERTIFICATE REQUEST", "--csr", c.at("half"))
	run("no such file", "--csr", c.at("none"))
	run("create-ca", "--peer-ca", c.at("none"))
	run("peer.crt exists", "--out", c.at("node-1"))
	refusedJoin(t, "--csr is required", []string{"certs", "sign-node", "--cluster", "ledger", "--node", "n", "--out", c.at("signed"),
		"--peer-ca", c.at("peer-ca")})
	if after := listing(t, c.dir); after != before {
		t.Errorf("files changed from\n%s\nto\n%s", before, after)
	}
}
