package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/bits"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// kept is an export that a released version has made.
const kept = "testdata/format-1"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// served answers like a node, from the files of an export. It is the other direction of Write: what Write makes of
// its answers must be the directory again. change can falsify an answer before it is sent.
type served struct {
	*httptest.Server
	t           *testing.T
	manifest    *Manifest
	events      []Event
	answers     []wire.AuditItem
	operations  []wire.OperationItem
	keys        []wire.KeyAnswer
	policies    []wire.PolicyAnswer
	generations []wire.GenerationAnswer

	page   int // items of a page of events, answers or operations; 0 for as many as are asked for
	asked  []string
	before func(r *http.Request) (status int) // called before each answer; a status above 0 is the answer
	change func(path string, answer any)
}

// all reads every line of a file.
func all[T any](t testing.TB, dir, name string) (list []T) {
	t.Helper()
	r, err := openLines[T](dir, name)
	must(t, err)
	defer r.file.Close()
	for {
		v, err := r.next()
		if errors.Is(err, io.EOF) {
			return list
		}
		must(t, err)
		list = append(list, *v)
	}
}

func whole[T any](t testing.TB, dir, name string) (list []T) {
	t.Helper()
	list, err := readList[T](&checker{dir: dir}, name)
	must(t, err)
	return list
}

func manifestOf(t testing.TB, dir string) *Manifest {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, ManifestFile))
	must(t, err)
	m, err := ParseManifest(text)
	must(t, err)
	return m
}

func serve(t *testing.T, dir string) *served {
	s := &served{
		t:           t,
		manifest:    manifestOf(t, dir),
		events:      all[Event](t, dir, EventsFile),
		answers:     all[wire.AuditItem](t, dir, VerdictsFile),
		operations:  all[wire.OperationItem](t, dir, OperationsFile),
		keys:        whole[wire.KeyAnswer](t, dir, KeysFile),
		policies:    whole[wire.PolicyAnswer](t, dir, PoliciesFile),
		generations: whole[wire.GenerationAnswer](t, dir, GenerationsFile),
	}
	mux := http.NewServeMux()
	for path, answer := range map[string]func(r *http.Request) any{
		"/v1/whoami": func(*http.Request) any {
			m := s.manifest
			return &wire.WhoamiAnswer{ClusterID: m.ClusterID, Actor: m.Made.Actor, Role: wire.Role(m.Made.Role)}
		},
		"/v1/digest":       s.digest,
		"/v1/audit":        s.audit,
		"/v1/operations":   s.actsFrom,
		"/v1/events/{seq}": s.event,
		"/v1/keys": func(*http.Request) any {
			held := append([]wire.KeyAnswer{}, s.keys...)
			for i := range held {
				held[i].Held = true // as a node says that has the secret; an export must not repeat it
			}
			return &wire.KeysPage{Items: held}
		},
		"/v1/policies":      func(*http.Request) any { return &wire.PoliciesPage{Items: s.policies} },
		"/v1/policies/{id}": func(r *http.Request) any { return s.policy(dir, r.PathValue("id")) },
		"/v1/generations":   func(*http.Request) any { return &wire.GenerationsPage{Items: s.generations} },
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			v := answer(r)
			if s.change != nil {
				s.change(r.URL.Path, v)
			}
			_ = json.NewEncoder(w).Encode(v)
		})
	}
	mux.HandleFunc("GET /v1/events", s.eventLines)
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked = append(s.asked, r.URL.Path)
		if s.before != nil {
			if status := s.before(r); status > 0 {
				w.WriteHeader(status)
				return
			}
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *served) client() *client.Client {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	c, err := client.New(client.Config{Endpoints: []string{s.URL}, CA: ca})
	must(s.t, err)
	s.t.Cleanup(c.Close)
	return c
}

// options are those with which the kept export was made, to a new directory in parent.
func (s *served) options(parent string) Options {
	at, err := wire.ParseTime(s.manifest.Made.At)
	must(s.t, err)
	return Options{Dir: filepath.Join(parent, "out"), Tool: s.manifest.Made.Tool, At: at, Timeout: 10 * time.Second}
}

