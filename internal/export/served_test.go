package export

import (
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
