package backup_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/wire"
)

// TestMovedManifests: manifests behind a link are not overlooked, and a target that seems to have none loses no file.
func TestMovedManifests(t *testing.T) {
	l, ctx := newLedger(t, dirPlace(t)), t.Context()
	l.submit(5)
	first := l.backup()
	l.submit(5)
	l.backup()
	path := l.file("manifests/" + first.ID + ".manifest")
	moved := filepath.Join(t.TempDir(), "moved")
	must(t, os.Rename(path, moved))
	must(t, os.Symlink(moved, path))
	before := l.objects()
	p, err := backup.Prune(ctx, l.target, 2, false)
	if err == nil || !slices.Equal(before, l.objects()) {
		t.Errorf("a linked manifest: removed %+v", p)
	}
	must(t, os.Remove(path))
	must(t, os.Rename(moved, path))
	dir := filepath.Join(t.TempDir(), "dir")
	must(t, os.Rename(l.file("manifests"), dir))
	must(t, os.Symlink(dir, l.file("manifests")))
	p, err = backup.Prune(ctx, l.target, 2, false)
	if err == nil || !slices.Equal(before, l.objects()) {
		t.Errorf("linked manifests: removed %+v", p)
	}
	must(t, os.Remove(l.file("manifests")))
	must(t, os.Mkdir(l.file("manifests"), 0o700))
	if _, err := backup.Prune(ctx, l.target, 2, false); err != nil || !slices.Equal(before, l.objects()) {
		t.Errorf("no manifests: %v", err)
	}
}

// liar is a node that answers with this copy.
func liar(t *testing.T, a wire.CopyAnswer, body func(w io.Writer, r *http.Request)) client.Copies {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(a)
	}
	mux.HandleFunc("POST /v1/copies", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(a)
	})
	mux.HandleFunc("GET /v1/copies/{id}", answer)
	mux.HandleFunc("GET /v1/copies/{id}/files/{name}", func(w http.ResponseWriter, r *http.Request) { body(w, r) })
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	c, err := client.New(client.Config{Endpoints: []string{srv.URL}})
	must(t, err)
	return client.CopiesOf(c, 0)
}

// TestLyingNode: a node that answers with what no backup can have makes none, and leaves the target as it was.
func TestLyingNode(t *testing.T) {
	ctx := t.Context()
	content := "hello"
	h := sha256.Sum256([]byte(content))
	sum := hex.EncodeToString(h[:])
	good := wire.CopyAnswer{ID: "x", Node: "n", ClusterID: "c", State: wire.CopyReady,
		Position: wire.CopyPosition{Index: 1, Term: 1, Seq: 1},
		Files:    []wire.CopyFile{{Name: "a", Size: 5, SHA256: sum}}}
	for name, change := range map[string]func(a *wire.CopyAnswer){
		"good":       func(*wire.CopyAnswer) {},
		"short hash": func(a *wire.CopyAnswer) { a.Files[0].SHA256 = "a" },
		"traversal":  func(a *wire.CopyAnswer) { a.Files[0].SHA256 = "../../../../../../../../../etc/hostname" },
		"name":       func(a *wire.CopyAnswer) { a.Files[0].Name = "../a" },
		"the top":    func(a *wire.CopyAnswer) { a.Files[0].Name = "/" },
		"a NUL":      func(a *wire.CopyAnswer) { a.Files[0].Name = "a\x00" },
		"huge":       func(a *wire.CopyAnswer) { a.Files[0].Size = math.MaxInt64 },
		"no files":   func(a *wire.CopyAnswer) { a.Files = nil },
		"no events":  func(a *wire.CopyAnswer) { a.Position.Seq = 0 },
		"no cluster": func(a *wire.CopyAnswer) { a.ClusterID = "" },
		"twice":      func(a *wire.CopyAnswer) { a.Files = append(a.Files, a.Files[0]) },
		"too large":  func(a *wire.CopyAnswer) { a.Files[0].Size = 4 },
		"upper-case": func(a *wire.CopyAnswer) { a.Files[0].SHA256 = strings.ToUpper(sum) },
		"negative":   func(a *wire.CopyAnswer) { a.Files[0].Size = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			target, err := backup.CreateDir(t.TempDir())
			must(t, err)
			a := good
			a.Files = slices.Clone(good.Files)
			change(&a)
			source := liar(t, a, func(w io.Writer, _ *http.Request) { _, _ = io.WriteString(w, content) })
			_, err = backup.Create(ctx, backup.Options{Target: target, Source: source, Key: key, At: time.Now()})
			if (err == nil) != (name == "good") {
				t.Errorf("%v", err)
			}
			if _, err := backup.List(ctx, target, public); err != nil {
				t.Errorf("the target is spoilt: %v", err)
			}
		})
	}
}

// TestEndlessFile: a node that sends more than it said does not fill the disk.
func TestEndlessFile(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	a := wire.CopyAnswer{ID: "x", Node: "n", ClusterID: "c", State: wire.CopyReady,
		Position: wire.CopyPosition{Index: 1, Term: 1, Seq: 1},
		Files:    []wire.CopyFile{{Name: "a", Size: 5, SHA256: strings.Repeat("ab", 32)}}}
	root := t.TempDir()
	target, err := backup.CreateDir(root)
	must(t, err)
	var sent atomic.Int64
	src := liar(t, a, func(w io.Writer, r *http.Request) {
		for sent.Load() < 100<<20 && r.Context().Err() == nil {
			n, err := w.Write(make([]byte, 1<<20))
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	})
	_, err = backup.Create(ctx, backup.Options{Target: target, Source: src, Key: key, At: time.Now()})
	if !errors.Is(err, backup.ErrDamaged) || sent.Load() > 50<<20 {
		t.Errorf("%v after %d bytes", err, sent.Load())
	}
}
