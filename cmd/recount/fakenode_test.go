package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

// node is a fake node: it answers reads with fixed values and judges submissions by structure and signature.
type node struct {
	t      *testing.T
	server *httptest.Server
	keySet *verify.KeySet
	digest wire.DigestAnswer
	noLead bool
	old    bool // it takes no batches

	mu       sync.Mutex
	seen     map[string]wire.SubmitAnswer
	order    []string
	override func(w http.ResponseWriter, r *http.Request) bool
	batches  atomic.Int32 // requests with batches
}

func newNode(t *testing.T) *node {
	t.Helper()
	key, err := verify.NewHMACKey([]byte(testHMAC))
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, keySet: verify.NewKeySet([]verify.Key{key}), seen: map[string]wire.SubmitAnswer{}}
	n.digest = wire.DigestAnswer{
		Seq:        42,
		Log:        strings.Repeat("1a", 32),
		State:      strings.Repeat("2b", 32),
		Generation: 1,
		Control:    strings.Repeat("3c", 32),
	}
	n.server = httptest.NewTLSServer(n)
	t.Cleanup(n.server.Close)
	return n
}

// dev writes the directory that --dev reads.
func dev(t *testing.T, nodes ...*node) string {
	t.Helper()
	dir := t.TempDir()
	var urls []string
	var ca []byte
	for _, n := range nodes {
		urls = append(urls, n.server.URL)
		ca = append(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: n.server.Certificate().Raw})...)
	}
	line, err := json.Marshal(map[string]any{
		"ready": true,
		"api":   urls,
		"ca":    filepath.Join(dir, "ca.pem"),
		"dir":   dir,
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "endpoints.json"), string(line))
	write(t, filepath.Join(dir, "ca.pem"), string(ca))
	return dir
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func answer(w http.ResponseWriter, v any) {
	if p, ok := v.(*wire.Problem); ok {
		w.WriteHeader(p.Status)
	}
	_ = json.NewEncoder(w).Encode(v) // the command sees it
}

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == client.BatchPath {
		n.batch(w, r)
		return
	}
	if n.override != nil && n.override(w, r) {
		return
	}
	seqs := []uint64{40, 42}
	epoch := int64(209)
	shard := wire.ShardAnswer{
		ShardID:     "shard-002",
		Epoch:       &epoch,
		EpochSeq:    40,
		Submissions: 3,
		Accepted:    1,
		Escalated:   1,
		Conflicts:   1,
		FirstSeq:    40,
		LastSeq:     42,
		LastAt:      "2026-01-02T03:04:07Z",
	}
	switch r.URL.Path {
	case "/v1/pcs/submit":
		n.submit(w, r)
	case "/health":
		_, _ = io.WriteString(w, "OK")
	case "/v1/pcs/" + someID:
		answer(w, wire.PCSAnswer{SubmitAnswer: okAnswer(someID, "shard-002", 209, 40), Events: seqs})
	case "/v1/pcs/" + strings.Repeat("0f", 32):
		a := wire.PCSAnswer{SubmitAnswer: okAnswer(strings.Repeat("0f", 32), "shard-002", 209, 42), Events: seqs}
		a.Generation = 2
		a.History = []wire.HistoryEntry{{
			Generation: 1,
			Policy:     a.Policy,
			Outcome:    "conflict",
			ReasonCode: "conflict",
			Seq:        42,
			FromSeq:    42,
		},
			{
				Generation: 2,
				Policy:     strings.Repeat("ab", 32),
				Outcome:    "accepted",
				Accepted:   true,
				ReasonCode: "ok",
				Seq:        42,
				FromSeq:    90,
			}}
		answer(w, a)
	case "/v1/pcs/" + strings.Repeat("0f", 32) + "/history":
		answer(w, givenAnswers())
	case "/v1/audit":
		answer(w, wire.AuditPage{AppliedSeq: 42, Generation: 1, Items: auditItems()})
	case "/v1/audit/stream":
		n.stream(w, auditItems())
	case "/v1/shards":
		answer(w, wire.ShardsPage{
			Items:      []wire.ShardAnswer{shard, {ShardID: "zzz"}},
			AppliedSeq: 42,
			LogTime:    "2026-01-02T05:04:07.5Z",
		})
	case "/v1/shards/shard-002":
		answer(w, shard)
	case "/v1/events/40":
		answer(w, submissionEvent())
	case "/v1/events/42":
		answer(w, wire.EventAnswer{
			Seq:      42,
			Kind:     "submission",
			Index:    17,
			Term:     2,
			RawTime:  "2026-01-02T03:04:07Z",
			LogTime:  "2026-01-02T03:04:07Z",
			Leaf:     wire.Leaf{Format: 1, Seq: 42, Kind: 2, PayloadSHA256: strings.Repeat("ab", 32)},
			LeafHash: strings.Repeat("cd", 32),
			Payload:  make([]byte, 700),
			Summary:  map[string]any{"pcs_id": someID, "node": "node-1", "facts": map[string]any{"alg": "hmac-sha256"}},
		})
	case "/v1/digest":
		answer(w, n.digest)
	case "/v1/cluster":
		n.cluster(w)
	case "/readyz":
		if n.noLead {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "[+]log ok\n[-]leader failed: none known\nreadyz check failed\n")
			return
		}
		_, _ = io.WriteString(w, "[+]log ok\n[+]leader ok\nreadyz check passed\n")
	case "/metrics":
		_, _ = io.WriteString(w,
			"# HELP x y\nflk_disk_free_bytes "+
				"3.221225472e+09\nflk_tls_certificate_expiry_seconds{certificate=\"api\"} "+
				"864100\nflk_tls_certificate_expiry_seconds{certificate=\"peer\"} 7.9e+06\n")
	case "/version":
		answer(w, wire.VersionAnswer{
			Version:   "v0.1.0",
			Go:        "go1.26",
			Node:      "node-1",
			ClusterID: "dev",
			Kernels:   []int{1},
		})
	default:
		answer(w, wire.NewProblem(wire.CodeNotFound, ""))
	}
}

