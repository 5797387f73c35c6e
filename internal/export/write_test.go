package export

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

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
