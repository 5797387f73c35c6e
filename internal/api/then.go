package api

import "context"

// Then says as of when, or under which generation, a read answers. At most one field is set. The zero value is now,
// under the active generation.
type Then struct {
	AsOf     uint64 // after this event
	AsOfTime int64  // at this log time, in ns since 1970
	// under this generation, or as it said last if it is dropped
	Generation uint32
}

// Past reports whether the answer is another one than that of now.
func (t Then) Past() bool { return t != Then{} }

// The parameters that ask for another answer than that of now. A route without them says so.
var (
	backwards = []string{"as_of", "as_of_seq", "generation"}
	byEvent   = backwards[:2] // of what is the same in every generation
)

// lookBackDetail is the detail for a parameter in backwards that a route does not have, if it has those in known.
func lookBackDetail(known []string) string {
	for _, name := range known {
		if name == byEvent[0] {
			return "this answer is the same in every generation; as_of gives that of an earlier event"
		}
	}
	return "this route answers as of now alone; GET /v1/audit, /v1/pcs/{pcs_id}, /v1/shards, /v1/keys, /v1/policies, " +
		"/v1/freezes and /v1/known-shards look back, and /v1/pcs/{pcs_id}/history has every answer to a record"
}

// then reads the parameters in backwards.
func (p *params) then() (t Then) {
	t.AsOf, t.AsOfTime = p.position("as_of")
	if seq := p.number("as_of_seq", 0, 1, 1<<63-1); seq != 0 {
		if t.Past() {
			p.fail("as_of_seq", "give as_of or as_of_seq, not both")
		}
		t.AsOf = seq
	}
	generation := uint32(p.number("generation", 0, 1, 1<<32-1))
	if generation != 0 && t.Past() {
		p.fail("as_of", "give as_of or generation, not both")
	}
	t.Generation, p.asOfTime = generation, t.AsOfTime
	return t
}

// thenText is the text of the parameters in backwards, for the digest of a cursor.
func (p *params) thenText() string {
	get := p.values.Get
	if seq := get("as_of_seq"); seq != "" {
		return seq
	}
	return get("as_of")
}

// asOf returns a read that finds the event as of which the request asks, 0 for now.
func asOf[T any](p *params, read func(ctx context.Context, view View, seq uint64) (T, error)) readFunc[T] {
	t := p.then()
	return func(ctx context.Context, view View) (none T, err error) {
		seq, err := view.AsOf(ctx, t)
		if err != nil {
			return none, err
		}
		return read(ctx, view, seq)
	}
}

// pinned replaces a time by the event that it means now, so that everything that one list says is as of the same event.
// The cursors of the list hold it.
func pinned(ctx context.Context, view View, t Then) (Then, error) {
	if t.AsOfTime == 0 {
		return t, nil
	}
	seq, err := view.AsOf(ctx, t)
	return Then{AsOf: seq}, err
}

// cursor reads the cursor of a list, nil if it has a fault. If the cursor holds an event, that replaces the time in t.
func (p *params) cursor(text string, kind byte, filters [8]byte, t *Then) *cursor {
	k, err := parseCursor(text, kind, filters)
	if err != nil || (k.asOf != 0) != (t.AsOfTime != 0) {
		p.fail("cursor", errCursor.Error()+", or the filters have changed, or an earlier release made it; "+
			"begin the list again")
		return nil
	}
	if k.asOf != 0 {
		*t, p.asOfTime = Then{AsOf: k.asOf}, 0
	}
	return &k
}
