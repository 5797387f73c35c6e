// Package s3test runs real S3 servers inside tests: the gateway of Versity on a directory (github.com/versity/versitygw,
// a module of its own in test/s3). An object is a file below the directory, where a test can damage it. A proxy in front
// of the server makes faults of the network.
package s3test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/nodetest"
)

// The access key of every server.
const (
	AccessKey = "s3test"
	SecretKey = "secret of s3test"
)

// Bucket is the bucket that every server has.
const Bucket = "backups"

// patience bounds the time until a server answers.
const patience = 30 * time.Second

// Server is one server with a directory.
type Server struct {
	Dir  string // has a directory for each bucket
	CA   string // file with the authority of its certificate, empty without TLS
	t    testing.TB
	addr string
	args []string
	cmd  *exec.Cmd
	out  lockedBuffer
}

// lockedBuffer takes what a process writes while a test reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// program builds the server, or finds what was built before. A machine without its modules skips the test.
func program(t testing.TB) string {
	t.Helper()
	cmd := exec.Command("go", "tool", "-n", "versitygw")
	for cmd.Dir = "test/s3"; ; cmd.Dir = filepath.Join("..", cmd.Dir) { // a test runs in the directory of its package
		if _, err := os.Stat(filepath.Join(cmd.Dir, "go.mod")); err == nil {
			break
		}
		if len(cmd.Dir) > 100 {
			t.Fatal("no directory above has test/s3")
		}
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	path, err := cmd.Output()
	switch {
	case err == nil:
	case os.Getenv("RECOUNT_S3") != "required":
		t.Skipf("nothing is tried against an S3 server: go tool versitygw in test/s3: %v: %s", err, stderr.Bytes())
	default:
		t.Fatalf("go tool versitygw in test/s3: %v: %s", err, stderr.Bytes())
	}
	return strings.TrimSpace(string(path))
}

// Start starts a server, and names it and its key in the environment of the test.
func Start(t testing.TB) *Server { return start(t, t.TempDir(), "") }

// StartTLS is Start with a certificate for 127.0.0.1.
func StartTLS(t testing.TB) *Server {
	t.Helper()
	dir := t.TempDir()
	ca, err := certs.NewCA("s3test")
	must(t, err)
	pem, key, err := ca.Issue(certs.Request{CommonName: "s3test", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true,
		Validity: time.Hour})
	must(t, err)
	must(t, certs.WritePair(dir, "server", pem, key))
	must(t, os.WriteFile(filepath.Join(dir, "ca.pem"), ca.CertPEM(), 0o600))
	return start(t, t.TempDir(), dir)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func start(t testing.TB, dir, pki string) *Server {
	t.Helper()
	s := &Server{Dir: dir, t: t}
	path := program(t)
	must(t, os.MkdirAll(filepath.Join(dir, Bucket), 0o755))
	s.addr = nodetest.FreePort(t)
	s.args = []string{path, "--port", s.addr}
	if pki != "" {
		s.CA = filepath.Join(pki, "ca.pem")
		s.args = append(s.args, "--cert", filepath.Join(pki, "server.crt"), "--key", filepath.Join(pki, "server.key"))
	}
	s.args = append(s.args, "posix", dir)
	s.Restart()
	t.Cleanup(s.Kill)
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": AccessKey, "AWS_SECRET_ACCESS_KEY": SecretKey,
		"AWS_SESSION_TOKEN": "", "AWS_ENDPOINT_URL_S3": s.Endpoint(), "AWS_REGION": "us-east-1", "AWS_CA_BUNDLE": s.CA,
		"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "none"), "AWS_PROFILE": ""} {
		t.Setenv(name, value)
	}
	return s
}

// Endpoint is the address of the server, with its scheme.
func (s *Server) Endpoint() string {
	if s.CA != "" {
		return "https://" + s.addr
	}
	return "http://" + s.addr
}

// File returns the path of the object of a name in Bucket.
func (s *Server) File(name string) string {
	return filepath.Join(s.Dir, Bucket, filepath.FromSlash(name))
}

// Kill ends the process at once, as a power loss of its machine does for a client.
func (s *Server) Kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// Restart starts the process and waits until it answers.
func (s *Server) Restart() {
	s.t.Helper()
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	s.cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	must(s.t, s.cmd.Start())
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for s.dial(ctx) != nil {
		select {
		case <-ctx.Done():
			s.t.Fatalf("the S3 server does not answer: %s", s.out.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *Server) dial(ctx context.Context) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return err
	}
	return c.Close()
}