// rootOf is the tree hash of RFC 6962, section 2.1, word for word: the other implementation of tree.
func rootOf(leaves [][32]byte) [32]byte {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	default:
		k := 1
		for k*2 < n {
			k *= 2
		}
		left, right := rootOf(leaves[:k]), rootOf(leaves[k:])
		return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
	}
}

// edgeOf are the roots of the complete subtrees of a log of n leaves, from left to right.
func edgeOf(leaves [][32]byte) (edge []string) {
	for len(leaves) > 0 {
		size := 1 << (bits.Len(uint(len(leaves))) - 1)
		root := rootOf(leaves[:size])
		edge, leaves = append(edge, hex.EncodeToString(root[:])), leaves[size:]
	}
	return edge
}

func leavesOf(t testing.TB, events []Event) (leaves [][32]byte) {
	for _, e := range events {
		leaf, err := hash(e.LeafHash)
		must(t, err)
		leaves = append(leaves, leaf)
	}
	return leaves
}

func (s *served) digest(r *http.Request) any {
	seq := number64(r, "seq", uint64(len(s.events)))
	leaves := leavesOf(s.t, s.events[:seq])
	root := rootOf(leaves)
	d := &wire.DigestAnswer{Seq: seq, Log: hex.EncodeToString(root[:]), State: s.manifest.End.State,
		Control: s.manifest.End.Control, Generation: s.manifest.End.Generation}
	if r.URL.Query().Get("edge") == "true" {
		d.Edge = edgeOf(leaves)
	}
	return d
}

// number64 is a parameter of a request, or what stands for none.
func number64(r *http.Request, name string, none uint64) uint64 {
	n, err := strconv.ParseUint(r.URL.Query().Get(name), 10, 64)
	if err != nil {
		return none
	}
	return n
}

func (s *served) size(r *http.Request) int {
	if s.page > 0 {
		return s.page
	}
	return int(number64(r, "limit", 1000))
}

func (s *served) event(r *http.Request) any {
	seq, err := strconv.ParseUint(r.PathValue("seq"), 10, 64)
	if err != nil || seq == 0 || seq > uint64(len(s.events)) {
		return &wire.EventAnswer{}
	}
	return eventAnswer(s.events[seq-1])
}

func eventAnswer(e Event) *wire.EventAnswer {
	return &wire.EventAnswer{Seq: e.Seq, Kind: e.Kind, Index: e.Index, Term: e.Term, RawTime: e.RawTime,
		LogTime: e.LogTime, Leaf: e.Leaf, LeafHash: e.LeafHash, Payload: e.Payload}
}

// eventsOf is an answer to GET /v1/events, before it becomes lines.
type eventsOf struct {
	items []*wire.EventAnswer
	next  uint64
}

func (s *served) eventLines(w http.ResponseWriter, r *http.Request) {
	from, to, shard := number64(r, "from", 1), number64(r, "to", uint64(len(s.events))), r.URL.Query().Get("shard")
	a := &eventsOf{}
	for seq := from; seq <= to; seq++ {
		if len(a.items) == s.size(r) {
			a.next = seq
			break
		}
		if shard == "" || s.shardOf(seq) == shard {
			a.items = append(a.items, eventAnswer(s.events[seq-1]))
		}
	}
	if s.change != nil {
		s.change(r.URL.Path, a)
	}
	enc := json.NewEncoder(w)
	for _, e := range a.items {
		_ = enc.Encode(e)
	}
	end := wire.Trailer{Trailer: true, Count: len(a.items)}
	if a.next > 0 {
		end.NextCursor = strconv.FormatUint(a.next, 10)
	}
	_ = enc.Encode(end)
}

// shardOf is the shard that a submission names, "" for other events.
func (s *served) shardOf(seq uint64) string {
	for i := range s.answers {
		if s.answers[i].Seq == seq {
			return s.answers[i].ShardID
		}
	}
	return ""
}

