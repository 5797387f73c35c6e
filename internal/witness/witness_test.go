package witness

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/recount-ledger/recount/evidence"
)

const origin = "recount/c"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rig is a witness with a ledger that it knows.
type rig struct {
	t       *testing.T
	o       Options
	w       *Witness
	key     evidence.SecretKey
	trusted []evidence.PublicKey
	now     time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	_, key, err := evidence.NewSecretKey(origin)
	must(t, err)
	_, secret, err := evidence.NewWitnessSecret("witness.example")
	must(t, err)
	r := &rig{t: t, key: key, trusted: []evidence.PublicKey{key.Public()}, now: time.Unix(1_700_000_000, 0)}
	r.o = Options{Dir: filepath.Join(t.TempDir(), "w"), Secrets: []evidence.WitnessSecret{secret},
		Ledgers: func() []evidence.PublicKey { return r.trusted }, Now: func() time.Time { return r.now },
		Logger: slog.New(slog.DiscardHandler)}
	r.open()
	t.Cleanup(func() { _ = r.w.Close() })
	return r
}

func (r *rig) open() {
	r.t.Helper()
	var err error
	r.w, err = Open(r.o)
	must(r.t, err)
}

func (r *rig) reopen() {
	r.t.Helper()
	must(r.t, r.w.Close())
	r.open()
}

// tree is the tree of a ledger. The leaves from the fork on are its own.
func tree(size, fork int, branch string) *testonly.Tree {
	t := testonly.New(rfc6962.DefaultHasher)
	for i := range size {
		text := "all"
		if i >= fork {
			text = branch
		}
		t.AppendData(fmt.Appendf(nil, "%d %s", i, text))
	}
	return t
}

func (r *rig) note(tr *testonly.Tree, size uint64, by ...evidence.SecretKey) []byte {
	r.t.Helper()
	if len(by) == 0 {
		by = []evidence.SecretKey{r.key}
	}
	msg, err := evidence.SignCheckpoint(evidence.Checkpoint{Origin: by[0].Public().Name(), Size: size,
		Root: [32]byte(tr.HashAt(size))}, by...)
	must(r.t, err)
	return msg
}

func (r *rig) request(tr *testonly.Tree, old, size uint64) Request {
	r.t.Helper()
	req := Request{Old: old, Note: r.note(tr, size)}
	if old > 0 && old < size {
		hashes, err := tr.ConsistencyProof(old, size)
		must(r.t, err)
		for _, h := range hashes {
			req.Proof = append(req.Proof, [32]byte(h))
		}
	}
	return req
}

// size returns the size that the witness has seen, as its directory has it.
func (r *rig) size() uint64 {
	r.t.Helper()
	list, err := List(r.o.Dir, publicOf(r.o.Secrets)...)
	must(r.t, err)
	if len(list) == 0 {
		return 0
	}
	return list[0].Size
}

// TestGrowth: a witness cosigns what grew, also after it started again, and the lines are cosignatures of its clock.
func TestGrowth(t *testing.T) {
	r := newRig(t)
	tr := tree(300, 300, "")
	old := uint64(0)
	for _, size := range []uint64{1, 1, 2, 3, 7, 256, 299, 300} {
		req := r.request(tr, old, size)
		lines, err := r.w.Add(req)
		must(t, err)
		list, err := evidence.Cosignatures(append(bytes.Clone(req.Note), lines...), publicOf(r.o.Secrets)...)
		if err != nil || len(list) != 1 || !list[0].Time.Equal(r.now) {
			t.Errorf("size %d: %v, %v", size, list, err)
		}
		if got := r.size(); got != size {
			t.Errorf("on the disk: %d, want %d", got, size)
		}
		r.now = r.now.Add(time.Minute)
		r.reopen()
		old = size
	}
	var conflict *ConflictError
	if _, err := r.w.Add(r.request(tr, 0, 300)); !errors.As(err, &conflict) || conflict.Size != 300 || conflict.Fork {
		t.Errorf("from the beginning: %v", err)
	}
}

