package api

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// asked is the context of a GET request with a query.
func asked(query string, ndjson bool) echo.Context {
	r := httptest.NewRequest(http.MethodGet, "/v1/x?"+query, nil)
	if ndjson {
		r.Header.Set("Accept", wire.MediaNDJSON)
	}
	return echo.New().NewContext(r, httptest.NewRecorder())
}

// faultOf returns the parameter that an error names, "" for no error.
func faultOf(t *testing.T, err error) string {
	t.Helper()
	var p *wire.Problem
	if err == nil {
		return ""
	}
	if !errors.As(err, &p) || p.Code != wire.CodeBadRequest || p.Field == "" {
		t.Errorf("%v names no parameter", err)
		return "?"
	}
	return p.Field
}

// TestAuditRequest: each parameter of the audit list becomes its part of the query.
func TestAuditRequest(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC).UnixNano()
	const text = "2026-01-02T03:04:05.000000006Z"
	id := strings.Repeat("0af9", 16)
	for query, change := range map[string]func(*AuditQuery){
		"":                             func(*AuditQuery) {},
		"shard=a&key=k":                func(q *AuditQuery) { q.Shard, q.Key = "a", "k" },
		"outcome=refused&reason=x":     func(q *AuditQuery) { q.Outcome, q.Reason = "refused", "x" },
		"since=" + text:                func(q *AuditQuery) { q.Since = at },
		"until=" + text:                func(q *AuditQuery) { q.Until = at },
		"from_seq=7&to_seq=7":          func(q *AuditQuery) { q.FromSeq, q.ToSeq = 7, 7 },
		"order=oldest&from_seq=2":      func(q *AuditQuery) { q.FromSeq = 2 },
		"order=newest":                 func(q *AuditQuery) { q.Newest, q.FromSeq, q.ToSeq = true, 0, 1 },
		"order=newest&from_seq=3":      func(q *AuditQuery) { q.Newest, q.FromSeq, q.ToSeq = true, 0, 3 },
		"order=newest&to_seq=9":        func(q *AuditQuery) { q.Newest, q.FromSeq, q.ToSeq = true, 9, 1 },
		"limit=1":                      func(q *AuditQuery) { q.Limit = 1 },
		"limit=1000":                   func(q *AuditQuery) { q.Limit = 1000 },
		"unknown_shards=true":          func(q *AuditQuery) { q.UnknownShards = true },
		"pcs_id=" + id:                 func(q *AuditQuery) { q.PCS = id },
		"pcs_id=0AF90AF9":              func(q *AuditQuery) { q.PCS = "0af90af9" },
		"policy=" + id[:8]:             func(q *AuditQuery) { q.Policy = id[:8] },
		"remote=10.0.0.7":              func(q *AuditQuery) { q.Remote = netip.MustParsePrefix("10.0.0.7/32") },
		"remote=10.1.2.3/8":            func(q *AuditQuery) { q.Remote = netip.MustParsePrefix("10.0.0.0/8") },
		"remote=::ffff:10.0.0.7":       func(q *AuditQuery) { q.Remote = netip.MustParsePrefix("10.0.0.7/32") },
		"remote=2001:db8::1":           func(q *AuditQuery) { q.Remote = netip.MustParsePrefix("2001:db8::1/128") },
		"remote=2001:db8:1::/33":       func(q *AuditQuery) { q.Remote = netip.MustParsePrefix("2001:db8::/33") },
		"as_of=12":                     func(q *AuditQuery) { q.Then.AsOf = 12 },
		"as_of=" + text:                func(q *AuditQuery) { q.Then.AsOfTime = at },
		"generation=2":                 func(q *AuditQuery) { q.Then.Generation = 2 },
		"generation=4294967295":        func(q *AuditQuery) { q.Then.Generation = 1<<32 - 1 },
		"from_seq=9223372036854775807": func(q *AuditQuery) { q.FromSeq = 1<<63 - 1 },
	} {
		want := AuditQuery{FromSeq: 1, Limit: 100}
		change(&want)
		a, err := parseAudit(nil, asked(query, false))
		if err != nil || a.query != want || a.ndjson || a.read != (Read{Consistency: wire.ConsistencyLocal, AsOfTime: want.Then.AsOfTime}) {
			t.Errorf("%s: %+v %v, want %+v", query, a, err, want)
		}
	}
	for query, limit := range map[string]int{"": 100, "limit=100000": 100_000, "limit=1001": 1001} {
		if a, err := parseAudit(nil, asked(query, true)); err != nil || !a.ndjson || a.query.Limit != limit {
			t.Errorf("a stream with %q: %+v %v", query, a, err)
		}
	}
	a, err := parseAudit(nil, asked("consistency=session&min_seq=9", false))
	if want := (Read{Consistency: wire.ConsistencySession, MinSeq: 9}); err != nil || a.read != want {
		t.Errorf("%+v %v, want %+v", a.read, err, want)
	}
}