// stream sends submissions as server-sent events, and cuts the stream.
func (n *node) stream(w http.ResponseWriter, items []wire.AuditItem) {
	w.Header().Set("Content-Type", wire.MediaEvents)
	for _, item := range items {
		text, err := json.Marshal(item)
		if err != nil {
			n.t.Error(err)
		}
		fmt.Fprintf(w, "id: %d\nevent: submission\ndata: %s\n\n", item.Seq, text)
	}
}

// givenAnswers is the history of a record that was a conflict, and that a recount accepted.
func givenAnswers() wire.PCSHistory {
	first := wire.GivenAnswer{
		AuditAnswer: wire.AuditAnswer{Generation: 1, Outcome: "conflict"},
		FromSeq:     42,
		At:          "2026-01-02T03:04:05Z",
		By:          wire.BySubmitted,
		CausedBySeq: 40,
	}
	second := wire.GivenAnswer{
		AuditAnswer: wire.AuditAnswer{
			Generation: 2,
			Outcome:    "accepted",
			Accepted:   true,
			Status:     200,
			ReasonCode: "ok",
			Policy:     strings.Repeat("ab", 32),
		},
		FromSeq: 90,
		At:      "2026-01-03T03:04:05Z",
		By:      wire.ByActivated,
		Actor:   "alice",
		Reason:  "D_hat was taken\x1b[31m too loosely",
		Ticket:  "INC-7",
	}
	return wire.PCSHistory{
		PCSID:       strings.Repeat("0f", 32),
		Submissions: []wire.SubmissionHistory{{Seq: 42, Answers: []wire.GivenAnswer{first, second}}},
		AppliedSeq:  90,
		Generation:  2,
	}
}

