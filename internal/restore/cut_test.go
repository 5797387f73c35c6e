package restore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/restore"
	"github.com/recount-ledger/recount/wire"
)

// TestPointInTime ends restored ledgers at events and at times. They have the digests that the source had there, and
// the event about the restoration follows.
func TestPointInTime(t *testing.T) {
	s, ctx := newSource(t, 1), t.Context()
	_, middle := s.submit(30)
	last, _ := s.submit(30)
	m := s.backup(0)
	for name, change := range map[string]func(*restore.Options){
		"event": func(o *restore.Options) { o.ToSeq = middle.Seq },
		"time": func(o *restore.Options) {
			e, err := s.Client.Event(ctx, middle.Seq, client.Read{})
			must(t, err)
			o.ToTime, err = wire.ParseTime(e.LogTime)
			must(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := s.options(m)
			change(&o)
			r, err := restore.Restore(ctx, o)
			must(t, err)
			if r.Position.Seq != middle.Seq || r.CutEvents != m.Position.Seq-middle.Seq {
				t.Fatalf("ends at %d, asked for %d: %+v", r.Position.Seq, middle.Seq, r)
			}
			digestAt(t, s.Cluster, r.Position.Seq, r.Digest, true)
			c := start(t, r)
			digestAt(t, c, r.Position.Seq, r.Digest, true)
			e, err := c.Client.Event(ctx, middle.Seq+1, client.Read{})
			must(t, err)
			if e.Kind != "restored" {
				t.Errorf("%+v", e)
			}
			got, err := c.Client.Submit(ctx, last)
			if err != nil || got.Replayed {
				t.Errorf("a record that was cut: %+v %v", got, err)
			}
		})
	}
}

// TestRestoreOfAnEarlierName: a restored ledger that is cut before its restoration is that of the first cluster. The new
// cluster takes it over under that name, else its node starts once and never again.
func TestRestoreOfAnEarlierName(t *testing.T) {
	s, ctx := newSource(t, 1), t.Context()
	_, kept := s.submit(5)
	s.submit(5)
	r, err := restore.Restore(ctx, s.options(s.backup(0)))
	must(t, err)
	c := start(t, r)
	s.Cluster, s.records = c, nodetest.NewRecords(t)
	s.submit(3)
	s.target, err = backup.CreateDir(t.TempDir())
	must(t, err)
	o := s.options(s.backup(0))
	o.ClusterID, o.NodeID, o.ToSeq = "third", "third-1", kept.Seq
	r, err = restore.Restore(ctx, o)
	must(t, err)
	c.Stop(0)
	c = start(t, r)
	e, err := c.Client.Event(ctx, kept.Seq+1, client.Read{})
	must(t, err)
	v, err := c.Client.Version(ctx)
	must(t, err)
	if e.Kind != "restored" || r.From != "nodetest" || !slices.Equal(v.Formerly, []string{"nodetest"}) {
		t.Errorf("%+v: %+v %+v", r, e, v)
	}
	c.Stop(0)
	c.Restart(0)
	c.AwaitReady(0)
}

// TestRefused: what a restore refuses, it refuses before it writes anything, or at least so that no node can start.
func TestRefused(t *testing.T) {
	s, ctx := newSource(t, 3), t.Context()
	s.submit(5)
	m := s.backup(0)
	for name, c := range map[string]struct {
		change func(*restore.Options)
		want   error
	}{
		"the same cluster": {func(o *restore.Options) { o.ClusterID = "nodetest" }, restore.ErrSameID},
		"a used node id": {func(o *restore.Options) {
			o.NodeID = "node-2" // the backup is of node-1
		}, restore.ErrUsedID},
		"an event to come": {func(o *restore.Options) { o.ToSeq = m.Position.Seq + 1 }, restore.ErrRange},
		"a time to come":   {func(o *restore.Options) { o.ToTime = time.Now().Add(time.Hour) }, restore.ErrRange},
		"a time before it": {func(o *restore.Options) { o.ToTime = time.Unix(1, 0) }, restore.ErrRange},
		"a directory in use": {func(o *restore.Options) {
			must(t, os.MkdirAll(o.Dir, 0o700))
			must(t, os.WriteFile(filepath.Join(o.Dir, "x"), nil, 0o600))
		}, restore.ErrNotEmpty},
	} {
		o := s.options(m)
		c.change(&o)
		if _, err := restore.Restore(ctx, o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(o.Dir, "node.json")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a node could start: %v", name, err)
		}
	}
}