// TestAuditRequestRefused: a value that cannot be is refused, and the problem names its parameter.
func TestAuditRequestRefused(t *testing.T) {
	for query, field := range map[string]string{
		"limit=0": "limit", "limit=1001": "limit", "limit=-1": "limit", "limit=x": "limit", "limit=1.0": "limit",
		"from_seq=0": "from_seq", "to_seq=0": "to_seq", "from_seq=9223372036854775808": "from_seq",
		"from_seq=3&to_seq=2": "to_seq", "order=newest&from_seq=3&to_seq=2": "to_seq", "order=up": "order",
		"generation=0": "generation", "generation=4294967296": "generation",
		"generation=1&as_of=2": "as_of", "generation=1&as_of=2026-01-02T03:04:05Z": "as_of",
		"as_of=0": "as_of", "as_of=yesterday": "as_of", "as_of=-1": "as_of", "as_of=1970-01-01T00:00:00Z": "as_of",
		"since=1": "since", "until=2026-01-02": "until", "until=2262-01-01T00:00:00Z": "until",
		"outcome=ok": "outcome", "outcome=Refused": "outcome", "unknown_shards=false": "unknown_shards",
		"pcs_id=0af90af": "pcs_id", "policy=0af90af": "policy", "policy=0af90afg": "policy",
		"pcs_id=" + strings.Repeat("a", 65): "pcs_id", "key=a*": "key", "key=" + strings.Repeat("k", 129): "key",
		"reason=" + strings.Repeat("r", 65): "reason", "shard=" + strings.Repeat("s", 300): "shard",
		"remote=10.0.0.0/33": "remote", "remote=host": "remote", "remote=fe80::1%25eth0": "remote",
		"remote=::ffff:10.0.0.0/104": "remote", "consistency=some": "consistency", "min_seq=-1": "min_seq",
		"cursor=x": "cursor", "shard=a&shard=a": "shard", "shard=": "shard", "more=1": "more", "a;b": "query",
	} {
		_, err := parseAudit(nil, asked(query, false))
		if got := faultOf(t, err); got != field {
			t.Errorf("%s: %q, want %q", query, got, field)
		}
	}
	for _, query := range []string{"key=" + strings.Repeat("k", 128), "reason=" + strings.Repeat("r", 64), "min_seq=0"} {
		if _, err := parseAudit(nil, asked(query, false)); err != nil {
			t.Errorf("%.20s: %v", query, err)
		}
	}
	if _, err := parseAudit(nil, asked("limit=100001", true)); faultOf(t, err) != "limit" {
		t.Errorf("a stream above its limit: %v", err)
	}
}

// TestAuditCursor: a cursor continues the list with the filters that it began with, at its event and in its
// generation, and no other list.
func TestAuditCursor(t *testing.T) {
	filters := "shard=a&key=k&outcome=refused&reason=x&since=2026-01-02T03:04:05Z&until=2026-01-03T03:04:05Z&from_seq=2&" +
		"to_seq=90&order=newest&unknown_shards=true&pcs_id=0af90af9&policy=0af90af9&remote=10.0.0.0/8&as_of=99"
	began, err := parseAudit(nil, asked(filters, false))
	if err != nil {
		t.Fatal(err)
	}
	if text := began.cursorAt(Position{AppliedSeq: 99, Generation: 7}, 0); text != "" {
		t.Errorf("a cursor at the end: %q", text)
	}
	text := began.cursorAt(Position{AppliedSeq: 99, Generation: 7}, 41)
	a, err := parseAudit(nil, asked(filters+"&limit=3&min_seq=99&cursor="+text, false))
	if err != nil || a.query.FromSeq != 41 || a.query.ToSeq != 2 || a.read.Generation != 7 || a.query.Limit != 3 {
		t.Errorf("%+v %v", a, err)
	}
	values, err := url.ParseQuery(filters)
	if err != nil {
		t.Fatal(err)
	}
	for name := range values {
		rest := url.Values{"cursor": {text}}
		for other := range values {
			if other != name {
				rest[other] = values[other]
			}
		}
		if _, err := parseAudit(nil, asked(rest.Encode(), false)); faultOf(t, err) != "cursor" {
			t.Errorf("without %s the list goes on: %v", name, err)
		}
	}
	plain, err := parseAudit(nil, asked("generation=2", false))
	if err != nil {
		t.Fatal(err)
	}
	text = plain.cursorAt(Position{Generation: 7}, 41)
	if _, err := parseAudit(nil, asked("generation=3&cursor="+text, false)); faultOf(t, err) != "cursor" {
		t.Errorf("of another generation: %v", err)
	}
}

