package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// flipLimit bounds the time until a start has refused or serves.
const flipLimit = 90 * time.Second

// lane is a copy of a scene's nodes with ports of its own.
type lane struct {
	*flipScene
	dir  string
	base int
	node [3]*laneNode
	used bool // node 3 is not as late as it was
}

// laneNode is a running node.
type laneNode struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

// lane copies the cluster without its data and gives it other ports.
func (s *flipScene) lane(i int) *lane {
	s.t.Helper()
	dir, err := os.MkdirTemp(fastDir(), "recount-flips-")
	must(s.t, err)
	s.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	base, err := harness.FreePort(3)
	must(s.t, err)
	base += 40 * (i + 1) // not those of the scene, which stand in the log: a lane would reach the nodes of another one
	l := &lane{flipScene: s, dir: dir, base: base, used: true}
	for _, name := range []string{"tokens", "keys", "peer-ca", "node-1", "node-3"} {
		must(s.t, copyPrivate(filepath.Join(s.c.Dir, name), filepath.Join(dir, name)))
	}
	key, err := os.ReadFile(filepath.Join(s.c.Dir, "checkpoint.key"))
	must(s.t, err)
	must(s.t, os.WriteFile(filepath.Join(dir, "checkpoint.key"), key, 0o600))
	for _, name := range []string{"node-1", "node-3"} {
		path := filepath.Join(dir, name, "config.yaml")
		b, err := os.ReadFile(path)
		must(s.t, err)
		text := string(b)
		for n, api := range s.c.API {
			_, port, _ := strings.Cut(strings.TrimPrefix(api, "https://"), ":")
			was, err := strconv.Atoi(port)
			must(s.t, err)
			was -= 10 * n
			for which := range 2 {
				text = strings.ReplaceAll(text, laneAddress(was, n, which), laneAddress(base, n, which))
			}
		}
		must(s.t, os.WriteFile(path, []byte(text), 0o600))
	}
	return l
}

// copyPrivate copies a directory; nobody else may read the files, as a node demands of secrets.
func copyPrivate(from, to string) error {
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	return filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chmod(path, 0o600)
	})
}

// fastDir is a directory in memory where there is one: no flip loses power.
func fastDir() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

func (l *lane) data(i int) string { return filepath.Join(l.dir, fmt.Sprint("node-", i+1), "data") }
func (l *lane) api(i int) string  { return "https://" + laneAddress(l.base, i, 0) }

func (l *lane) start(i int) error {
	home := filepath.Dir(l.data(i))
	path := filepath.Join(home, "log")
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(nodeBin, "serve", "--config", filepath.Join(home, "config.yaml"))
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(append(os.Environ(), harness.Keys...), "RECOUNT_ELECTION_TIMEOUT=500ms")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	n := &laneNode{cmd, path, make(chan struct{})}
	l.node[i] = n
	go func() {
		_ = cmd.Wait()
		close(n.done)
	}()
	return nil
}

func (l *lane) kill(i int) {
	if n := l.node[i]; n != nil {
		_ = n.cmd.Process.Kill()
		<-n.done
		l.node[i] = nil
	}
}

func (l *lane) close() {
	l.kill(0)
	l.kill(2)
}

// replace gives node i a fresh copy of a data directory.
func (l *lane) replace(i int, with string) error {
	l.kill(i)
	if err := os.RemoveAll(l.data(i)); err != nil {
		return err
	}
	return os.CopyFS(l.data(i), os.DirFS(with))
}

// try starts node 1 with the flipped bit beside the late node 3.
func (l *lane) try(f flip) (out fate) {
	began := time.Now()
	err := l.replace(0, f.variant.data)
	if err == nil && l.used {
		if err = l.replace(2, l.late); err == nil {
			err = l.start(2)
		}
	}
	if err == nil {
		err = f.apply(l.data(0))
	}
	if err == nil {
		l.used = false
		out, err = l.outcome(f)
	}
	if err != nil {
		out.end, out.why = "failed", err.Error()
	}
	out.took = time.Since(began)
	l.kill(0)
	return out
}

// outcome starts node 1, as often as a supervisor would, until it has refused, withholds its answers or serves.
func (l *lane) outcome(f flip) (out fate, err error) {
	ctx, cancel := context.WithTimeout(l.ctx, flipLimit)
	defer cancel()
	for range 6 {
		if err := l.start(0); err != nil {
			return out, err
		}
		node := l.node[0]
		out.end, err = l.settle(ctx)
		out.words = explains(l.said(0))
		out.built = out.built || strings.Contains(l.said(0), "folded again")
		if err != nil || out.end == "refused" {
			return out, err
		}
		l.used = true // it ran: it may have told node 3 something
		if out.end == "ended" {
			continue
		}
		if err = l.compare(ctx, f, &out); !errors.Is(err, errGone) {
			return out, err
		}
		<-node.done
		if _, err := l.ended(); err != nil { // it met the damage while it was asked
			return out, err
		}
	}
	out.end, out.words = "refused", explains(l.said(0))
	return out, nil
}

// errGone means that node 1 ended while it was asked.
var errGone = errors.New("the node is gone")

