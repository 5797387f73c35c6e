package nodetest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestSidecars: a client that speaks http only reaches the ledger through either proxy of docs/tls-mtls.md.
func TestSidecars(t *testing.T) {
	c := Start(t, 1)
	node := strings.TrimPrefix(c.URL(0), "https://")
	for name, play := range map[string]func(dir, text string) []string{
		"nginx": func(dir, text string) []string {
			save(t, dir, "nginx.conf", "pid "+dir+"/pid;\ndaemon off;\nmaster_process off;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n"+
				"client_body_temp_path "+dir+"/body;\nproxy_temp_path "+dir+"/proxy;\nfastcgi_temp_path "+dir+"/fastcgi;\n"+
				"uwsgi_temp_path "+dir+"/uwsgi;\nscgi_temp_path "+dir+"/scgi;\n"+text+"}\n")
			return []string{"nginx", "-p", dir, "-e", "stderr", "-c", filepath.Join(dir, "nginx.conf")}
		},
		"caddy": func(dir, text string) []string {
			save(t, dir, "Caddyfile", "{\n\tadmin off\n\tauto_https off\n}\n"+text)
			return []string{"caddy", "run", "--adapter", "caddyfile", "--config", filepath.Join(dir, "Caddyfile")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			has(t, name)
			dir, at := t.TempDir(), FreePort(t)
			save(t, dir, "ca.crt", string(c.CA.CertPEM()))
			text := strings.NewReplacer("10.0.0.1:9440", node, "10.0.0.2:9440", node, "10.0.0.3:9440", node, "127.0.0.1:8080", at,
				"/etc/recount/api-ca.crt", filepath.Join(dir, "ca.crt"), "recount.internal", "localhost").Replace(blocks(t, "tls-mtls.md", name)[0])
			throughSidecar(t, c, "http://"+at, play(dir, text), Record{Shard: name, Epoch: 1, Root: name})
		})
	}
}

func throughSidecar(t *testing.T, c *Cluster, url string, command []string, r Record) {
	ctx, stop := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.WaitDelay = patience
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var said logBuffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Env = append(cmd.Environ(), "XDG_DATA_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
	must(t, cmd.Start())
	defer func() {
		stop()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	}()
	body := NewRecords(t).Sign(r)
	var resp *http.Response
	c.Await("the proxy", func() (err error) {
		resp, err = http.Post(url+"/v1/pcs/submit", "application/json", bytes.NewReader(body))
		return err
	})
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%d %s: %v", resp.StatusCode, answer, err)
	}
}