func (s *served) audit(r *http.Request) any {
	from, to := number64(r, "from_seq", 1), number64(r, "to_seq", uint64(len(s.events)))
	from = max(from, number64(r, "cursor", 0))
	page := &wire.AuditPage{AppliedSeq: uint64(len(s.events)), Generation: s.manifest.Generation}
	for _, v := range s.answers {
		if shard := r.URL.Query().Get("shard"); v.Seq < from || v.Seq > to || shard != "" && v.ShardID != shard {
			continue
		}
		if len(page.Items) == s.size(r) {
			page.NextCursor = strconv.FormatUint(v.Seq, 10)
			break
		}
		page.Items = append(page.Items, v)
	}
	return page
}

func (s *served) actsFrom(r *http.Request) any {
	page := &wire.OperationsPage{}
	for _, a := range s.operations {
		if a.Seq < number64(r, "from_seq", 1) {
			continue
		}
		if len(page.Items) == s.size(r) {
			page.NextSeq = a.Seq
			break
		}
		page.Items = append(page.Items, a)
	}
	return page
}

func (s *served) policy(dir, id string) any {
	canonical, source := policyFiles(id)
	p := &wire.PolicyAnswer{ID: id}
	text, err := os.ReadFile(filepath.Join(dir, canonical))
	must(s.t, err)
	must(s.t, json.Unmarshal(text, &p.Canonical))
	text, err = os.ReadFile(filepath.Join(dir, source))
	must(s.t, err)
	p.Source = string(text)
	return p
}

// sameFiles compares two exports file by file, but the page, which another release writes otherwise, and what
// follows from it.
func sameFiles(t *testing.T, got, want string) {
	t.Helper()
	a, b := manifestOf(t, got), manifestOf(t, want)
	if len(a.Files) != len(b.Files) {
		t.Fatalf("%d files, want %d", len(a.Files), len(b.Files))
	}
	for i, f := range a.Files {
		if f.Name != b.Files[i].Name || f.Name != PageFile && f != b.Files[i] {
			t.Errorf("%+v, want %+v", f, b.Files[i])
		}
	}
	a.Files, b.Files, a.Sum, b.Sum = nil, nil, "", ""
	text, err := a.Encode()
	must(t, err)
	want2, err := b.Encode()
	must(t, err)
	if string(text) != string(want2) {
		t.Errorf("%s\nwant\n%s", text, want2)
	}
}

