package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// fakeEvidence is a ledger of 70,000 events whose tiles say what was asked for.
type fakeEvidence struct{ problem error }

const fakeSize = 70_000

func (f *fakeEvidence) Checkpoint() ([]byte, error) {
	return []byte("recount/c\n70000\nroot\n\nsigned\n"), f.problem
}

func (f *fakeEvidence) Checkpoints(before uint64, limit int) (*wire.CheckpointPage, error) {
	e := wire.CheckpointEntry{Size: min(before, fakeSize) - uint64(limit), Root: hexOf("root"), SignedAt: "2026-01-01T00:00:00Z"}
	return &wire.CheckpointPage{Checkpoints: []wire.CheckpointEntry{e}, NextBefore: e.Size}, f.problem
}

func (f *fakeEvidence) Tile(level uint8, number uint64, width int) ([]byte, error) {
	if number >= 1e9 {
		return nil, ErrNotFound
	}
	return fmt.Appendf(nil, "%d %d %d", level, number, width), f.problem
}

func (f *fakeEvidence) Entries(_ context.Context, number uint64, width int) ([]byte, error) {
	return fmt.Appendf(nil, "entries %d %d", number, width), f.problem
}

func (f *fakeEvidence) Inclusion(seq, size uint64) (*wire.InclusionAnswer, error) {
	if size > fakeSize {
		return nil, ErrNotFound
	}
	h := hexOf("hash")
	return &wire.InclusionAnswer{Seq: seq, Size: size, LeafHash: h, Root: h, Hashes: []string{h}}, f.problem
}

func (f *fakeEvidence) Consistency(from, to uint64) (*wire.ConsistencyAnswer, error) {
	if to > fakeSize {
		return nil, ErrNotFound
	}
	h := hexOf("hash")
	return &wire.ConsistencyAnswer{From: from, To: to, FromRoot: h, ToRoot: h, Hashes: []string{}}, f.problem
}

func (f *fakeEvidence) Receipt(_ context.Context, pcsID string, seq uint64) ([]byte, error) {
	if seq > fakeSize {
		return nil, ErrNotFound
	}
	return fmt.Appendf(nil, "receipt of %s at %d\n", pcsID, seq), f.problem
}

func (f *fakeEvidence) Bundle(_ context.Context, pcsID string, seq uint64) ([]byte, error) {
	if seq > fakeSize {
		return nil, ErrNotFound
	}
	return fmt.Appendf(nil, "bundle of %s at %d\n", pcsID, seq), f.problem
}

// TestCheckpointAndProofs: what the routes answer, who may ask, and what is refused.
func TestCheckpointAndProofs(t *testing.T) {
	r := newTestServer(t, func(c *Config) { c.NoAuth = false })
	w := r.get("/checkpoint")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" ||
		w.Header().Get("Cache-Control") != "no-store" || !strings.HasPrefix(w.Body.String(), "recount/c\n70000\n") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	in := decode[wire.InclusionAnswer](t, r.get("/v1/log/proof/inclusion?seq=7&size=70000"), http.StatusOK)
	grown := decode[wire.ConsistencyAnswer](t, r.get("/v1/log/proof/consistency?from=9&to=9"), http.StatusOK)
	if in.Seq != 7 || in.Size != fakeSize || grown.From != 9 || grown.To != 9 {
		t.Errorf("%+v %+v", in, grown)
	}
	for query, status := range map[string]int{
		"inclusion": 400, "inclusion?seq=1": 400, "inclusion?size=1": 400, "inclusion?seq=2&size=1": 400,
		"inclusion?seq=0&size=1": 400, "inclusion?seq=1&size=70001": 404, "inclusion?seq=1&size=2&x=1": 400,
		"inclusion?seq=-1&size=1": 400, "inclusion?seq=1&size=9223372036854775807": 400, "consistency?from=1": 400,
		"consistency?to=1": 400, "consistency?from=0&to=1": 400, "consistency?from=2&to=1": 400,
		"consistency?from=1&to=70001": 404, "consistency?from=1&from=1&to=2": 400,
	} {
		if w := r.get("/v1/log/proof/" + query); w.Code != status {
			t.Errorf("%s: %d, want %d: %s", query, w.Code, status, w.Body)
		}
	}
	for query, want := range map[string]uint64{"": fakeSize - 100, "?limit=7": fakeSize - 7, "?limit=1&before=50": 49} {
		page := decode[wire.CheckpointPage](t, r.get("/v1/checkpoints"+query), http.StatusOK)
		if page.NextBefore != want || page.Checkpoints[0].Size != want {
			t.Errorf("%s: %+v", query, page)
		}
	}
	for _, query := range []string{"limit=0", "limit=1001", "before=0", "before=x", "x=1"} {
		if w := r.get("/v1/checkpoints?" + query); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", query, w.Code)
		}
	}
	r.fake.evidence.problem = wire.NewProblem(wire.CodeNotReady, "not now").WithRetry(1)
	for _, path := range []string{"/checkpoint", "/v1/checkpoints", "/tile/0/000", "/tile/entries/000",
		"/v1/log/proof/inclusion?seq=1&size=1", "/v1/log/proof/consistency?from=1&to=1"} {
		if w := r.get(path); w.Code != http.StatusServiceUnavailable || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d, %s", path, w.Code, w.Header().Get("Cache-Control"))
		}
	}
}

