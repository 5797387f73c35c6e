package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/notary"
)

// TestConfigInit: the directories of a new cluster are written, and each of them is one that a node would start with.
func TestConfigInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	nodes := fmt.Sprintf("a=127.0.0.1:%d,b=127.0.0.1:%d,c=localhost", freePorts(t, 1), freePorts(t, 1))
	args := []string{"config", "init", "--nodes", nodes, "--dir", dir, "-o", "json"}
	var out bytes.Buffer
	if _, err := execute(t.Context(), args, &out); err != nil {
		t.Fatal(err)
	}
	var made struct{ Nodes []newMember }
	if err := json.Unmarshal(out.Bytes(), &made); err != nil || len(made.Nodes) != 3 {
		t.Fatalf("%v: %s", err, out.String())
	}
	for _, m := range made.Nodes {
		if m.ID == "c" {
			continue // listens at a fixed port, which this machine may use
		}
		out.Reset()
		if _, err := execute(t.Context(), []string{"config", "check", "--config", filepath.Join(m.Dir, "config.yaml")}, &out); err != nil || out.String() != "ok\n" {
			t.Errorf("%s: %v %s", m.ID, err, out.String())
		}
		pair, err := tls.LoadX509KeyPair(filepath.Join(m.Dir, "api.crt"), filepath.Join(m.Dir, "api.key"))
		if err != nil || pair.Leaf.VerifyHostname("localhost") != nil || pair.Leaf.VerifyHostname("127.0.0.1") != nil {
			t.Errorf("%s: names of its certificate: %v", m.ID, err)
		}
	}
	_, c, err := loadConfig(filepath.Join(dir, "c", "config.yaml"), flags(t), environment(nil))
	if err != nil || c.API.Listen != "0.0.0.0:9440" || c.Peer.Listen != "0.0.0.0:9441" || c.ClusterID != "ledger" {
		t.Errorf("%v: %+v", err, c.API)
	}
	if x := c.Examine(time.Now().Add(300 * 24 * time.Hour)); strings.Contains(fmt.Sprint(x.Problems), "_file") || strings.Contains(fmt.Sprint(x.Warnings), "does not name") {
		t.Errorf("%v %v", x.Problems, x.Warnings)
	}
	checkKeyOfCheckpoints(t, dir, "ledger", c.CheckpointKeyFile, filepath.Join(dir, "a", checkpointKeyName),
		filepath.Join(dir, "b", checkpointKeyName))
	for _, secret := range []string{"a/checkpoint.key", "operator.token", "metrics.token", "pki/peer-ca.key", "a/peer.key", "b/api.key", "c/config.yaml", "a/tokens"} {
		if info, err := os.Stat(filepath.Join(dir, secret)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", secret, err)
		}
	}
	before, err := os.ReadFile(filepath.Join(dir, "operator.token"))
	var usage *usageError
	if _, again := execute(t.Context(), args, &out); err != nil || !errors.As(again, &usage) || !strings.Contains(again.Error(), "not empty") {
		t.Errorf("over the first: %v", again)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "operator.token")); err != nil || !bytes.Equal(before, after) {
		t.Errorf("it was changed: %v", err)
	}
}

// checkKeyOfCheckpoints compares the key files of the nodes with each other and with the public key in dir.
func checkKeyOfCheckpoints(t *testing.T, dir, clusterID string, files ...string) {
	t.Helper()
	public, err := os.ReadFile(filepath.Join(dir, publicKeyName))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		keys, err := notary.ReadKeys(file, evidence.OriginOf(clusterID))
		if err != nil || len(keys) != 1 || keys[0].Public().String() != strings.TrimSpace(string(public)) {
			t.Errorf("%s: %v, the public key is %s", file, err, public)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, checkpointKeyName)); filepath.Dir(files[0]) != dir && !os.IsNotExist(err) {
		t.Errorf("a copy of the key that no node needs: %v", err)
	}
}

// TestDevKey: dev makes the key once, for all its nodes.
func TestDevKey(t *testing.T) {
	d := &devCluster{dir: t.TempDir(), nodes: 3, basePort: freePorts(t, 3)}
	if err := d.prepare(); err != nil {
		t.Fatal(err)
	}
	id, err := os.ReadFile(filepath.Join(d.dir, "cluster-id"))
	before, err2 := os.ReadFile(filepath.Join(d.dir, checkpointKeyName))
	if err := errors.Join(err, err2, d.prepare()); err != nil {
		t.Fatal(err)
	}
	_, c, err := loadConfig(filepath.Join(d.dir, "node-3", "config.yaml"), flags(t), environment(nil))
	if err != nil {
		t.Fatal(err)
	}
	checkKeyOfCheckpoints(t, d.dir, strings.TrimSpace(string(id)), c.CheckpointKeyFile)
	if after, err := os.ReadFile(c.CheckpointKeyFile); err != nil || !bytes.Equal(before, after) {
		t.Errorf("a second start made another key: %v", err)
	}
}

// TestConfigInitRefuses: what cannot be a cluster is refused with the words to mend it, and nothing is written.
func TestConfigInitRefuses(t *testing.T) {
	for nodes, want := range map[string]string{
		"a=h1,b=h2": "1, 3 or 5 members, not 2", "a": "NAME=HOST", "a=h:0": "the port", "a=h:65535": "the port", "a b=h": "--nodes", "pki=h": "another name",
		"a=h1,a=h2,c=h3": "used twice", "a=h1,b=h1,c=h3": "used twice", "a=h1:9440,b=h1:9441,c=h3": "used twice", "a=h/x": "neither an address nor a host name",
	} {
		dir := t.TempDir()
		_, err := execute(t.Context(), []string{"config", "init", "--nodes", nodes, "--dir", filepath.Join(dir, "out")}, &bytes.Buffer{})
		var usage *usageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", nodes, err)
		}
		if made, _ := os.ReadDir(dir); len(made) > 0 {
			t.Errorf("%q: something was written: %v", nodes, made)
		}
	}
}
