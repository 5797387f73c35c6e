package e2e

import (
	"crypto/tls"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/test/harness"
)

// through starts a proxy in front of the nodes.
func (p *proxied) through(k proxyKind) string {
	return p.run(k, filepath.Join(p.c.Dir, "ca.pem"))
}

// run starts a proxy until the test ends and waits until it listens.
func (p *proxied) run(k proxyKind, apiCA string) string {
	p.t.Helper()
	dir, err := os.MkdirTemp(p.dir, k.name)
	p.must(err)
	crt, key, err := p.site.Issue(certs.Request{CommonName: "site", DNS: []string{"localhost"}, IPs: []net.IP{net.ParseIP(proxyAddr)}, Server: true})
	p.must(err)
	p.must(certs.WritePair(dir, "site", crt, key))
	port, err := harness.FreePort(1)
	p.must(err)
	cmd := k.write(p, dir, port, apiCA)
	said, err := os.Create(filepath.Join(dir, "said"))
	p.must(err)
	defer said.Close()
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	p.must(cmd.Start())
	p.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if p.t.Failed() {
			text, _ := os.ReadFile(said.Name())
			p.t.Logf("%s said:\n%s", k.name, text)
		}
	})
	addr := net.JoinHostPort("localhost", strconv.Itoa(port))
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); ; <-tick.C {
		conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: p.pool})
		if err == nil {
			_ = conn.Close()
			return "https://" + addr
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(said.Name())
			p.t.Fatalf("%s does not listen: %v\n%s", k.name, err, text)
		}
	}
}

// nodeAddrs are host:port of the nodes.
func (p *proxied) nodeAddrs() (out []string) {
	for _, api := range p.c.API {
		u, err := url.Parse(api)
		p.must(err)
		out = append(out, u.Host)
	}
	return out
}

// caddy runs the shipped Caddyfile; its placeholders take the environment.
func (p *proxied) caddy(dir string, port int, apiCA string) *exec.Cmd {
	cmd := exec.Command("caddy", "run", "--adapter", "caddyfile", "--config", filepath.Join(root, "deploy", "caddy", "Caddyfile"))
	cmd.Env = append(os.Environ(), "RECOUNT_SITE=localhost:"+strconv.Itoa(port), "RECOUNT_HTTP_PORT="+strconv.Itoa(port+1),
		"RECOUNT_TLS="+filepath.Join(dir, "site.crt")+" "+filepath.Join(dir, "site.key"),
		"RECOUNT_NODES="+strings.Join(p.nodeAddrs(), " "), "RECOUNT_API_CA="+apiCA, "RECOUNT_NAME=localhost", "RECOUNT_CADDY_ADMIN=off",
		"HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	return cmd
}

// nginx runs the shipped file with the example's addresses, names and files replaced; each must be in it.
func (p *proxied) nginx(dir string, port int, apiCA string) *exec.Cmd {
	raw, err := os.ReadFile(filepath.Join(root, "deploy", "nginx", "recount.conf"))
	p.must(err)
	text := string(raw)
	nodes := p.nodeAddrs()
	for _, r := range [][2]string{
		{"10.0.0.1:9440", nodes[0]}, {"10.0.0.2:9440", nodes[1]}, {"10.0.0.3:9440", nodes[2]},
		{"listen 443 ssl", "listen 127.0.0.1:" + strconv.Itoa(port) + " ssl"}, {"server_name api.fractal-lba.example.com;", "server_name localhost;"},
		{"/etc/nginx/recount/site.crt", filepath.Join(dir, "site.crt")}, {"/etc/nginx/recount/site.key", filepath.Join(dir, "site.key")},
		{"/etc/nginx/recount/api-ca.crt", apiCA}, {"proxy_ssl_name recount.internal;", "proxy_ssl_name localhost;"},
	} {
		if !strings.Contains(text, r[0]) {
			p.t.Fatalf("deploy/nginx/recount.conf has no %q", r[0])
		}
		text = strings.ReplaceAll(text, r[0], r[1])
	}
	p.must(os.WriteFile(filepath.Join(dir, "recount.conf"), []byte(text), 0o644))
	main := "daemon off; worker_processes 1; pid " + dir + "/pid; error_log stderr;\nevents {}\nhttp {\naccess_log off;\n"
	if os.Geteuid() == 0 {
		main = "user root;\n" + main
	}
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		main += kind + "_temp_path " + filepath.Join(dir, kind) + ";\n"
	}
	p.must(os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(main+"include "+dir+"/recount.conf;\n}\n"), 0o644))
	return exec.Command("nginx", "-p", dir, "-e", "stderr", "-c", filepath.Join(dir, "nginx.conf"))
}