// TestTiles: tiles may be cached permanently, and one that is not there may not.
func TestTiles(t *testing.T) {
	r := newTestServer(t, nil)
	for path, want := range map[string]string{
		"/tile/0/000": "0 0 256", "/tile/7/067": "7 67 256", "/tile/entries/067": "entries 67 256",
	} {
		w := r.get(path)
		if w.Code != http.StatusOK || w.Body.String() != want || w.Header().Get("Cache-Control") != immutable ||
			w.Header().Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s: %d %q %v", path, w.Code, w.Body, w.Header())
		}
	}
	for _, path := range []string{"/tile/64/000", "/tile/00/000", "/tile/x/000", "/tile/0/0", "/tile/-1/000",
		"/tile/256/000", "/tile/0/x001/x000/x000/000"} {
		if w := r.get(path); w.Code != http.StatusNotFound || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
	if w := r.get("/tile/0/000?x=1"); w.Code != http.StatusBadRequest {
		t.Errorf("an unknown parameter: %d", w.Code)
	}
}

// TestReceipts: a receipt is public, and comes with the answer to a submission that prefers to wait for it, refusals too.
func TestReceipts(t *testing.T) {
	r := newTestServer(t, nil)
	id := hexOf("some record")
	for query, want := range map[string]string{"": "receipt of " + id + " at 0\n", "?seq=7": "receipt of " + id + " at 7\n"} {
		if w := r.get("/v1/pcs/" + strings.ToUpper(id) + "/receipt" + query); w.Code != http.StatusOK || w.Body.String() != want {
			t.Errorf("%q: %d %s", query, w.Code, w.Body)
		}
	}
	for path, status := range map[string]int{id + "/receipt?seq=70001": 404, id + "/receipt?seq=0": 400, "ab/receipt": 400,
		id + "/receipt?seq=1&x=2": 400} {
		if w := r.get("/v1/pcs/" + path); w.Code != status {
			t.Errorf("%s: %d, want %d", path, w.Code, status)
		}
	}
	if w := r.get("/v1/pcs/" + id + "/bundle?seq=7"); w.Code != http.StatusOK || w.Body.String() != "bundle of "+id+" at 7\n" {
		t.Errorf("a bundle: %d %s", w.Code, w.Body)
	}
	body := record("s", 1, nil)
	a := decode[wire.SubmitAnswer](t, r.post(body, "Prefer", "respond-async, wait=2"), http.StatusOK)
	if a.Receipt != fmt.Sprintf("receipt of %s at %d\n", a.PCSID, a.Seq) {
		t.Errorf("%+v", a)
	}
	if w := r.post(body, "Prefer", "wait"); w.Header().Get("Preference-Applied") != "wait" {
		t.Errorf("%v", w.Header())
	}
	for _, prefer := range []string{"", "waiting", "return=wait"} {
		if a := decode[wire.SubmitAnswer](t, r.post(body, "Prefer", prefer), http.StatusOK); a.Receipt != "" {
			t.Errorf("%q: %+v", prefer, a)
		}
	}
	conflict := decode[wire.Problem](t, r.post(record("s", 1, func(m map[string]any) { m["D_hat"] = 2.5 }), "Prefer", "wait"),
		http.StatusConflict)
	if conflict.Seq == 0 || conflict.Receipt != fmt.Sprintf("receipt of %s at %d\n", conflict.PCSID, conflict.Seq) {
		t.Errorf("%+v", conflict)
	}
	r.fake.evidence.problem = wire.NewProblem(wire.CodeNotReady, "not now")
	if a := decode[wire.SubmitAnswer](t, r.post(body, "Prefer", "wait"), http.StatusOK); a.Receipt != "" {
		t.Errorf("without a checkpoint: %+v", a)
	}
}