// TestAnswers: each refusal has the status of tlog-witness and changes nothing.
func TestAnswers(t *testing.T) {
	r := newRig(t)
	tr, handler := tree(20, 20, ""), r.w.Handler()
	post := func(body []byte) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/add-checkpoint", bytes.NewReader(body)))
		return rec
	}
	if rec := post(r.request(tr, 0, 5).Text()); rec.Code != http.StatusOK || !strings.HasPrefix(rec.Body.String(), "— witness.example ") {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	_, strange, err := evidence.NewSecretKey(origin)
	must(t, err)
	_, other, err := evidence.NewSecretKey("recount/other")
	must(t, err)
	good := r.request(tr, 5, 9)
	with := func(change func(*Request)) []byte {
		next := good
		change(&next)
		return next.Text()
	}
	changed := bytes.Replace(good.Note, []byte("\n9\n"), []byte("\n8\n"), 1)
	for name, c := range map[string]struct {
		body []byte
		code int
		want string
	}{
		"unknown ledger": {with(func(q *Request) { q.Note = r.note(tr, 9, other) }), 404, ""},
		"unknown key":    {with(func(q *Request) { q.Note = r.note(tr, 9, strange) }), 403, ""},
		"changed":        {with(func(q *Request) { q.Note = changed }), 403, ""},
		"smaller size":   {with(func(q *Request) { q.Old, q.Proof = 4, nil }), 409, "5\n"},
		"from 0":         {with(func(q *Request) { q.Old, q.Proof = 0, nil }), 409, "5\n"},
		"old > size":     {with(func(q *Request) { q.Old = 10 }), 400, ""},
		"no proof":       {with(func(q *Request) { q.Proof = nil }), 422, ""},
		"wrong proof":    {with(func(q *Request) { q.Proof = r.request(tr, 6, 9).Proof }), 422, ""},
		"proof beyond":   {with(func(q *Request) { q.Proof = append(q.Proof[:len(q.Proof):len(q.Proof)], [32]byte{}) }), 422, ""},
		"empty":          {nil, 400, ""},
		"no checkpoint":  {[]byte("old 5\n\n"), 404, ""},
		"no old":         {[]byte("\n\n" + string(good.Note)), 400, ""},
		"zeroes":         {bytes.Replace(good.Text(), []byte("old 5"), []byte("old 05"), 1), 400, ""},
		"negative":       {bytes.Replace(good.Text(), []byte("old 5"), []byte("old -5"), 1), 400, ""},
		"many hashes":    {with(func(q *Request) { q.Proof = make([][32]byte, 64) }), 400, ""},
		"short hash":     {bytes.Replace(good.Text(), []byte("old 5\n"), []byte("old 5\nAAAA\n"), 1), 400, ""},
		"large":          {append(good.Text(), bytes.Repeat([]byte("x"), maxRequest)...), 400, ""},
	} {
		rec := post(c.body)
		if rec.Code != c.code || c.want != "" && rec.Body.String() != c.want || r.size() != 5 {
			t.Errorf("%s: %d %q, size %d", name, rec.Code, rec.Body, r.size())
		}
		if kind := rec.Header().Get("Content-Type"); (kind == "text/x.tlog.size") != (c.code == 409) {
			t.Errorf("%s: content type %s", name, kind)
		}
	}
	if list, err := List(r.o.Dir); err != nil || list[0].Forks+list[0].Unproven != 0 {
		t.Errorf("kept as a fork: %+v, %v", list, err)
	}
	if rec := post(good.Text()); rec.Code != http.StatusOK {
		t.Errorf("the good one: %d %s", rec.Code, rec.Body)
	}
	text, err := r.w.Metrics()
	must(t, err)
	for _, line := range []string{`requests_total{result="cosigned"} 2`, `requests_total{result="untrusted"} 2`,
		`requests_total{result="conflict"} 2`, `requests_total{result="proof"} 3`, `requests_total{result="malformed"} 8`,
		`requests_total{result="unknown"} 2`, `size{origin="recount/c"} 9`, `forks{origin="recount/c",proven="true"} 0`} {
		if !strings.Contains(text, "flk_witness_"+line+"\n") {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
}

// TestNothingLeavesBeforeTheDisk: a checkpoint that cannot be written is not cosigned, and the one before stays.
func TestNothingLeavesBeforeTheDisk(t *testing.T) {
	r := newRig(t)
	tr, dir := tree(20, 20, ""), filepath.Join(r.o.Dir, ledgersDir)
	_, err := r.w.Add(r.request(tr, 0, 5))
	must(t, err)
	must(t, os.Rename(dir, dir+".away"))
	rec := httptest.NewRecorder()
	r.w.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/add-checkpoint",
		bytes.NewReader(r.request(tr, 5, 9).Text())))
	if rec.Code != http.StatusInternalServerError || strings.Contains(rec.Body.String(), "—") ||
		strings.Contains(rec.Body.String(), r.o.Dir) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	must(t, os.Rename(dir+".away", dir))
	if _, err := r.w.Add(r.request(tr, 5, 9)); err != nil || r.size() != 9 {
		t.Errorf("%v, size %d", err, r.size())
	}
}

