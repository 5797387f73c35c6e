package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// everyProfile lists what the first policy of a dev cluster accepts.
const everyProfile = "signature: {profiles: [f9, py, es, go, go-fold, py-utf8, ryu, bin, py-bin]}\n"

// recount is a cluster with someone who recounts it.
type recount struct {
	t      *testing.T
	ctx    context.Context
	c      *harness.Cluster
	client *http.Client
	env    []string // of nodes that are started again
}

func newRecount(t *testing.T, ctx context.Context, c *harness.Cluster) *recount {
	r := &recount{t: t, ctx: ctx, c: c, client: c.HTTP(8)}
	t.Cleanup(r.client.CloseIdleConnections)
	return r
}

type generationView struct {
	Generation uint32
	State      string
	Position   uint64
	Reported   int
	Agree      bool
	Nodes      []struct {
		Node, State   string
		Seq, Compared uint64
		Committed     uint64
		DiffAt        string `json:"diff_at"`
		StateAt       string `json:"state_at"`
		Why           string
	}
}

type diffView struct {
	Generation, Against uint32
	Position, Flips     uint64
	Direct              uint64
	Indirect            uint64 `json:"indirect"`
	Digest              string
	ByOutcome           map[string]int `json:"by_outcome"`
}

// try calls one node after the other until one answers with success.
func (r *recount) try(method, path string, request, into any) error {
	var err error
	for range 40 {
		for _, api := range r.c.API {
			if err = harness.Call(r.ctx, r.client, method, api+path, request, into); err == nil {
				return nil
			}
		}
		if !r.pause(250 * time.Millisecond) {
			break
		}
	}
	return err
}

func (r *recount) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.ctx.Done():
		return false
	}
}

func (r *recount) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *recount) publish(document string) string {
	r.t.Helper()
	var p struct{ ID string }
	r.must(r.try(http.MethodPost, "/v1/policies", map[string]string{"document": document}, &p))
	return p.ID
}

func (r *recount) start(policy string) uint32 {
	r.t.Helper()
	var g generationView
	r.must(r.try(http.MethodPost, "/v1/generations", map[string]string{"policy": policy, "op_id": fmt.Sprint("start-", time.Now().UnixNano())}, &g))
	return g.Generation
}

func (r *recount) view(number uint32) (g generationView, err error) {
	err = r.try(http.MethodGet, fmt.Sprintf("/v1/generations/%d?consistency=local", number), nil, &g)
	return g, err
}

// await waits until all nodes have compared a generation up to the head and agree.
func (r *recount) await(number uint32) generationView {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); {
		g, err := r.view(number)
		if err == nil && g.Reported == len(r.c.API) && g.Agree {
			return g
		}
		if !r.pause(100 * time.Millisecond) {
			break
		}
	}
	g, err := r.view(number)
	r.t.Fatalf("generation %d: %+v %v", number, g, err)
	return g
}

func (r *recount) diff(number uint32) (d diffView) {
	r.t.Helper()
	r.must(r.try(http.MethodGet, fmt.Sprintf("/v1/generations/%d/diff", number), nil, &d))
	return d
}

func (r *recount) activate(number uint32) uint64 {
	r.t.Helper()
	var a struct{ Seq uint64 }
	op := fmt.Sprint("activate-", number, "-", time.Now().UnixNano())
	var err error
	for range 20 {
		d := r.diff(number)
		err = r.try(http.MethodPost, fmt.Sprintf("/v1/generations/%d/activate", number), map[string]string{"diff": d.Digest, "op_id": op}, &a)
		if err == nil {
			return a.Seq
		}
	}
	r.t.Fatal(err)
	return 0
}

// sendAll sends the published good records, with some workers over all nodes.
func (r *recount) sendAll() {
	r.t.Helper()
	cases, _ := corpora(r.t, "good-hmac", "good-ed25519")
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(cases); i = int(next.Add(1)) - 1 {
				if _, err := cases[i].Send(r.ctx, r.client, r.c.API[(i+w)%len(r.c.API)]); err != nil {
					r.t.Errorf("%s: %v", cases[i].ID, err)
				}
			}
		})
	}
	wg.Wait()
}

// row is an audit row with what the record itself says.
type row struct {
	Seq        uint64
	FirstSeq   uint64 `json:"first_seq"`
	Outcome    string
	Accepted   bool
	ReasonCode string `json:"reason_code"`
	Replayed   bool
	DHat       *float64 `json:"D_hat"`
	Trailer    bool
}

func (r *recount) rows() map[uint64]row {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.ctx, http.MethodGet, r.c.API[0]+"/v1/audit?limit=100000&consistency=linearizable", nil)
	r.must(err)
	req.Header.Set("Accept", "application/x-ndjson")
	resp, err := r.client.Do(req)
	r.must(err)
	defer resp.Body.Close()
	out := map[uint64]row{}
	in := bufio.NewScanner(resp.Body)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var x row
		r.must(json.Unmarshal(in.Bytes(), &x))
		if !x.Trailer {
			out[x.Seq] = x
		}
	}
	r.must(in.Err())
	return out
}

// slopes are the two middle slopes of a record's counts, in floating point: the second opinion.
func slopes(body string) (lower, upper float64, ok bool) {
	var rec struct {
		Scales []float64
		NJ     map[string]float64 `json:"N_j"`
	}
	if json.Unmarshal([]byte(body), &rec) != nil {
		return 0, 0, false
	}
	var all []float64
	for i, a := range rec.Scales {
		for _, b := range rec.Scales[i+1:] {
			na, nb := rec.NJ[strconv.FormatFloat(a, 'f', -1, 64)], rec.NJ[strconv.FormatFloat(b, 'f', -1, 64)]
			if a != b && na > 0 && nb > 0 {
				all = append(all, (math.Log2(nb)-math.Log2(na))/(math.Log2(b)-math.Log2(a)))
			}
		}
	}
	if len(all) == 0 {
		return 0, 0, false
	}
	slices.Sort(all)
	return all[(len(all)-1)/2], all[len(all)/2], true
}