// flipping is a target whose objects have one other bit.
type flipping struct {
	backup.Target
	name string
	at   int
}

func (f flipping) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	in, err := f.Target.Open(ctx, name)
	if err != nil || name != f.name {
		return in, err
	}
	raw, err := io.ReadAll(in)
	if err := errors.Join(err, in.Close()); err != nil {
		return nil, err
	}
	if len(raw) == 0 {
		raw = []byte{0}
	} else {
		raw[f.at%len(raw)] ^= 1
	}
	return io.NopCloser(bytes.NewReader(raw)), nil
}

// TestFlippedBits flips a bit in every file. The file is named. If the manifest had the hash of the damage, the log or its
// digests would tell, unless the bit means nothing.
func TestFlippedBits(t *testing.T) {
	s, ctx := newSource(t, 1), t.Context()
	s.submit(30)
	m := s.backup(0)
	work, found := t.TempDir(), 0
	for i, f := range m.Files {
		for _, at := range []int{0, int(f.Size) / 3, int(f.Size) - 60} {
			bad := flipping{s.target, "files/" + f.SHA256[:2] + "/" + f.SHA256, max(at, 0)}
			if _, err := restore.Verify(ctx, bad, m, work, quiet); !errors.Is(err, backup.ErrDamaged) || !strings.Contains(err.Error(), f.Name) {
				t.Errorf("%s, byte %d: %v", f.Name, at, err)
			}
			forged := *m
			forged.Files = slices.Clone(m.Files)
			sum := sha256.New()
			in, err := bad.Open(ctx, bad.name)
			must(t, err)
			n, err := io.Copy(sum, in)
			must(t, err)
			forged.Files[i].Size, forged.Files[i].SHA256 = n, hex.EncodeToString(sum.Sum(nil))
			r, err := restore.Verify(ctx, renamed{bad, "files/" + forged.Files[i].SHA256[:2] + "/" + forged.Files[i].SHA256}, &forged, work, quiet)
			if err != nil {
				found++
			} else if r.Digest != m.Digest {
				t.Errorf("%s, byte %d: another ledger is good: %+v", f.Name, at, r)
			}
		}
	}
	if found < len(m.Files) {
		t.Errorf("%d of %d forged files were found", found, 3*len(m.Files))
	}
	if left, err := os.ReadDir(work); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// renamed has a flipped object under another name.
type renamed struct {
	flipping
	to string
}

func (r renamed) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if name == r.to {
		name = r.name
	}
	return r.flipping.Open(ctx, name)
}

// TestForgedManifest: a manifest that claims other digests, another end or another cluster is refused.
func TestForgedManifest(t *testing.T) {
	s, ctx := newSource(t, 1), t.Context()
	s.submit(5)
	m := s.backup(0)
	zero := strings.Repeat("0", 64)
	for name, lie := range map[string]func(*backup.Manifest){
		"log":     func(m *backup.Manifest) { m.Digest.Log = zero },
		"state":   func(m *backup.Manifest) { m.Digest.State = zero },
		"control": func(m *backup.Manifest) { m.Digest.Control = zero },
		"index":   func(m *backup.Manifest) { m.Position.Index-- },
		"seq":     func(m *backup.Manifest) { m.Position.Seq++ },
		"term":    func(m *backup.Manifest) { m.Position.Term++ },
		"cluster": func(m *backup.Manifest) { m.ClusterID = "other" },
	} {
		forged := *m
		lie(&forged)
		if _, err := restore.Verify(ctx, s.target, &forged, t.TempDir(), quiet); !errors.Is(err, restore.ErrDiffers) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
