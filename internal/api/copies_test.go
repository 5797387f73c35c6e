package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// fakeCopies keeps copies of one file.
type fakeCopies struct {
	items []wire.CopyAnswer
	open  int
}

var copiedBytes = bytes.Repeat([]byte("entry "), 40_000)

func (f *fakeCopies) Create(context.Context) (wire.CopyAnswer, error) {
	h := hexOf("copy")
	f.items = append(f.items, wire.CopyAnswer{ID: "c1", Node: "node-1", ClusterID: "c", State: wire.CopyReady,
		CreatedAt: wire.Time(fakeStart), ExpiresAt: wire.Time(fakeStart),
		Position: wire.CopyPosition{Index: 9, Term: 2, Seq: 8, LogTime: wire.Time(fakeStart)},
		Digest:   wire.CopyDigest{Log: h, State: h, Control: h, Generation: 1},
		Files:    []wire.CopyFile{{Name: "000004.sst", Size: int64(len(copiedBytes)), SHA256: hexOf("file")}}})
	return f.items[len(f.items)-1], nil
}

func (f *fakeCopies) Copies() []wire.CopyAnswer { return slices.Clone(f.items) }

func (f *fakeCopies) Copy(id string) (wire.CopyAnswer, error) {
	for _, c := range f.items {
		if c.ID == id {
			return c, nil
		}
	}
	return wire.CopyAnswer{}, ErrNotFound
}

func (f *fakeCopies) Remove(id string) error {
	n := len(f.items)
	f.items = slices.DeleteFunc(f.items, func(c wire.CopyAnswer) bool { return c.ID == id })
	if len(f.items) == n {
		return ErrNotFound
	}
	return nil
}

func (f *fakeCopies) Open(_ context.Context, id, name string) (CopyContent, error) {
	c, err := f.Copy(id)
	if err != nil || name != c.Files[0].Name {
		return CopyContent{}, ErrNotFound
	}
	f.open++
	return CopyContent{closer{bytes.NewReader(copiedBytes), f}, c.Files[0]}, nil
}

type closer struct {
	io.ReadSeeker
	f *fakeCopies
}

func (c closer) Close() error {
	c.f.open--
	return nil
}

// TestCopies goes from a new copy to its files, whole and in parts, and to its end.
func TestCopies(t *testing.T) {
	var noted []Operation
	r := newTestServer(t, func(c *Config) { c.Operations = func(o Operation) { noted = append(noted, o) } })
	made := decode[wire.CopyAnswer](t, r.send("POST", "/v1/copies?consistency=local", ""), 201)
	if page := decode[wire.CopiesPage](t, r.get("/v1/copies"), 200); len(page.Items) != 1 || page.Node != "node-1" {
		t.Errorf("%+v", page)
	}
	if got := decode[wire.CopyAnswer](t, r.get("/v1/copies/"+made.ID), 200); got.Digest != made.Digest || len(got.Files) != 1 {
		t.Errorf("%+v", got)
	}
	file := "/v1/copies/c1/files/000004.sst"
	whole := r.get(file)
	if whole.Code != 200 || !bytes.Equal(whole.Body.Bytes(), copiedBytes) || whole.Header().Get("ETag") != `"`+hexOf("file")+`"` {
		t.Errorf("%d, %d bytes, %v", whole.Code, whole.Body.Len(), whole.Header())
	}
	part := r.get(file, "Range", "bytes=200000-")
	if part.Code != 206 || !bytes.Equal(part.Body.Bytes(), copiedBytes[200000:]) {
		t.Errorf("%d, %d bytes", part.Code, part.Body.Len())
	}
	for _, bad := range []string{"bytes=240000-", "bytes=5-4", "bytes=-5", "bytes=1-2,4-5", "lines=1-2"} {
		if w := r.get(file, "Range", bad); w.Code != 400 {
			t.Errorf("range %s: %d", bad, w.Code)
		}
	}
	for _, target := range []string{"/v1/copies/c2", "/v1/copies/c1/files/other", "/v1/copies/c1/files/..%2Fend"} {
		if w := r.get(target); w.Code != 404 {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	if w := r.get("/v1/copies?limit=3"); w.Code != 400 {
		t.Errorf("an unknown parameter: %d", w.Code)
	}
	for _, want := range []int{204, 404} {
		if w := r.do(httptest.NewRequest(http.MethodDelete, "/v1/copies/c1", nil)); w.Code != want {
			t.Errorf("remove: %d %s, want %d", w.Code, w.Body, want)
		}
	}
	if r.fake.copies.open != 0 {
		t.Errorf("%d files stay open", r.fake.copies.open)
	}
	if len(noted) != 3 || noted[0].Route != "POST /v1/copies" || noted[1].Target != "c1" {
		t.Errorf("the audit stream has %+v", noted)
	}
}
