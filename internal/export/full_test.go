package export_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/export"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// playMore goes on behind play: a key with terms that is retired, a stolen key with a time of the theft, a rollback,
// a generation with hindsight, and a dropped one.
func (s *scene) playMore() {
	s.t.Helper()
	c := s.c.Client
	s.ed = ed25519.NewKeyFromSeed([]byte("another seed, of 32 bytes as well"[:32]))
	public := base64.StdEncoding.EncodeToString(s.ed.Public().(ed25519.PublicKey))
	terms := wire.KeyRequest{Alg: "ed25519", Public: public, Owner: "lab", Scope: []string{"gamma", "delta*"},
		NotBefore: "2026-01-01T00:00:00Z", NotAfter: "2099-01-01T00:00:00Z", Op: wire.Op{Reason: "a second agent"}}
	key, err := c.AddKey(s.ctx, terms)
	must(s.t, err)
	terms.Comment, terms.Reason = "moved", "other terms"
	_, err = c.AddKey(s.ctx, terms)
	must(s.t, err)
	s.submit(200, s.signed(nodetest.Record{Shard: "gamma", Epoch: 1, Root: "k"}))
	s.submit(403, s.signed(nodetest.Record{Shard: "omega", Epoch: 1, Root: "l"}))
	_, err = c.RetireKey(s.ctx, key.KeyID, wire.Op{Reason: "the agent is gone", Ticket: "OPS-3"})
	must(s.t, err)
	_, err = c.Rollback(s.ctx, wire.RollbackRequest{Op: wire.Op{Reason: "too strict", Ticket: "OPS-4"}})
	must(s.t, err)
	s.submit(200, s.f.Sign(nodetest.Record{Shard: "beta", Epoch: 2, Root: "m"}))
	s.submit(200, s.f.Sign(nodetest.Record{Shard: "beta", Epoch: 1, Root: "j"})) // again
	_, err = c.RevokeKey(s.ctx, key.KeyID, wire.RevokeRequest{Op: wire.Op{Reason: "stolen"}, Since: "2026-11-01T00:00:00Z"})
	must(s.t, err)
	g, err := c.StartGeneration(s.ctx, wire.GenerationRequest{Policy: s.publish("kernel: 1\nepochs: {on_regression: reject}\n"),
		Keys: wire.KeysHindsight, Op: wire.Op{Reason: "after the theft"}})
	must(s.t, err)
	_, err = c.DropGeneration(s.ctx, g.Generation, wire.Op{Reason: "not needed"})
	must(s.t, err)
}

// TestFullExport: an export with everything that a ledger can have holds, and can be checked for ever.
func TestFullExport(t *testing.T) {
	dir := filepath.Join("testdata", "full")
	if *update {
		s := newScene(t)
		s.play()
		s.playMore()
		made, _ := s.write(export.Options{At: time.Now()})
		must(t, os.RemoveAll(dir))
		must(t, os.CopyFS(dir, os.DirFS(made)))
	}
	r, lines := check(t, dir, export.CheckOptions{Recount: true})
	for name, l := range lines { // the page may be of another release
		if (l.Result == export.ResultOK) == (name == export.CheckHMAC) && name != export.CheckPage {
			t.Errorf("%s: %+v", name, l)
		}
	}
	if !r.OK || lines[export.CheckHistory].Count != 14 {
		t.Errorf("%+v", r)
	}
}