// TestOneBranchAtATime: of requests that arrive together, only those of one tree are cosigned.
func TestOneBranchAtATime(t *testing.T) {
	r := newRig(t)
	_, err := r.w.Add(r.request(tree(20, 10, ""), 0, 10))
	must(t, err)
	const branches = 16
	var ready, ended sync.WaitGroup
	start, cosigned := make(chan struct{}), make([]bool, branches)
	for i := range branches {
		req := r.request(tree(20, 10, fmt.Sprint(i)), 10, uint64(11+i%3))
		ready.Add(1)
		ended.Go(func() {
			ready.Done()
			<-start
			_, err := r.w.Add(req)
			cosigned[i] = err == nil
		})
	}
	ready.Wait()
	close(start)
	ended.Wait()
	n := 0
	for _, ok := range cosigned {
		if ok {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d branches are cosigned", n)
	}
}

// TestDirectory: a witness does not start with files that it cannot trust, or beside another one.
func TestDirectory(t *testing.T) {
	r := newRig(t)
	_, err := r.w.Add(r.request(tree(5, 5, ""), 0, 5))
	must(t, err)
	if _, err := Open(r.o); !errors.Is(err, ErrLocked) {
		t.Errorf("beside another one: %v", err)
	}
	must(t, r.w.Close())
	path := filepath.Join(r.o.Dir, ledgersDir, idOf(origin)+noteSuffix)
	whole, err := os.ReadFile(path)
	must(t, err)
	for i := range whole {
		changed := bytes.Clone(whole)
		changed[i] ^= 1
		// A changed signature of the ledger stays unseen: the cosignature covers the text alone.
		if l, err := readLedger(changed, publicOf(r.o.Secrets)); err == nil && textOf(string(l.note)) != textOf(string(whole)) {
			t.Errorf("byte %d: taken", i)
		}
	}
	must(t, os.WriteFile(path, bytes.Replace(whole, []byte("\n5\n"), []byte("\n4\n"), 1), 0o600))
	if _, err := Open(r.o); !errors.Is(err, ErrDamaged) {
		t.Errorf("a smaller size: %v", err)
	}
	must(t, os.WriteFile(path, whole, 0o600))
	must(t, os.Rename(path, filepath.Join(filepath.Dir(path), "0000000000000000.note")))
	if _, err := Open(r.o); !errors.Is(err, ErrDamaged) {
		t.Errorf("under another name: %v", err)
	}
	must(t, os.Rename(filepath.Join(filepath.Dir(path), "0000000000000000.note"), path))
	before := r.o.Secrets
	_, next, err := evidence.NewWitnessSecret("witness.example")
	must(t, err)
	r.o.Secrets = []evidence.WitnessSecret{next}
	if _, err := Open(r.o); !errors.Is(err, ErrDamaged) {
		t.Errorf("another key: %v", err)
	}
	r.o.Secrets = append(before, next)
	r.open()
	if lines, err := r.w.Add(r.request(tree(6, 6, ""), 5, 6)); err != nil || bytes.Count(lines, []byte("\n")) != 2 {
		t.Errorf("both keys: %s, %v", lines, err)
	}
}

// FuzzRequest: what is read is written as the same bytes.
func FuzzRequest(f *testing.F) {
	f.Add([]byte("old 5\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\nrecount/c\n9\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ParseRequest(b); err == nil && !bytes.Equal(r.Text(), b) {
			t.Errorf("%q is written as %q", b, r.Text())
		}
	})
}
