package witness

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReplay: the same checkpoint again is answered with the same lines and no write, until they are a minute old.
func TestReplay(t *testing.T) {
	r := newRig(t)
	tr := tree(9, 9, "")
	first, err := r.w.Add(r.request(tr, 0, 9))
	must(t, err)
	dir := filepath.Join(r.o.Dir, ledgersDir)
	must(t, os.Rename(dir, dir+".away"))
	r.now = r.now.Add(againAfter - time.Second)
	again, err := r.w.Add(r.request(tr, 9, 9))
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("%s, then %s, %v", first, again, err)
	}
	r.now = r.now.Add(time.Second)
	if _, err := r.w.Add(r.request(tr, 9, 9)); err == nil {
		t.Error("cosigned anew without a write")
	}
	must(t, os.Rename(dir+".away", dir))
	if again, err = r.w.Add(r.request(tr, 9, 9)); err != nil || bytes.Equal(first, again) {
		t.Errorf("after a minute: %s, %v", again, err)
	}
}

// TestUnprovenIsNoError: wrong hashes of a stranger are no word about the ledger.
func TestUnprovenIsNoError(t *testing.T) {
	r := newRig(t)
	var out bytes.Buffer
	must(t, r.w.Close())
	r.o.Logger = slog.New(slog.NewTextHandler(&out, nil))
	r.open()
	_, err := r.w.Add(r.request(tree(9, 9, ""), 0, 4))
	must(t, err)
	wrong := r.request(tree(9, 9, ""), 4, 9)
	wrong.Proof = [][32]byte{{7}}
	if _, err := r.w.Add(wrong); err == nil || strings.Contains(out.String(), "ERROR") ||
		!strings.Contains(out.String(), "leads nowhere") {
		t.Errorf("%v, logged %s", err, out.String())
	}
}
