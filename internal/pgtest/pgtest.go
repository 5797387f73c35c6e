// Package pgtest runs PostgreSQL servers inside tests.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is a database server of its own, reached over a socket in its directory.
type Server struct {
	t   testing.TB
	dir string
}

// program finds one of PostgreSQL, which Debian keeps out of PATH.
func program(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil || len(found) == 0 {
		t.Skipf("%s is not installed (Debian: apt-get install postgresql): nothing is tried against a real database",
			name)
	}
	return found[len(found)-1]
}

// Start starts a server, and skips the test if none is installed. The server does not run as root but as the
// user postgres.
func Start(t testing.TB) *Server {
	t.Helper()
	initdb, ctl := program(t, "initdb"), program(t, "pg_ctl")
	program(t, "psql")
	dir, err := os.MkdirTemp("", "recount-pg") // its user must reach it, which t.TempDir does not let it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &Server{t, dir}
	as := p.owner()
	p.server(as, initdb, "-D", dir+"/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale", "C.UTF-8",
		"--no-sync")
	p.server(as, ctl, "-D", dir+"/data", "-w", "-l", dir+"/data/log", "-o", "-F -c listen_addresses='' -k "+dir,
		"start")
	t.Cleanup(func() { p.server(as, ctl, "-D", dir+"/data", "-m", "immediate", "-w", "stop") })
	return p
}

// owner returns the user for the server, or nil for the user of the test.
func (p *Server) owner() *syscall.SysProcAttr {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		p.t.Skipf("a server does not run as root, and there is no user postgres: %v", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := errors.Join(os.Chmod(p.dir, 0o755), os.Chown(p.dir, uid, gid)); err != nil {
		p.t.Fatal(err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

func (p *Server) server(as *syscall.SysProcAttr, name string, args ...string) {
	p.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.SysProcAttr = p.dir, as
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second // the server keeps what it inherits
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		p.t.Fatalf("%s: %v: %s", name, err, out.Bytes())
	}
}

// Env names the server and its first database for programs of PostgreSQL.
func (p *Server) Env() []string {
	return []string{"PGHOST=" + p.dir, "PGUSER=postgres", "PGDATABASE=postgres"}
}

// Psql is the program, ready to start.
func (p *Server) Psql(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "psql", append([]string{"-X", "-q"}, args...)...)
	cmd.Env = append(os.Environ(), p.Env()...)
	return cmd
}

// Run gives a script to psql.
func (p *Server) Run(script string, args ...string) (string, error) {
	cmd := p.Psql(p.t.Context(), args...)
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// MustRun is Run, and the script must succeed.
func (p *Server) MustRun(script string, args ...string) {
	p.t.Helper()
	if out, err := p.Run(script, args...); err != nil {
		p.t.Fatalf("psql: %v: %s", err, out)
	}
}

// Ask gives the rows of a query, columns with | between.
func (p *Server) Ask(query string) []string {
	p.t.Helper()
	out, err := p.Run("", "-At", "-v", "ON_ERROR_STOP=1", "-c", query)
	if err != nil {
		p.t.Fatalf("%s: %v: %s", query, err, out)
	}
	if out = strings.TrimSuffix(out, "\n"); out == "" {
		return nil
	}
	return strings.Split(out, "\n")
}