// left lists what is in a directory, hidden names too.
func left(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestWriteAgain: from the answers that an export holds, Write makes the same export, whatever the size of the
// pages.
func TestWriteAgain(t *testing.T) {
	for _, page := range []int{0, 1, 2, 7, 11} {
		s := serve(t, kept)
		s.page = page
		o := s.options(t.TempDir())
		m, err := Write(t.Context(), s.client(), o)
		must(t, err)
		if m.Sum == "" || m.Sum != manifestOf(t, o.Dir).Sum {
			t.Errorf("the sum %q is not that of the file", m.Sum)
		}
		sameFiles(t, o.Dir, kept)
		if r, err := Check(t.Context(), o.Dir, CheckOptions{Recount: true, Sum: m.Sum}); err != nil || !r.OK {
			t.Errorf("pages of %d: %+v %v", page, r, err)
		}
	}
}

// TestWriteRanges: a part has the lines of the whole export whose events are in it, byte for byte.
func TestWriteRanges(t *testing.T) {
	s := serve(t, kept)
	c := s.client()
	linesOf := func(dir, name string, from, to uint64) (lines []string) {
		text, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		for line := range strings.Lines(string(text)) {
			var at struct{ Seq uint64 }
			must(t, json.Unmarshal([]byte(line), &at))
			if at.Seq >= from && at.Seq <= to {
				lines = append(lines, line)
			}
		}
		return lines
	}
	for _, r := range [][2]uint64{{1, 1}, {1, 13}, {2, 2}, {5, 19}, {14, 23}, {17, 24}, {24, 24}} {
		o := s.options(t.TempDir())
		o.FromSeq, o.ToSeq = r[0], r[1]
		m, err := Write(t.Context(), c, o)
		must(t, err)
		for _, name := range []string{EventsFile, VerdictsFile, OperationsFile} {
			got := linesOf(o.Dir, name, 0, ^uint64(0))
			want := linesOf(kept, name, r[0], r[1])
			if strings.Join(got, "") != strings.Join(want, "") {
				t.Errorf("%d to %d: %s has %d lines, want %d", r[0], r[1], name, len(got), len(want))
			}
		}
		if (m.Before == nil) != (r[0] == 1) || m.Head != 24 || m.Counts.Events != r[1]-r[0]+1 {
			t.Errorf("%+v", m)
		}
		if report, err := Check(t.Context(), o.Dir, CheckOptions{}); err != nil || !report.OK {
			t.Errorf("%d to %d: %+v %v", r[0], r[1], report, err)
		}
	}
}

// TestWriteInterrupted: whenever an export is interrupted it leaves nothing behind, and when it is begun again it
// is the same as one that was not interrupted.
func TestWriteInterrupted(t *testing.T) {
	s := serve(t, kept)
	parent := t.TempDir()
	c := s.client()
	asked := 0
	for n := 1; ; n++ {
		ctx, interrupt := context.WithCancel(t.Context())
		asked = 0
		s.before = func(*http.Request) int {
			if asked++; asked == n {
				interrupt()
			}
			return 0
		}
		_, err := Write(ctx, c, s.options(parent))
		interrupt()
		if err == nil {
			break // n is above the number of requests, so nothing interrupted it
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted at request %d: %v", n, err)
		}
		if names := left(t, parent); len(names) > 0 {
			t.Fatalf("interrupted at request %d, it left %q", n, names)
		}
	}
	if asked < 12 {
		t.Errorf("only %d requests", asked)
	}
	sameFiles(t, s.options(parent).Dir, kept)
}

// TestWriteFails: an error at any request is an error of the export, which leaves nothing behind.
func TestWriteFails(t *testing.T) {
	s := serve(t, kept)
	parent := t.TempDir()
	c := s.client()
	for n := 1; ; n++ {
		asked := 0
		s.before = func(*http.Request) int {
			if asked++; asked == n {
				return http.StatusForbidden
			}
			return 0
		}
		if _, err := Write(t.Context(), c, s.options(parent)); err == nil {
			break
		} else if !errors.Is(err, client.ErrRejected) {
			t.Errorf("request %d: %v", n, err)
		}
		if names := left(t, parent); len(names) > 0 {
			t.Fatalf("after a failure of request %d, it left %q", n, names)
		}
	}
}

// TestWriteLies: a cluster whose answers contradict each other gets no export.
func TestWriteLies(t *testing.T) {
	events := func(change func(*eventsOf)) func(string, any) {
		return func(_ string, v any) {
			if a, ok := v.(*eventsOf); ok {
				change(a)
			}
		}
	}
	answers := func(change func(*wire.AuditPage)) func(string, any) {
		return func(_ string, v any) {
			if a, ok := v.(*wire.AuditPage); ok && len(a.Items) > 1 {
				change(a)
			}
		}
	}
	operations := func(change func(*wire.OperationsPage)) func(string, any) {
		return func(_ string, v any) {
			if a, ok := v.(*wire.OperationsPage); ok {
				change(a)
			}
		}
	}
	digest := func(change func(*wire.DigestAnswer)) func(string, any) {
		return func(_ string, v any) {
			if a, ok := v.(*wire.DigestAnswer); ok {
				change(a)
			}
		}
	}
	other := strings.Repeat("ab", 32)
	for name, l := range map[string]struct {
		from   uint64
		change func(path string, v any)
		want   error
	}{
		"an event is missing": {change: events(func(a *eventsOf) { a.items = append(a.items[:4], a.items[5:]...) })},
		"an event is there twice": {change: events(func(a *eventsOf) {
			a.items = append(a.items[:5:5], a.items[4:]...)
		})},
		"two events change places": {change: events(func(a *eventsOf) {
			a.items[4], a.items[5] = a.items[5], a.items[4]
		})},
		"the last event is missing":        {change: events(func(a *eventsOf) { a.items = a.items[:len(a.items)-1] })},
		"an event more":                    {change: events(func(a *eventsOf) { a.items = append(a.items, &wire.EventAnswer{Seq: 25, LeafHash: other}) })},
		"another leaf":                     {change: events(func(a *eventsOf) { a.items[7].LeafHash = other })},
		"a leaf that is no hash":           {change: events(func(a *eventsOf) { a.items[7].LeafHash = "x" })},
		"no events":                        {change: events(func(a *eventsOf) { a.items = nil })},
		"the list of events goes back":     {change: events(func(a *eventsOf) { a.next = 1 })},
		"the list of events stays":         {from: 3, change: events(func(a *eventsOf) { a.next = 3 })},
		"another digest":                   {change: digest(func(d *wire.DigestAnswer) { d.Log = other })},
		"the digest of another event":      {change: digest(func(d *wire.DigestAnswer) { d.Seq-- })},
		"another edge":                     {from: 4, change: digest(func(d *wire.DigestAnswer) { d.Edge = append(d.Edge, other) })},
		"an edge of other roots":           {from: 4, change: digest(func(d *wire.DigestAnswer) { d.Edge = append(d.Edge[:0], other, other) })},
		"an edge that is no hash":          {from: 4, change: digest(func(d *wire.DigestAnswer) { d.Edge = []string{"x", "y"} })},
		"no edge":                          {from: 4, change: digest(func(d *wire.DigestAnswer) { d.Edge = nil })},
		"an answer is missing":             {change: answers(func(p *wire.AuditPage) { p.Items = p.Items[1:] })},
		"an answer is there twice":         {change: answers(func(p *wire.AuditPage) { p.Items[2] = p.Items[1] })},
		"two answers change places":        {change: answers(func(p *wire.AuditPage) { p.Items[2], p.Items[1] = p.Items[1], p.Items[2] })},
		"an answer behind the range":       {change: answers(func(p *wire.AuditPage) { p.Items[len(p.Items)-1].Seq = 25 })},
		"the list of answers never ends":   {change: answers(func(p *wire.AuditPage) { p.NextCursor = "1" })},
		"answers that never come":          {change: endless},
		"the list of operations goes back": {change: operations(func(p *wire.OperationsPage) { p.NextSeq = 1 })},
		"an operation is there twice":      {change: operations(func(p *wire.OperationsPage) { p.Items[2] = p.Items[1] })},
		"an operation before the range":    {from: 6, change: operations(func(p *wire.OperationsPage) { p.Items[0].Seq = 5 })},
		"another policy": {change: func(_ string, v any) {
			if p, ok := v.(*wire.PolicyAnswer); ok {
				p.Canonical["kernel"] = "2"
			}
		}},
		"no time": {change: func(_ string, v any) {
			if e, ok := v.(*wire.EventAnswer); ok {
				e.LogTime = "soon"
			}
		}},
		"an empty ledger": {want: ErrRange, change: func(_ string, v any) {
			if p, ok := v.(*wire.AuditPage); ok {
				p.AppliedSeq = 0
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, kept)
			s.change = l.change
			parent := t.TempDir()
			o := s.options(parent)
			o.FromSeq = l.from
			if name == "no time" {
				o.Since = time.Unix(1, 0)
			}
			want := l.want
			if want == nil {
				want = ErrDiffers
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if _, err := Write(ctx, s.client(), o); !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
			if names := left(t, parent); len(names) > 0 {
				t.Errorf("it left %q", names)
			}
		})
	}
}

// endless has a next page behind every page, with nothing in it.
func endless(_ string, v any) {
	if p, ok := v.(*wire.AuditPage); ok {
		p.Items, p.NextCursor = nil, "7"
	}
}

// TestChooseTimes: the range of two times is that of a walk over all events.
func TestChooseTimes(t *testing.T) {
	s := serve(t, kept)
	c := s.client()
	at := func(i int) time.Time {
		when, err := wire.ParseTime(s.events[i].LogTime)
		must(t, err)
		return when
	}
	var bounds []time.Time
	for _, i := range []int{0, 1, 12, 22, 23} {
		bounds = append(bounds, at(i).Add(-1), at(i), at(i).Add(1))
	}
	for _, since := range append(bounds, time.Time{}) {
		for _, until := range append(bounds, time.Time{}) {
			var first, last uint64
			for i, e := range s.events {
				if !at(i).Before(since) && (until.IsZero() || at(i).Before(until)) {
					if last = e.Seq; first == 0 {
						first = e.Seq
					}
				}
			}
			w := &writer{Options: Options{Since: since, Until: until, Timeout: time.Minute}, c: c, ctx: t.Context()}
			err := w.choose()
			r := w.m.Range
			switch {
			case first == 0 && !errors.Is(err, ErrRange):
				t.Errorf("%v to %v: %+v %v, and there is no event", since, until, r, err)
			case first != 0 && (err != nil || r.FromSeq != first || r.ToSeq != last):
				t.Errorf("%v to %v: %+v %v, want %d to %d", since, until, r, err, first, last)
			case first != 0 && (r.FirstTime != s.events[first-1].LogTime || r.LastTime != s.events[last-1].LogTime):
				t.Errorf("%+v has other times than its events", r)
			case (r.Since == "") != since.IsZero() || (r.Until == "") != until.IsZero():
				t.Errorf("%v to %v is noted as %+v", since, until, r)
			}
		}
	}
}

// TestChooseRange: a range beyond the end, or behind it, is none, and no request is made for its events.
func TestChooseRange(t *testing.T) {
	s := serve(t, kept)
	c := s.client()
	for _, r := range []struct {
		from, to, first, last uint64
		says                  string
	}{
		{0, 0, 1, 24, ""},
		{1, 24, 1, 24, ""},
		{24, 0, 24, 24, ""},
		{0, 1, 1, 1, ""},
		{25, 0, 0, 0, "event 25 comes after event 24, the last one"},
		{0, 25, 0, 0, "the ledger ends with event 24, before event 25"},
		{9, 8, 0, 0, "event 9 comes after event 8"},
		{^uint64(0), 0, 0, 0, "comes after event 24"},
		{1, ^uint64(0), 0, 0, "the ledger ends with event 24"},
	} {
		s.asked = nil
		w := &writer{Options: Options{FromSeq: r.from, ToSeq: r.to, Timeout: time.Minute}, c: c, ctx: t.Context()}
		err := w.choose()
		if r.says == "" && (err != nil || w.m.Range.FromSeq != r.first || w.m.Range.ToSeq != r.last) {
			t.Errorf("%+v: %+v %v", r, w.m.Range, err)
		}
		if r.says != "" && (!errors.Is(err, ErrRange) || !strings.Contains(err.Error(), r.says) || len(s.asked) != 1) {
			t.Errorf("%+v: %v after %q", r, err, s.asked)
		}
	}
}

// TestWriteLocal: only without Local the end of the ledger is confirmed by a majority.
func TestWriteLocal(t *testing.T) {
	s := serve(t, kept)
	for _, local := range []bool{true, false} {
		var asked string
		s.before = func(r *http.Request) int {
			if asked == "" {
				asked = r.URL.Query().Get("consistency")
			}
			return 0
		}
		w := &writer{Options: Options{Local: local, Timeout: time.Minute}, c: s.client(), ctx: t.Context()}
		must(t, w.head())
		if (asked == wire.ConsistencyLocal) != local || (asked == wire.ConsistencyLinearizable) == local {
			t.Errorf("local %v asks with consistency %q", local, asked)
		}
	}
}
