package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDevSample: the sample keys come beside the demo key, once, and never over keys that somebody gave.
func TestDevSample(t *testing.T) {
	d := &devCluster{dir: t.TempDir(), nodes: 1, basePort: 23900, sample: true}
	if err := os.Mkdir(filepath.Join(d.dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	demo := []string{`pcs_hmac_key_file: "demo"`}
	lines, err := d.withSample(demo)
	if err != nil || len(lines) != 3 || lines[0] != demo[0] {
		t.Fatalf("%q %v", lines, err)
	}
	again, err := d.withSample(lines)
	if err != nil || strings.Join(again, "\n") != strings.Join(lines, "\n") {
		t.Errorf("a second start: %q %v", again, err)
	}
	var usage *usageError
	if _, err := d.withSample([]string{`pcs_hmac_keys_file: "mine"`}); !errors.As(err, &usage) {
		t.Errorf("keys of somebody else: %v", err)
	}
}

// TestDevLeavesOthersAlone: a directory with something in it is dev's own or is refused, and nothing in it is changed.
func TestDevLeavesOthersAlone(t *testing.T) {
	d := &devCluster{dir: t.TempDir(), nodes: 1, basePort: 23900}
	settings := filepath.Join(d.dir, "node-1", "config.yaml")
	if err := errors.Join(os.Mkdir(filepath.Dir(settings), 0o700), os.WriteFile(settings, []byte("node_id: node-1\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	var usage *usageError
	if err := d.prepare(); !errors.As(err, &usage) || !strings.Contains(err.Error(), "has node-1, and is not a directory of recount-node dev") {
		t.Errorf("somebody else's directory: %v", err)
	}
	text, err := os.ReadFile(settings)
	there, listErr := os.ReadDir(d.dir)
	if err != nil || string(text) != "node_id: node-1\n" || listErr != nil || len(there) != 1 {
		t.Errorf("%q %v, %v %v", text, err, there, listErr)
	}
	for what, dir := range map[string]string{"one with a log": filepath.Dir(write(t, "dev.log", "x")), "an empty one": t.TempDir(), "none": filepath.Join(t.TempDir(), "new")} {
		d := &devCluster{dir: dir, nodes: 1, basePort: 23900}
		if err := errors.Join(d.prepare(), os.WriteFile(filepath.Join(dir, "me.key"), nil, 0o600), d.prepare()); err != nil {
			t.Errorf("%s, and again: %v", what, err)
		}
	}
}

// TestDevKeepsItsKeys: dev makes a demo key for a new cluster only. When it cannot read which keys there are, it stops and
// replaces none.
func TestDevKeepsItsKeys(t *testing.T) {
	d := &devCluster{dir: t.TempDir(), nodes: 1, basePort: 23900}
	if err := d.prepare(); err != nil {
		t.Fatal(err)
	}
	demo, list := filepath.Join(d.dir, "keys", "demo-hmac.key"), filepath.Join(d.dir, "keys", "settings")
	before, err := os.ReadFile(demo)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.prepare(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(list), os.Mkdir(list, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := d.prepare(); err == nil {
		t.Error("keys that cannot be read are none")
	}
	if after, err := os.ReadFile(demo); err != nil || !bytes.Equal(before, after) {
		t.Errorf("another demo key: %v", err)
	}
}

// TestDevBanner: a person gets the lines to paste, the demo key and a word about the sample keys.
func TestDevBanner(t *testing.T) {
	d := &devCluster{dir: filepath.Join(t.TempDir(), "my cluster"), nodes: 3, basePort: 23900, sample: true}
	if err := d.prepare(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	d.banner(&out)
	for _, part := range []string{"export RECOUNT_DEV='" + d.dir + "'\n", "demo-hmac.key", "ROLE.token", "https://127.0.0.1:23920",
		"worthless", "recount cluster status\n", "recount key add --ed25519-pub me.pub"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("no %q in\n%s", part, &out)
		}
	}
}

// TestDevTellsWhyANodeEnded: one line with the words of the node, those of this start only.
func TestDevTellsWhyANodeEnded(t *testing.T) {
	d, log := &devCluster{}, filepath.Join(t.TempDir(), "log")
	old := "recount-node: an older fault\n"
	text := old + `{"msg":"x"}` + "\nrecount-node: listen tcp 127.0.0.1:1: bind: address already in use\n  more\n"
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := d.ended(0, log, int64(len(old)), errors.New("exit status 1")).Error()
	if got != "node-1 ended at its start: listen tcp 127.0.0.1:1: bind: address already in use; choose another --base-port" {
		t.Error(got)
	}
	if got := d.ended(1, log, int64(len(text)), errors.New("exit status 1")).Error(); got != "node-2 ended at its start: exit status 1" {
		t.Error(got)
	}
}

// TestDevInterrupted: Ctrl-C during the start is no timeout.
func TestDevInterrupted(t *testing.T) {
	d := &devCluster{dir: t.TempDir(), nodes: 1, basePort: freePorts(t, 1)}
	if err := os.WriteFile(filepath.Join(d.dir, "ca.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.awaitReady(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestDevEnvironment: what is the same for all nodes gets a name or a port for each; what dev decides is named.
func TestDevEnvironment(t *testing.T) {
	t.Setenv("RECOUNT_METRICS_LISTEN", "127.0.0.1:9100")
	t.Setenv("RECOUNT_DEBUG_LISTEN", "127.0.0.1:6060")
	t.Setenv("RECOUNT_TRACING_ENDPOINT", "http://127.0.0.1:4318")
	t.Setenv("RECOUNT_DEBUG_MUTEX_FRACTION", "9")
	t.Setenv("RECOUNT_AUDIT_LOG_FILE", "/var/log/audit.log")
	t.Setenv("RECOUNT_AUDIT_LOG_KEEP", "7d")
	t.Setenv("RECOUNT_PEER_LISTEN", "127.0.0.1:1")
	d := &devCluster{nodes: 3}
	got, err := d.perNode(1)
	if want := "metrics:\n  listen: \"127.0.0.1:9110\"\ndebug:\n  listen: \"127.0.0.1:6070\"\naudit_log:\n  file: \"/var/log/audit.log.node-2\"\n  keep: \"7d\"\n"; err != nil || got != want {
		t.Errorf("%q %v", got, err)
	}
	var out bytes.Buffer
	warnUnused(&out)
	if !strings.Contains(out.String(), "RECOUNT_PEER_LISTEN is not used") || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%s", &out)
	}
	if env := strings.Join(childEnv(), " "); !strings.Contains(env, "RECOUNT_TRACING_ENDPOINT=") ||
		!strings.Contains(env, "RECOUNT_DEBUG_MUTEX_FRACTION=") || strings.Contains(env, "RECOUNT_DEBUG_LISTEN") {
		t.Error(env)
	}
	t.Setenv("RECOUNT_METRICS_LISTEN", "127.0.0.1:65530")
	if _, err := d.perNode(1); err == nil {
		t.Error("a port above 65535")
	}
}
