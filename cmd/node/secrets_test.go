package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/secretfile"
)

func TestOpenSecretFilesAreRefused(t *testing.T) {
	open := func(name string) string {
		path := write(t, name, "do-not-print-me")
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	hmac, pass, tlsKey := open("hmac"), open("pass"), open("tls.key")
	peerKey := write(t, "peer.key", "do-not-print-me")
	if err := os.Chmod(peerKey, 0o620); err != nil {
		t.Fatal(err)
	}
	env := environment(map[string]string{"PCS_HMAC_KEYS_FILE": hmac, "METRICS_PASS_FILE": pass, "METRICS_USER": "u",
		"RECOUNT_API_KEY_FILE": tlsKey, "RECOUNT_PEER_KEY_FILE": peerKey})
	v, loadErr := load(write(t, "c.yaml", good), flags(t), env)
	_, err := v.nodeConfig()
	text := fmt.Sprint(loadErr, "\n", err)
	for _, want := range []string{"pcs_hmac_keys_file", "metrics_pass_file", "api.key_file", "peer.key_file", hmac + " has mode 0644", "chmod 600 " + tlsKey, peerKey + " has mode 0620"} {
		if !strings.Contains(text, want) {
			t.Errorf("missing %q in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "do-not") {
		t.Errorf("a secret in an error: %s", text)
	}
}

func TestSettingsFileWithSecrets(t *testing.T) {
	for text, refused := range map[string]bool{"": false, "pcs_hmac_key: k\n": true, "metrics_pass: p\nmetrics_user: u\n": true,
		"pcs_ed25519_pub_b64: +CpgkgeQRd0qAM1WygfHS4iIs5ceeUpNz+A69X/KbpY=\n": false} {
		path := write(t, "c.yaml", good+text)
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := load(path, flags(t), environment(nil)); (err != nil) != refused {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestPublicKeysMayBeRead(t *testing.T) {
	path := write(t, "pub", "+CpgkgeQRd0qAM1WygfHS4iIs5ceeUpNz+A69X/KbpY=\n")
	for mode, refused := range map[os.FileMode]bool{0o644: false, 0o664: true, 0o646: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := load("", flags(t), environment(map[string]string{"PCS_ED25519_PUB_B64_FILE": path}))
		if (err != nil) != refused {
			t.Errorf("%04o: %v", mode, err)
		}
	}
}

func TestRereadKeys(t *testing.T) {
	path := write(t, "hmac", "a,b\n")
	env := map[string]string{"PCS_HMAC_KEYS_FILE": path, "PCS_ED25519_PUB_B64": "+CpgkgeQRd0qAM1WygfHS4iIs5ceeUpNz+A69X/KbpY="}
	loaded := func() func() (int, error) {
		v, err := load(write(t, "c.yaml", good), flags(t), environment(env))
		if err != nil {
			t.Fatal(err)
		}
		reread := v.rereadKeys()
		if reread == nil {
			return nil
		}
		return func() (int, error) {
			keys, err := reread()
			return len(keys), err
		}
	}
	reread := loaded()
	for text, want := range map[string]int{"a,b\n": 3, "a,b,c\n": 4, "c": 2, "": 0, ",\n": 0} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if n, err := reread(); n != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d keys, %v", text, n, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := reread(); err == nil {
		t.Error("no file, no error")
	}
	env = map[string]string{"PCS_HMAC_KEYS": "a,b"}
	if loaded() != nil {
		t.Error("the environment of a process does not change")
	}
}

// TestDevFilesAreClosed: what dev writes passes its own checks, whatever the umask.
func TestDevFilesAreClosed(t *testing.T) {
	t.Setenv("PCS_HMAC_KEY", "x")
	d := &devCluster{dir: t.TempDir(), nodes: 1, basePort: 23900}
	if err := d.prepare(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"keys/pcs_hmac_key.key", "node-1/api-key.pem", "node-1/peer-key.pem", "peer-ca/ca.key", "tokens/operator.token"} {
		if err := secretfile.Check(filepath.Join(d.dir, name)); err != nil {
			t.Error(err)
		}
	}
}