// auditItems are the submissions that the node knows.
func auditItems() []wire.AuditItem {
	return []wire.AuditItem{
		{
			Seq:        40,
			LogTime:    "2026-01-02T03:04:05Z",
			Status:     200,
			Outcome:    "accepted",
			Accepted:   true,
			ReasonCode: "ok",
			ShardID:    "shard-002",
			Epoch:      209,
			PCSID:      someID,
			KeyID:      "hmac-0123456789abcdef",
			Generation: 1,
			Was: wire.AuditAnswer{
				Generation: 1,
				Outcome:    "accepted",
				Accepted:   true,
				Status:     200,
				ReasonCode: "ok",
			},
		},
		{
			Seq:        41,
			LogTime:    "2026-01-02T03:04:06Z",
			Status:     400,
			Outcome:    "refused",
			ReasonCode: "schema",
			ShardID:    "bad\x1b[31m",
			PCSID:      "",
			Generation: 1,
			Was:        wire.AuditAnswer{Generation: 1, Outcome: "refused"},
		},
	}
}

func (n *node) cluster(w http.ResponseWriter) {
	seq, lag := uint64(42), uint64(0)
	c := wire.ClusterAnswer{ClusterID: "dev", Leader: "node-1", Term: 2, Members: []wire.Member{
		{
			ID:           "node-1",
			API:          "https://one",
			Suffrage:     "voter",
			CommittedSeq: &seq,
			AppliedSeq:   &seq,
			Lag:          &lag,
			State:        "leader",
		},
		{ID: "node-2", API: "https://two", Suffrage: "voter", State: "unreachable"},
	}}
	if n.noLead {
		c.Leader = ""
	}
	answer(w, c)
}

func okAnswer(id, shard string, epoch int64, seq uint64) wire.SubmitAnswer {
	return wire.SubmitAnswer{
		Accepted:         true,
		RecomputedDHat:   nano.Ptr(1_000_000_000),
		RecomputedBudget: 342_292_998,
		PCSID:            id,
		Outcome:          "accepted",
		ReasonCode:       "ok",
		Reasons:          []string{},
		Seq:              seq,
		ReceivedAt:       "2026-01-02T03:04:05Z",
		Policy:           strings.Repeat("ef", 32),
		Generation:       1,
		Node:             "node-1",
		ShardID:          shard,
		Epoch:            epoch,
		DHat:             nano.Ptr(1_012_345_678),
	}
}

func (n *node) submit(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		answer(w, wire.NewProblem(wire.CodeMethod, ""))
		return
	}
	body, _ := io.ReadAll(r.Body)
	rec := pcs.Decode(body)
	if rec.Fault != nil {
		answer(w, wire.NewProblem(wire.CodeMalformed, "").WithReason(string(rec.Fault.Class)))
		return
	}
	if !n.keySet.Check(rec, verify.Facts{}).Valid() {
		answer(w, wire.NewProblem(wire.CodeBadSignature, ""))
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.order = append(n.order, fmt.Sprintf("%s/%d", rec.ShardID, rec.Epoch))
	a, again := n.seen[rec.PCSID]
	if a.Replayed = again; !again {
		a = okAnswer(rec.PCSID, rec.ShardID, rec.Epoch, uint64(len(n.seen)+1))
		n.seen[rec.PCSID] = a
	}
	answer(w, a)
}

// batch answers each line as a single submission.
func (n *node) batch(w http.ResponseWriter, r *http.Request) {
	n.batches.Add(1)
	if n.old {
		answer(w, wire.NewProblem(wire.CodeNotFound, ""))
		return
	}
	body, _ := io.ReadAll(r.Body)
	for i, line := range bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n")) {
		one, err := http.NewRequestWithContext(r.Context(), http.MethodPost, client.SubmitPath, bytes.NewReader(line))
		if err != nil {
			n.t.Error(err)
			return
		}
		single := httptest.NewRecorder()
		n.ServeHTTP(single, one)
		fmt.Fprintf(w, `{"line":%d,"status":%d,%s`, i+1, single.Code, single.Body.String()[1:])
	}
}
