package e2e

import (
	"crypto/tls"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHangupReloadsCertificates renews the certificates of a running node with the built command, and asks it by signal to
// look. The process stays, both ports reload, and what is not a pair is refused.
func TestHangupReloadsCertificates(t *testing.T) {
	c, ctx := start(t, 1)
	client := c.HTTP(1)
	defer client.CloseIdleConnections()
	pid, err := c.PID(0)
	if err != nil {
		t.Fatal(err)
	}
	await := func(sample string, want float64) {
		t.Helper()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		var got float64
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
			all, err := c.Metrics(ctx, client, 0)
			if got = all[sample]; err == nil && got == want {
				return
			}
		}
		t.Fatalf("%s is %v, not %v", sample, got, want)
	}
	hangup := func() {
		t.Helper()
		if err := c.Signal(0, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	hangup() // nothing has changed, yet it looks
	await(`flk_tls_reloads_total{certificate="api",result="loaded"}`, 1)
	await(`flk_tls_reloads_total{certificate="peer",result="loaded"}`, 1)

	dir := t.TempDir()
	out, err := exec.CommandContext(ctx, nodeBin, "certs", "create-node", "--cluster", "other", "--node", "node-1", "--host", "127.0.0.1,localhost", "--validity", "30d",
		"--api-ca", filepath.Join(c.Dir, "api-ca", "ca"), "--peer-ca", filepath.Join(c.Dir, "peer-ca", "ca"), "--out", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for from, to := range map[string]string{"api.crt": "api.pem", "api.key": "api-key.pem", "peer.crt": "peer.pem", "peer.key": "peer-key.pem"} {
		if err := os.Rename(filepath.Join(dir, from), filepath.Join(c.NodeDir(0), to)); err != nil {
			t.Fatal(err)
		}
	}
	hangup()
	await(`flk_tls_reloads_total{certificate="peer",result="refused"}`, 1) // of another cluster
	fresh, err := tls.Dial("tcp", strings.TrimPrefix(c.API[0], "https://"), c.TLS())
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	if left := time.Until(fresh.ConnectionState().PeerCertificates[0].NotAfter); left > 30*24*time.Hour {
		t.Errorf("the API still shows the certificate of a year: %s left", left)
	}
	text, err := os.ReadFile(filepath.Join(c.NodeDir(0), "log"))
	if err != nil || !strings.Contains(string(text), "peer.pem: certificate \\\"node-1\\\" names no member of cluster") {
		t.Errorf("the log does not say what is wrong: %v\n%s", err, text)
	}
	if now, err := c.PID(0); err != nil || now != pid || syscall.Kill(pid, 0) != nil {
		t.Errorf("process %d became %d: %v", pid, now, err)
	}
}
