package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// atTime is a query as of a moment after the next event of the fake, which the clock of the node has reached.
func atTime(r *testServer) string {
	next := fakeStart.Add(time.Duration(len(r.fake.rows)) * time.Second)
	return "as_of=" + wire.Time(next.Add(time.Millisecond))
}

// TestPagesAsOfATime: a time means one event for all pages of a list, also when events come whose log time is not later.
// Later pages wait for that event on a node that is behind.
func TestPagesAsOfATime(t *testing.T) {
	for path, list := range map[string]func(w *http.Response) (n int, asOf uint64, next string){
		"/v1/audit": func(w *http.Response) (int, uint64, string) {
			p := decodeBody[wire.AuditPage](t, w)
			return len(p.Items), p.AsOf, p.NextCursor
		},
		"/v1/shards": func(w *http.Response) (int, uint64, string) {
			p := decodeBody[wire.ShardsPage](t, w)
			return len(p.Items), p.AsOf, p.NextCursor
		},
	} {
		t.Run(path, func(t *testing.T) {
			r := newTestServer(t, nil)
			add := func(n int) {
				for range n {
					r.post(record(hexOf("shard", len(r.fake.rows)), 1, nil))
				}
			}
			add(3)
			query := path + "?limit=2&" + atTime(r)
			n, asOf, next := list(r.get(query).Result())
			if n != 2 || asOf != 3 || next == "" {
				t.Fatalf("%d items as of %d, then %q", n, asOf, next)
			}
			if read := r.fake.reads[len(r.fake.reads)-1]; read.AsOfTime == 0 || read.Consistency != wire.ConsistencyLocal {
				t.Errorf("the first page reads %+v", read)
			}
			add(1) // at the same time or before it
			n, asOf, end := list(r.get(query + "&cursor=" + next).Result())
			if n != 1 || asOf != 3 || end != "" {
				t.Errorf("the second page: %d items as of %d, then %q", n, asOf, end)
			}
			if read := r.fake.reads[len(r.fake.reads)-1]; read.MinSeq != 3 || read.AsOfTime != 0 {
				t.Errorf("the second page reads %+v", read)
			}
			if n, asOf, _ = list(r.get(query).Result()); n != 2 || asOf != 4 {
				t.Errorf("a new list: %d items as of %d", n, asOf)
			}
			old, err := base64.RawURLEncoding.DecodeString(next)
			if err != nil {
				t.Fatal(err)
			}
			// as a release writes it that holds no event
			old = slices.Delete(old, cursorHeader, cursorHeader+8)
			old[0] = cursorVersion
			text := base64.RawURLEncoding.EncodeToString(old)
			if p := decode[wire.Problem](t, r.get(query+"&cursor="+text), http.StatusBadRequest); p.Field != "cursor" {
				t.Errorf("a cursor of a release that holds no event: %+v", p)
			}
			other := strings.Replace(query, "as_of=2026", "as_of=2025", 1)
			if p := decode[wire.Problem](t, r.get(other+"&cursor="+next), http.StatusBadRequest); p.Field != "cursor" {
				t.Errorf("the cursor with another time: %+v", p)
			}
		})
	}
}

func decodeBody[T any](t *testing.T, w *http.Response) (v T) {
	t.Helper()
	if err := json.NewDecoder(w.Body).Decode(&v); err != nil || w.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", w.Status, err)
	}
	return v
}

// TestStreamAsOfATime: a time means one event for all chunks of a stream.
func TestStreamAsOfATime(t *testing.T) {
	r := newTestServer(t, nil)
	(&tailing{fake: r.fake}).add(2*streamChunk+1, "a")
	w := r.get("/v1/audit?limit=2000&as_of="+wire.Time(fakeStart.Add(1e6*time.Second)), "Accept", wire.MediaNDJSON)
	want := Then{AsOf: 2*streamChunk + 1}
	if len(r.fake.thens) != 3 || slices.ContainsFunc(r.fake.thens, func(t Then) bool { return t != want }) {
		t.Errorf("%+v", r.fake.thens)
	}
	if text := w.Body.String(); !strings.Contains(text, fmt.Sprintf(`"as_of":%d`, want.AsOf)) {
		t.Errorf("%s", text[max(0, len(text)-300):])
	}
}

// TestCursorOfAnotherKindOfTime: a cursor that holds an event is refused by a list that gives no time.
func TestCursorOfAnotherKindOfTime(t *testing.T) {
	r := newTestServer(t, nil)
	k := cursor{kind: 's', generation: 1, filters: digestFilters("shards"), asOf: 7, position: []byte("a")}
	if p := decode[wire.Problem](t, r.get("/v1/shards?cursor="+k.String()), http.StatusBadRequest); p.Field != "cursor" {
		t.Errorf("%+v", p)
	}
}