// TestFlipsCursor: a cursor of flips keeps the position of the comparison and serves its own generation alone.
func TestFlipsCursor(t *testing.T) {
	const filters = "shard=a&key=k&reason=x"
	f, err := parseFlips(asked(filters+"&position=9&from_seq=4&limit=2", false), 3)
	want := FlipsQuery{Generation: 3, Position: 9, Shard: "a", Key: "k", Reason: "x", FromSeq: 4, Limit: 2}
	if err != nil || f.query != want {
		t.Fatalf("%+v %v, want %+v", f.query, err, want)
	}
	if text := f.cursorAt(FlipsResult{Position: 9}); text != "" {
		t.Errorf("a cursor at the end: %q", text)
	}
	text := f.cursorAt(FlipsResult{Next: 6, Position: 8})
	want.FromSeq, want.Position = 6, 8
	if f, err = parseFlips(asked(filters+"&limit=2&cursor="+text, false), 3); err != nil || f.query != want {
		t.Errorf("%+v %v, want %+v", f.query, err, want)
	}
	for query, generation := range map[string]uint32{filters: 4, "shard=a&key=k": 3, "shard=b&key=k&reason=x": 3, "": 3} {
		if _, err := parseFlips(asked(query+"&cursor="+text, false), generation); faultOf(t, err) != "cursor" {
			t.Errorf("%q in generation %d: %v", query, generation, err)
		}
	}
	for query, field := range map[string]string{"limit=1001": "limit", "limit=0": "limit", "position=0": "position",
		"from_seq=0": "from_seq", "outcome=refused": "outcome"} {
		if _, err := parseFlips(asked(query, false), 3); faultOf(t, err) != field {
			t.Errorf("%s: %v", query, err)
		}
	}
	if f, err := parseFlips(asked("limit=100000", true), 3); err != nil || !f.ndjson || f.query.Limit != 100_000 {
		t.Errorf("a stream: %+v %v", f, err)
	}
}

// TestParseCursor: a cursor has one text, a known version, and the length of its kind.
func TestParseCursor(t *testing.T) {
	filters := digestFilters("a", "b")
	position := binary.BigEndian.AppendUint64(nil, 77)
	raw := func(change func(b []byte) []byte) string {
		b, err := base64.RawURLEncoding.DecodeString(cursor{kind: 'a', generation: 5, filters: filters, position: position}.String())
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(change(b))
	}
	same := func(b []byte) []byte { return b }
	k, err := parseCursor(raw(same), 'a', filters)
	if err != nil || k.generation != 5 || binary.BigEndian.Uint64(k.position) != 77 {
		t.Fatalf("%+v %v", k, err)
	}
	for name, text := range map[string]string{
		"nothing":          "",
		"padding":          raw(same) + "=",
		"a line break":     raw(same)[:4] + "\n" + raw(same)[4:],
		"another alphabet": "+" + raw(same)[1:],
		"another version":  raw(func(b []byte) []byte { b[0] = 3; return b }),
		"no event":         raw(func(b []byte) []byte { b[0] = cursorAsOf; return b }),
		"event 0": raw(func(b []byte) []byte {
			b[0] = cursorAsOf
			return append(append(b[:cursorHeader:cursorHeader], make([]byte, 8)...), b[cursorHeader:]...)
		}),
		"another kind":      raw(func(b []byte) []byte { b[1] = 'f'; return b }),
		"other filters":     raw(func(b []byte) []byte { b[13] ^= 1; return b }),
		"a byte less":       raw(func(b []byte) []byte { return b[:len(b)-1] }),
		"a byte more":       raw(func(b []byte) []byte { return append(b, 0) }),
		"no position":       raw(func(b []byte) []byte { return b[:cursorHeader] }),
		"bits that are not": raw(same)[:29] + "R",
	} {
		if k, err := parseCursor(text, 'a', filters); err == nil {
			t.Errorf("%s: %q is %+v", name, text, k)
		}
	}
	for size, ok := range map[int]bool{1: true, maxPosition: true, maxPosition + 1: false} {
		text := cursor{kind: 's', generation: 5, filters: filters, position: make([]byte, size)}.String()
		if _, err := parseCursor(text, 's', filters); (err == nil) != ok {
			t.Errorf("a position of %d bytes: %v", size, err)
		}
	}
	for asOf, ok := range map[uint64]bool{1: true, 1<<63 - 1: true, 1 << 63: false} {
		text := cursor{kind: 'a', generation: 5, filters: filters, asOf: asOf, position: position}.String()
		if k, err := parseCursor(text, 'a', filters); (err == nil) != ok || ok && (k.asOf != asOf || k.String() != text) {
			t.Errorf("as of event %d: %+v %v", asOf, k, err)
		}
	}
	for size, ok := range map[int]bool{8: false, 15: false, 16: true, 17: false} {
		text := cursor{kind: 'f', generation: 5, filters: filters, position: make([]byte, size)}.String()
		if _, err := parseCursor(text, 'f', filters); (err == nil) != ok {
			t.Errorf("flips at a position of %d bytes: %v", size, err)
		}
	}
	if digestFilters("a", "b") == digestFilters("ab", "") || digestFilters("a", "b") == digestFilters("b", "a") {
		t.Error("other filters have the same digest")
	}
}