// settle waits until node 1 has ended, is ready together with node 3, or withholds its answers beside a node 3 that is ready.
func (l *lane) settle(ctx context.Context) (string, error) {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	var checks string
	node, late := l.node[0], l.node[2]
	for {
		select {
		case <-node.done:
			return l.ended()
		case <-late.done:
			return "", fmt.Errorf("the late node ended: %s", l.lastSaid(2))
		case <-ctx.Done():
			return "", fmt.Errorf("neither refuses nor serves: %s\n%s", checks, l.lastSaid(0))
		case <-tick.C:
		}
		other, _, _ := get(ctx, l.client, l.api(2)+"/readyz")
		var status int
		status, checks, _ = get(ctx, l.client, l.api(0)+"/readyz?verbose")
		switch {
		case other == http.StatusOK && status == http.StatusOK:
			return "whole", nil
		case other == http.StatusOK && strings.Contains(checks, "[-]quarantine failed"):
			return "withheld", nil
		}
	}
}

// ended judges the end of node 1: it must have an exit code and say why. Before Raft ran it has refused.
func (l *lane) ended() (string, error) {
	code, said := l.node[0].cmd.ProcessState.ExitCode(), l.said(0)
	l.node[0] = nil
	if code <= 0 || !advises.MatchString(explains(said)) {
		return "", fmt.Errorf("exit %d without words that say why: %s", code, l.lastSaid(0))
	}
	if strings.Contains(said, `"msg":"raft: initial configuration"`) {
		return "ended", nil
	}
	return "refused", nil
}

// advises finds what the operator is told to do.
var advises = regexp.MustCompile("leave (it|this node) stopped|a copy from another node|copy it from another node|" +
	"examine the node")

// explains finds in a log the line that says why the node ended or withholds its answers.
func explains(said string) (line string) {
	for l := range strings.Lines(said) {
		if strings.HasPrefix(l, "recount-node: ") || strings.Contains(l, `"msg":"fatal`) || strings.Contains(l, "quarantined") {
			line = strings.TrimSpace(l)
		}
	}
	return line
}

func (l *lane) said(i int) string {
	b, _ := os.ReadFile(filepath.Join(filepath.Dir(l.data(i)), "log"))
	return string(b)
}

func (l *lane) lastSaid(i int) string {
	said := l.said(i)
	return said[max(0, len(said)-2000):]
}

// compare asks everything again. Node 3 must answer it, and node 1 when it serves.
func (l *lane) compare(ctx context.Context, f flip, out *fate) error {
	nodes := []int{2, 0}
	if out.end == "withheld" {
		nodes = nodes[:1]
	}
	for _, i := range nodes {
		var head digest
		if err := l.again(ctx, i, "/v1/digest", func(_ int, body string) error { return json.Unmarshal([]byte(body), &head) }); err != nil {
			return err
		}
		if head.Seq < f.variant.head {
			out.short = true
			return fmt.Errorf("node %d serves %d of %d events", i+1, head.Seq, f.variant.head)
		}
		for q, want := range l.answers {
			err := l.again(ctx, i, q, func(_ int, body string) error { return sameBody(body, want) })
			switch {
			case errors.Is(err, errGone):
				return err
			case errors.Is(err, errOther) && strings.HasPrefix(q, "/v1/pcs/"):
				out.lost++
				out.why = err.Error()
			case err != nil:
				out.why = err.Error()
			}
		}
		if out.why != "" {
			return fmt.Errorf("node %d: %s", i+1, out.why)
		}
	}
	return nil
}

var appliedSeq = regexp.MustCompile(`"(applied|position)(_seq)?":\d+`)

// headTime is the log time of the newest event, behind a list of shards without what appliedSeq matches.
var headTime = regexp.MustCompile(`("next_cursor":"[^"]*",,"generation":\d+),"log_time":"[^"]*"`)

var errOther = errors.New("another answer than before")

// sameBody compares answers, but for how far the node had folded. Of other answers it shows the place.
func sameBody(got, want string) error {
	folded := func(body string) string {
		return headTime.ReplaceAllString(appliedSeq.ReplaceAllString(body, ""), "$1")
	}
	got, want = folded(got), folded(want)
	if got == want {
		return nil
	}
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	from := max(0, i-80)
	return fmt.Errorf("%w: ...%s instead of ...%s", errOther, got[from:min(len(got), i+80)], want[from:min(len(want), i+80)])
}

// lagLimit bounds the time in which another answer may come from a node that follows.
const lagLimit = 15 * time.Second

// again asks node i until it answers as before; in between it may say that it cannot, and comparisons may lag behind.
func (l *lane) again(ctx context.Context, i int, q string, check func(int, string) error) error {
	lag := time.Now().Add(lagLimit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		status, body, err := get(ctx, l.client, l.api(i)+q)
		if err == nil && status == http.StatusOK {
			if err = check(status, body); err == nil || time.Now().After(lag) {
				return wrapped(q, err)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %d %w %s", q, status, err, body)
		case <-l.node[2].done:
			return fmt.Errorf("%s: the late node ended: %s", q, l.lastSaid(2))
		case <-l.node[0].done:
			return errGone
		case <-tick.C:
		}
	}
}

func wrapped(q string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", q, err)
}
