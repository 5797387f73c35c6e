package node_test

import (
	"bytes"
	"testing"

	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

// TestAnswerHasClaim: the answer to a submission says which D_hat was claimed, for a first record and for its
// repetition.
func TestAnswerHasClaim(t *testing.T) {
	c := nodetest.Start(t, 1)
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	for _, record := range []nodetest.Record{{Shard: "alpha", Epoch: 1, Root: "r"},
		{Shard: "alpha", Epoch: 2, Root: "r", Wrong: true}} {
		var claim nano.Nano
		for i := range 2 {
			a, err := c.Client.Submit(r.ctx, f.Sign(record))
			r.must(err)
			if a.DHat == nil || *a.DHat == 0 || i > 0 && (*a.DHat != claim || !a.Replayed) {
				t.Fatalf("answer %d: %+v", i, a)
			}
			claim = *a.DHat
		}
	}
}

// TestPolicyListsVersions: a record of another version is refused with the member that is wrong, unless the
// policy lists it; then the same bytes are accepted, and those that no policy lists are refused still.
func TestPolicyListsVersions(t *testing.T) {
	c := nodetest.Start(t, 3)
	f := nodetest.NewRecords(t)
	r := newRecounter(t, c)
	of := func(epoch int64, version string) []byte {
		body := f.Sign(nodetest.Record{Shard: "alpha", Epoch: epoch, Root: "r"})
		return bytes.Replace(body, []byte(`"version":"0.1"`), []byte(`"version":"`+version+`"`), 1)
	}
	refused := func(body []byte) {
		t.Helper()
		if status, _, p := post(c, 0, body); status != 400 || p.Code != wire.CodeSchema || p.Field != "version" ||
			p.Seq == 0 {
			t.Errorf("%d %+v", status, p)
		}
	}
	refused(of(1, "0.6"))
	r.apply(r.publish("versions: [0.6, 0.1]\n"))
	for i, body := range [][]byte{of(1, "0.6"), of(2, "0.1"), of(1, "0.6")} {
		if status, a, p := post(c, 0, body); status != 200 || a.Replayed != (i == 2) {
			t.Errorf("record %d: %d %+v %+v", i, status, a, p)
		}
	}
	refused(of(3, "0.7"))
	forged := f.Sign(nodetest.Record{Shard: "alpha", Epoch: 4, Root: "r", Forged: true})
	if status, _, p := post(c, 0,
		bytes.Replace(forged, []byte(`"version":"0.1"`), []byte(`"version":"0.7"`), 1)); status != 400 || p.Seq != 0 {
		t.Errorf("a forgery of another version: %d %+v", status, p)
	}
	r.apply(r.publish("versions: [0.1]\n"))
	refused(of(1, "0.6")) // also what was accepted before
}
