package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/test/harness"
	"github.com/recount-ledger/recount/wire"
)

// TestSeedOverKills adds a node to three real processes with a log that is large enough to be copied. Within the
// copying the process of the new node is killed, then that of the member that gives the copy, then one bit of the
// next member's copy is flipped. Each time the copying goes on: with what is there, with another member, and with
// a file of another one. In the end all four nodes have the same digests.
func TestSeedOverKills(t *testing.T) {
	if !full {
		t.Skip("RECOUNT_E2E=full runs it")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	port, err := harness.FreePort(4)
	if err != nil {
		t.Fatal(err)
	}
	env := append([]string{"RECOUNT_COPY_RATE=1500000"}, harness.Keys...)
	c, err := harness.Start(ctx, nodeBin, t.TempDir(), 3, port, env...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Stop() }()
	s := &seedPlay{t: t, ctx: ctx, c: c}
	s.fill(10 << 20)
	peer := newNode(t, c, []string{nodeBin}, port, 3)
	waitFor(t, ctx, "the new node", func() error {
		_, err := client.MembersOf(operatorOf(t, c)).Add(ctx, wire.MemberRequest{Op: wire.Op{Reason: "one more"},
			NodeID: "node-4", PeerAddress: peer, APIAddress: c.API[3]})
		return err
	})

	defer func() {
		if t.Failed() {
			t.Logf("the log of node 4: %s", s.log())
		}
	}()
	s.awaitCopy(1, "", 1<<20)
	s.must(c.Kill(3))
	s.must(c.RestartAs(3, []string{nodeBin}, env...))
	again := s.awaitCopy(2, "", 0)
	if again.Here < 1<<20 {
		t.Errorf("the new process begins with %+v", again)
	}

	source := int(again.Member[len("node-")] - '1')
	s.must(c.Kill(source))
	next := s.awaitCopy(3, again.Member, 0)
	s.must(c.RestartAs(source, []string{nodeBin}, env...))

	s.flip(next.Member)
	s.must(c.AwaitReady(ctx, 0, 1, 2, 3))
	if log := s.log(); !bytes.Contains(log, []byte("a file is not what the member said")) {
		t.Error("the flipped bit was not noticed")
	} else if !bytes.Contains(log, []byte("the copy of the log is in place")) {
		t.Error("no copy was installed")
	}
	equalDigests(t, ctx, c, 0, 1, 2, 3)
}

// seedPlay is a cluster whose fourth node copies the log.
type seedPlay struct {
	t   *testing.T
	ctx context.Context
	c   *harness.Cluster
}

// copyLine is a line in the log of the new node that tells the beginning of a copy.
type copyLine struct {
	Msg    string `json:"msg"`
	Member string `json:"member"`
	Here   int64  `json:"here"`  // bytes that an earlier process got
	Files  int    `json:"files"` // 0 in lines about progress
}

func (s *seedPlay) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// fill submits records until the log of node 1 has so many bytes.
func (s *seedPlay) fill(bytes int64) {
	s.t.Helper()
	source, err := harness.NewSource(root)
	s.must(err)
	cl := newBatchers(s.t, s.c)[0].client
	web := s.c.HTTP(1)
	defer web.CloseIdleConnections()
	for {
		m, err := s.c.Metrics(s.ctx, web, 0)
		s.must(err)
		if m["flk_log_bytes"] > float64(bytes) {
			return
		}
		bodies := make([][]byte, 256)
		for i := range bodies {
			bodies[i], err = source.Next("seed")
			s.must(err)
		}
		for _, o := range client.SubmitBatch(s.ctx, cl, bodies) {
			if _, err := o.Result(); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// sizeBelow returns the bytes of the files below a directory. Files may come and go meanwhile.
func sizeBelow(t *testing.T, dir string) (sum int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				sum += info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func (s *seedPlay) log() []byte {
	s.t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.c.NodeDir(3), "log"))
	s.must(err)
	return raw
}

// awaitCopy waits until the new node has begun its n-th copy, from another member than not, and has so many bytes.
func (s *seedPlay) awaitCopy(n int, not string, have int64) (at copyLine) {
	s.t.Helper()
	waitFor(s.t, s.ctx, fmt.Sprint("copy ", n), func() error {
		begun := 0
		for line := range bytes.Lines(s.log()) {
			var l copyLine
			if json.Unmarshal(line, &l) == nil && l.Msg == "copying the log" && l.Files > 0 {
				begun++
				at = l
			}
		}
		got := sizeBelow(s.t, filepath.Join(s.c.NodeDir(3), "data", "events.seed", "log"))
		if begun < n || at.Member == not || got < have {
			return fmt.Errorf("%d begun, the last one %+v, %d bytes", begun, at, got)
		}
		return nil
	})
	return at
}

// flip replaces the largest table in the copy that a member gives by one with another bit near its end.
func (s *seedPlay) flip(member string) {
	s.t.Helper()
	tables, err := filepath.Glob(filepath.Join(s.c.Dir, member, "data", "copies", "*", "*.sst"))
	s.must(err)
	var largest string
	var content []byte
	for _, name := range tables {
		raw, err := os.ReadFile(name)
		s.must(err)
		if len(raw) > len(content) {
			largest, content = name, raw
		}
	}
	if largest == "" {
		s.t.Fatalf("%s has no table in a copy", member)
	}
	content[len(content)*9/10] ^= 4
	s.must(os.WriteFile(largest+".new", content, 0o600))
	s.must(os.Rename(largest+".new", largest))
}