// TestWhoLooksBack: a route that has only the present answer refuses to give it for an earlier one, and one whose answer no
// generation changes refuses to look for a generation.
func TestWhoLooksBack(t *testing.T) {
	r := newTestServer(t, nil)
	refused := func(path, name, detail string) {
		t.Helper()
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		p := decode[wire.Problem](t, r.get(path+separator+name+"=1"), 400)
		if p.Field != name || !strings.Contains(p.Detail, detail) {
			t.Errorf("%s, %s: %+v", path, name, p)
		}
	}
	for _, path := range []string{"/v1/pcs?prefix=00000000", "/v1/events", "/v1/operations", "/v1/digest", "/v1/audit/stream",
		"/v1/pcs/" + hexOf(1) + "/history", "/v1/generations"} {
		for _, name := range []string{"as_of", "as_of_seq", "generation"} {
			refused(path, name, "as of now alone; GET /v1/audit")
		}
	}
	for _, path := range []string{"/v1/keys", "/v1/keys/k", "/v1/policies", "/v1/policies/" + hexOf(1), "/v1/freezes",
		"/v1/known-shards"} {
		refused(path, "generation", "the same in every generation")
	}
}

// TestLookBack: each route that looks back has as_of and as_of_seq, checks them alike and names the event.
func TestLookBack(t *testing.T) {
	r := newTestServer(t, nil)
	for epoch := range 3 {
		r.post(record("s", epoch, nil))
	}
	for _, path := range []string{"/v1/audit", "/v1/shards", "/v1/shards/s", "/v1/keys", "/v1/policies", "/v1/freezes",
		"/v1/known-shards"} {
		for _, name := range []string{"as_of", "as_of_seq"} {
			got := decode[struct {
				AsOf uint64 `json:"as_of"`
			}](t, r.get(path+"?"+name+"=1"), 200)
			if path != "/v1/audit" && got.AsOf != 1 {
				t.Errorf("%s, %s: as of %d", path, name, got.AsOf)
			}
		}
		for query, field := range map[string]string{"as_of_seq=2026-01-02T15:04:05Z": "as_of_seq", "as_of_seq=0": "as_of_seq",
			"as_of=0": "as_of", "as_of=yesterday": "as_of", "as_of=1&as_of_seq=1": "as_of_seq"} {
			if p := decode[wire.Problem](t, r.get(path+"?"+query), 400); p.Field != field {
				t.Errorf("%s, %s: %+v", path, query, p)
			}
		}
	}
	for _, path := range []string{"/v1/audit", "/v1/shards", "/v1/shards/s", "/v1/pcs/" + hexOf(1)} {
		for _, query := range []string{"as_of=1&generation=1", "as_of_seq=1&generation=1"} {
			if p := decode[wire.Problem](t, r.get(path+"?"+query), 400); p.Field != "as_of" ||
				!strings.Contains(p.Detail, "not both") {
				t.Errorf("%s, %s: %+v", path, query, p)
			}
		}
	}
	decode[struct{}](t, r.get("/v1/shards?generation=1"), 200)
}

// TestShardCursorsLookBack: a cursor continues the list of the same time, and no other, under any active generation.
func TestShardCursorsLookBack(t *testing.T) {
	r := newTestServer(t, nil)
	for _, shard := range []string{"a", "b", "c"} {
		r.post(record(shard, 1, nil))
	}
	first := decode[wire.ShardsPage](t, r.get("/v1/shards?as_of_seq=3&limit=1"), 200)
	if first.AsOf != 3 || len(first.Items) != 1 || first.NextCursor == "" {
		t.Fatalf("%+v", first)
	}
	r.fake.gone = map[uint32]bool{first.Generation: true}
	r.fake.gen = first.Generation + 1
	rest := decode[wire.ShardsPage](t, r.get("/v1/shards?as_of=3&limit=2&cursor="+first.NextCursor), 200)
	if len(rest.Items) != 2 || rest.Items[0].ShardID != "b" || rest.NextCursor != "" {
		t.Errorf("%+v", rest)
	}
	for _, query := range []string{"as_of=2", "generation=1", "limit=1"} {
		if p := decode[wire.Problem](t, r.get("/v1/shards?"+query+"&cursor="+first.NextCursor), 400); p.Field != "cursor" {
			t.Errorf("%s: %+v", query, p)
		}
	}
}