// expectedFlips are the submissions that a tolerance of 0.01 turns into mismatches, computed from the records alone.
func (r *recount) expectedFlips(rows map[uint64]row, upTo uint64) []uint64 {
	r.t.Helper()
	var out []uint64
	for _, seq := range slices.Sorted(maps.Keys(rows)) {
		x := rows[seq]
		judged := x
		if x.Replayed && x.FirstSeq != 0 {
			judged = rows[x.FirstSeq]
		}
		if seq > upTo || !x.Accepted || judged.DHat == nil {
			continue
		}
		var e struct{ Summary struct{ Body string } }
		r.must(r.try(http.MethodGet, fmt.Sprintf("/v1/events/%d", judged.Seq), nil, &e))
		lower, upper, ok := slopes(e.Summary.Body)
		if ok && (*judged.DHat < lower-0.01-1e-9 || *judged.DHat > upper+0.01+1e-9) {
			out = append(out, seq)
		}
	}
	return out
}

// directFlips lists the submissions whose own verdict changed.
func (r *recount) directFlips(number uint32, position uint64) (out []uint64) {
	r.t.Helper()
	cursor := ""
	for {
		var page struct {
			Items []struct {
				Seq   uint64
				Cause string
			}
			NextCursor string `json:"next_cursor"`
		}
		path := fmt.Sprintf("/v1/generations/%d/flips?limit=100&position=%d", number, position)
		if cursor != "" {
			path += "&cursor=" + cursor
		}
		r.must(r.try(http.MethodGet, path, nil, &page))
		for _, f := range page.Items {
			if f.Cause == "direct" {
				out = append(out, f.Seq)
			}
		}
		if cursor = page.NextCursor; cursor == "" {
			return out
		}
	}
}

// TestRecount: the same policy changes nothing; a tighter tolerance flips exactly what a second opinion says; the switch
// happens on every node, also on one that was away, and back.
func TestRecount(t *testing.T) {
	c, ctx := start(t, 3)
	r := newRecount(t, ctx, c)
	r.sendAll()
	same := r.start(r.publish("kernel: 1\n" + everyProfile))
	g := r.await(same)
	if d := r.diff(same); d.Flips != 0 {
		t.Errorf("the same policy flips %+v", d)
	}
	for i, n := range g.Nodes {
		if d := digestAt(t, ctx, c, i, g.Position); d.State != n.StateAt || n.StateAt == "" {
			t.Errorf("%s: generation %d has digest %s at %d, the live one %s", n.Node, same, n.StateAt, g.Position, d.State)
		}
	}
	r.must(r.try(http.MethodDelete, fmt.Sprintf("/v1/generations/%d", same), nil, nil))
	tight := r.start(r.publish("params: {tol_d: \"0.01\"}\n" + everyProfile))
	r.await(tight)
	d, rows := r.diff(tight), r.rows()
	want, got := r.expectedFlips(rows, d.Position), r.directFlips(tight, d.Position)
	if !slices.Equal(got, want) || uint64(len(got)) != d.Direct || d.Direct+d.Indirect != d.Flips || len(got) == 0 {
		t.Errorf("flips %v\nwant  %v\n%+v", got, want, d)
	}
	away := (leaderOf(t, ctx, c) + 1) % 3
	r.must(c.Signal(away, syscall.SIGSTOP))
	seq := r.activateOver(tight, away)
	if full {
		r.pause(time.Minute)
	}
	r.must(c.Signal(away, syscall.SIGCONT))
	r.must(c.AwaitReady(ctx, 0, 1, 2))
	r.sameGeneration(tight)
	for i := range c.API {
		var a struct {
			Generation uint32
			Outcome    string
			History    []struct {
				FromSeq uint64 `json:"from_seq"`
			}
		}
		var x struct {
			Items []struct {
				PCSID string `json:"pcs_id"`
			}
		}
		r.must(harness.Call(ctx, r.client, http.MethodGet, fmt.Sprintf("%s/v1/audit?from_seq=%d&limit=1", c.API[i], got[0]), nil, &x))
		r.must(harness.Call(ctx, r.client, http.MethodGet, c.API[i]+"/v1/pcs/"+x.Items[0].PCSID, nil, &a))
		if a.Generation != tight || a.Outcome != "escalated" || len(a.History) != 2 || a.History[1].FromSeq != seq {
			t.Errorf("node %d: %+v, switched at %d", i+1, a, seq)
		}
	}
	r.await(1)
	r.must(r.try(http.MethodPost, "/v1/generations/rollback", map[string]string{"op_id": "back"}, nil))
	r.sameGeneration(1)
	t.Logf("%d of %d submissions flipped, switched at %d", d.Flips, len(rows), seq)
}

// activateOver activates while one node does not answer.
func (r *recount) activateOver(number uint32, away int) uint64 {
	r.t.Helper()
	api := r.c.API
	defer func() { r.c.API = api }()
	r.c.API = slices.Delete(slices.Clone(api), away, away+1)
	return r.activate(number)
}

// sameGeneration compares the digests of all nodes, and which generation answers.
func (r *recount) sameGeneration(want uint32) {
	r.t.Helper()
	if d := sameDigest(r.t, r.ctx, r.c); d.Generation != int(want) {
		r.t.Errorf("generation %d answers, want %d", d.Generation, want)
	}
}
