package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// postgres is a primary and two standbys. Clients reach the primary over a socket.
type postgres struct {
	dir     string
	as      *syscall.SysProcAttr // the user of the servers, nil for that of this process
	servers []int                // process ids
}

// program finds one of PostgreSQL, which Debian keeps out of PATH.
func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) == 0 {
		return "", fmt.Errorf("%s is %w (Debian: apt-get install postgresql)", name, errMissing)
	}
	return found[len(found)-1], nil
}

// startPostgres makes a primary, copies it twice, and makes commits wait for one of the copies.
func startPostgres(ctx context.Context, dir string) (system, error) {
	if _, err := program("initdb"); err != nil {
		return nil, err
	}
	p := &postgres{dir: dir}
	if err := p.own(); err != nil {
		return nil, err
	}
	data := func(i int) string { return filepath.Join(dir, strconv.Itoa(i)) }
	err := p.do(ctx, "initdb", "-D", data(0), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale", "C.UTF-8")
	if err != nil {
		return nil, err
	}
	if err := p.launch(ctx, data(0), 5432); err != nil {
		return nil, err
	}
	for i := 1; i < 3; i++ {
		err := p.do(ctx, "pg_basebackup", "-D", data(i), "-h", dir, "-p", "5432", "-U", "postgres", "-R", "-X", "stream",
			"-d", fmt.Sprintf("application_name=s%d", i))
		if err != nil {
			return p, err
		}
		if err := p.launch(ctx, data(i), 5432+i); err != nil {
			return p, err
		}
	}
	return p, p.prepare(ctx)
}

// own gives the directory to the user of the servers, which do not run as root.
func (p *postgres) own() error {
	if err := os.MkdirAll(p.dir, 0o755); err != nil || os.Getuid() != 0 {
		return err
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("a user for PostgreSQL, which does not run as root, is %w: %w", errMissing, err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	p.as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	if err := os.Chown(p.dir, uid, gid); err != nil {
		return err
	}
	for up := filepath.Dir(p.dir); up != "/"; up = filepath.Dir(up) { // its user must reach the directory
		if err := os.Chmod(up, 0o755); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		if up == os.TempDir() || filepath.Dir(up) == os.TempDir() {
			break
		}
	}
	return nil
}

// do runs a program to its end.
func (p *postgres) do(ctx context.Context, name string, args ...string) error {
	path, err := program(name)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.SysProcAttr = p.dir, p.as
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// launch starts a server and notes its process.
func (p *postgres) launch(ctx context.Context, data string, port int) error {
	options := fmt.Sprintf("-c listen_addresses='' -c unix_socket_directories=%s -p %d -c max_connections=400 "+
		"-c shared_buffers=128MB -c max_wal_senders=8", p.dir, port)
	if err := p.do(ctx, "pg_ctl", "-D", data, "-w", "-s", "-l", data+".log", "-o", options, "start"); err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	p.servers = append(p.servers, pid)
	return err
}

// prepare makes the table and the rule that one of two standbys must have synced a commit.
func (p *postgres) prepare(ctx context.Context) error {
	c, err := p.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	for _, statement := range []string{
		"ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (s1, s2)'",
		"SELECT pg_reload_conf()",
		"CREATE TABLE r (id bigserial PRIMARY KEY, body bytea NOT NULL)",
	} {
		if _, err := c.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return await(ctx, func() error {
		var n int
		err := c.QueryRow(ctx, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'").Scan(&n)
		if err == nil && n != 2 {
			err = fmt.Errorf("%d standbys follow", n)
		}
		return err
	})
}

func (p *postgres) dial(ctx context.Context) (*pgx.Conn, error) {
	return pgx.Connect(ctx, fmt.Sprintf("host=%s port=5432 user=postgres database=postgres", p.dir))
}

func (p *postgres) pids() []int { return p.servers }

// connect opens a connection to the primary. Each record is a transaction of its own.
func (p *postgres) connect(ctx context.Context, _ int) (func(context.Context, []byte) error, func(), error) {
	c, err := p.dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	store := func(ctx context.Context, body []byte) error {
		_, err := c.Exec(ctx, "INSERT INTO r (body) VALUES ($1)", body)
		return err
	}
	return store, func() { _ = c.Close(context.Background()) }, nil
}

// stop ends the standbys and then the primary.
func (p *postgres) stop() (err error) {
	for i := len(p.servers) - 1; i >= 0; i-- {
		data := filepath.Join(p.dir, strconv.Itoa(i))
		err = errors.Join(err, p.do(context.Background(), "pg_ctl", "-D", data, "-m", "immediate", "-w", "-s", "stop"))
	}
	return err
}
