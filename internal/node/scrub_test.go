package node

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/log"
)

// TestScrubOfAnIdleNode: a node to which nothing happens examines its log again and again. What is found,
// TestScrub of the log shows, and what follows, TestLogThatCannotBeRead.
func TestScrubOfAnIdleNode(t *testing.T) {
	ended := make(chan int, 1)
	n := &Node{
		log: slog.New(slog.DiscardHandler),
		cfg: Config{Dir: t.TempDir(), ScrubRate: 1 << 30, ScrubPause: time.Millisecond, Exit: func(code int) {
			ended <- code
			runtime.Goexit()
		}},
	}
	dir := filepath.Join(n.cfg.Dir, "events")
	makeTables(t, dir)
	var err error
	if n.store, err = log.Open(dir, log.Options{Fatal: n.logFailed}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = n.scrubLog(ctx)
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n.stats.scrubs.Load() < 2 {
		select {
		case <-tick.C:
		case code := <-ended:
			t.Fatalf("nothing is wrong yet, and the node ended with %d", code)
		case <-time.After(20 * time.Second):
			t.Fatal("the log is not examined")
		}
	}
	cancel()
	<-done
	if n.stats.scrubbed.Load() < 2*300*1000 {
		t.Errorf("only %d bytes", n.stats.scrubbed.Load())
	}
	if err := n.store.Close(); err != nil {
		t.Error(err)
	}
}

// makeTables makes a log whose entries are in tables.
func makeTables(t *testing.T, dir string) {
	t.Helper()
	for round := range 2 { // a log that is opened again writes into tables what it has
		s, err := log.Open(dir, log.Options{})
		if err != nil {
			t.Fatal(err)
		}
		random := rand.NewChaCha8([32]byte{1}) // nothing that a table could compress
		for i := uint64(1); i <= 300 && round == 0; i++ {
			payload := make([]byte, 1000)
			_, _ = random.Read(payload)
			pack := event.Pack{
				ProposedAt: int64(i),
				Events:     []event.Event{{Kind: event.Submission, Payload: payload}},
			}
			if err := s.StoreLog(&raft.Log{
				Index: i,
				Term:  1,
				Type:  raft.LogCommand,
				Data:  pack.Append(nil),
			}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("no table: %v", err)
	}
}
