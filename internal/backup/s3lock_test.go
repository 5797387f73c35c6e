package backup_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/internal/s3test"
)

// age makes the locks of a store older than they are, and returns how many there are.
func age(t *testing.T, server *s3test.Server, by time.Duration) int {
	t.Helper()
	locks, err := filepath.Glob(server.File("ledgers/a/locks/*"))
	must(t, err)
	for _, path := range locks {
		at := time.Now().Add(-by)
		must(t, os.Chtimes(path, at, at))
	}
	return len(locks)
}

func lapse(t *testing.T, server *s3test.Server) { age(t, server, 3*time.Minute) }

// TestLockOfTheKilled: the lock of a process that was killed lapses, and keeps others away before.
func TestLockOfTheKilled(t *testing.T) {
	server := s3test.Start(t)
	p := s3PlaceOf(t, server)
	must(t, p.target.Put(t.Context(), "locks/elsewhere-7-abc", func(w io.Writer) error { _, err := io.WriteString(w, "x"); return err }))
	age(t, server, time.Minute)
	if _, err := p.target.Lock(t.Context()); !errors.Is(err, backup.ErrLocked) || !strings.Contains(err.Error(), "elsewhere-7-abc") {
		t.Errorf("%v", err)
	}
	if got := names(t, p, "locks/"); len(got) != 1 {
		t.Errorf("a refused one leaves its lock: %q", got)
	}
	lapse(t, server)
	unlock, err := p.target.Lock(t.Context())
	must(t, err)
	if got := names(t, p, "locks/"); len(got) != 1 || strings.Contains(got[0], "elsewhere") {
		t.Errorf("locks %q", got)
	}
	must(t, unlock())
	if got := names(t, p, "locks/"); len(got) != 0 {
		t.Errorf("locks %q", got)
	}
}

// TestLockIsRenewed: a lock that is held outlives its life.
func TestLockIsRenewed(t *testing.T) {
	server := s3test.Start(t)
	held, other := s3PlaceOf(t, server), s3PlaceOf(t, server)
	const life = 3 * time.Second
	for _, p := range []place{held, other} {
		p.target.(*backup.S3).SetLife(life)
	}
	unlock, err := held.target.Lock(t.Context())
	must(t, err)
	for began := time.Now(); time.Since(began) < 2*life; { // each look is a request
		if _, err := other.target.Lock(t.Context()); !errors.Is(err, backup.ErrLocked) {
			t.Fatalf("after %s: %v", time.Since(began), err)
		}
	}
	must(t, unlock())
	unlock, err = other.target.Lock(t.Context())
	must(t, err)
	must(t, unlock())
}

// TestLostLock: who cannot renew a lock for too long writes and removes nothing any more, not even when the store is back.
func TestLostLock(t *testing.T) {
	server := s3test.Start(t)
	proxy := server.Proxy()
	p := s3PlaceOf(t, server)
	p.target.(*backup.S3).SetLife(2 * time.Second)
	unlock, err := p.target.Lock(t.Context())
	must(t, err)
	proxy.Do(func(*http.Request) s3test.Fault { return s3test.Busy })
	write := func(w io.Writer) error { _, err := io.WriteString(w, "x"); return err }
	if err := p.target.Put(t.Context(), "files/x", write); !errors.Is(err, backup.ErrLockLost) {
		t.Errorf("while the store is busy: %v", err)
	}
	proxy.Do(nil)
	if err := p.target.Put(t.Context(), "manifests/x", write); !errors.Is(err, backup.ErrLockLost) {
		t.Errorf("later: %v", err)
	}
	if err := p.target.Remove(t.Context(), "files/x"); !errors.Is(err, backup.ErrLockLost) {
		t.Errorf("a removal: %v", err)
	}
	must(t, unlock())
	if got := append(names(t, p, "files/"), names(t, p, "manifests/")...); len(got) != 0 {
		t.Errorf("written %q", got)
	}
	must(t, p.target.Put(t.Context(), "files/x", write))
}
