package export_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/export"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/wire"
)

// Names that hurt whoever prints them as they are.
const (
	formulaShard = "=HYPERLINK(\"http://evil\";\"x\")"
	htmlShard    = "<script>alert(1)</script>"
	hostileOwner = "\"><img src=x onerror=alert(1)>"
	hostileWhy   = "@SUM(1;1)\u202e</td><script>alert(2)</script>"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// scene is a ledger with a little of everything.
type scene struct {
	t   *testing.T
	ctx context.Context
	c   *nodetest.Cluster
	f   *nodetest.Records
	ed  ed25519.PrivateKey

	auditor *client.Client
}

func newScene(t *testing.T) *scene {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	s := &scene{t: t, ctx: ctx, c: nodetest.Start(t, 1), f: nodetest.NewRecords(t), ed: ed25519.NewKeyFromSeed([]byte("a seed of 32 bytes, as any other"))}
	var err error
	s.auditor, err = client.New(client.Config{Endpoints: []string{s.c.URL(0)}, CA: s.c.CA.CertPEM(), Token: s.c.Tokens[wire.RoleAuditor]})
	must(t, err)
	t.Cleanup(s.auditor.Close)
	return s
}

// signed is a record that the Ed25519 key signs.
func (s *scene) signed(r nodetest.Record) []byte {
	s.t.Helper()
	r.Bare = true
	var members map[string]json.RawMessage
	bare := s.f.Sign(r)
	must(s.t, json.Unmarshal(bare, &members))
	payload, err := pcs.Decode(bare).AppendPayload(nil, pcs.F9)
	must(s.t, err)
	members["sig"], err = json.Marshal(base64.StdEncoding.EncodeToString(ed25519.Sign(s.ed, payload)))
	must(s.t, err)
	body, err := json.Marshal(members)
	must(s.t, err)
	return body
}

func (s *scene) submit(want int, body []byte) {
	s.t.Helper()
	status := 0
	a, err := s.c.Client.Submit(s.ctx, body)
	var p *wire.Problem
	if errors.As(err, &p) {
		status = p.Status
	} else if must(s.t, err); a != nil {
		status = a.Status
	}
	if status != want {
		s.t.Fatalf("status %d, want %d: %+v %v", status, want, a, err)
	}
}

func (s *scene) publish(document string) string {
	s.t.Helper()
	p, err := s.c.Client.PublishPolicy(s.ctx, wire.PolicyRequest{Document: document, Op: wire.Op{Reason: hostileWhy, Ticket: "=1+1"}})
	must(s.t, err)
	return p.ID
}

// play brings accepted, escalated, refused and conflicting records of both kinds of keys, a revocation, a freeze, a policy that is
// applied and a generation that is activated.
func (s *scene) play() {
	s.t.Helper()
	c := s.c.Client
	key, err := c.AddKey(s.ctx, wire.KeyRequest{Alg: "ed25519", Public: base64.StdEncoding.EncodeToString(s.ed.Public().(ed25519.PublicKey)), Owner: hostileOwner, Op: wire.Op{Reason: "new agent"}})
	must(s.t, err)
	s.submit(200, s.f.Sign(nodetest.Record{Shard: "alpha", Epoch: 1, Root: "a"}))
	s.submit(200, s.signed(nodetest.Record{Shard: "alpha", Epoch: 2, Root: "b"}))
	s.submit(202, s.f.Sign(nodetest.Record{Shard: formulaShard, Epoch: 1, Root: "c", Wrong: true}))
	s.submit(200, s.signed(nodetest.Record{Shard: htmlShard, Epoch: 1, Root: "d"}))
	s.submit(401, s.f.Sign(nodetest.Record{Shard: "alpha", Epoch: 3, Root: "e", Forged: true}))
	s.submit(409, s.f.Sign(nodetest.Record{Shard: "alpha", Epoch: 1, Root: "a", Near: true}))
	s.submit(202, s.f.Sign(nodetest.Record{Shard: "alpha", Epoch: 1, Root: "other"})) // equivocation
	s.submit(401, s.f.Sign(nodetest.Record{Shard: "bare", Epoch: 1, Root: "f", Bare: true}))
	lax := s.publish("signature: {required: false}\n")
	_, err = c.ApplyPolicy(s.ctx, lax, wire.ApplyRequest{Op: wire.Op{Reason: "trial"}})
	must(s.t, err)
	s.submit(200, s.f.Sign(nodetest.Record{Shard: "bare", Epoch: 2, Root: "g", Bare: true}))
	_, err = c.Freeze(s.ctx, wire.FreezeRequest{Scope: wire.FreezeShard, Subject: "alpha", Op: wire.Op{Reason: "stop"}})
	must(s.t, err)
	once, _ := s.c.Once(0, http.MethodPost, client.SubmitPath, s.f.Sign(nodetest.Record{Shard: "alpha", Epoch: 9, Root: "h"}))
	if once != 503 {
		s.t.Fatal(once)
	}
	_, err = c.Thaw(s.ctx, wire.FreezeRequest{Scope: wire.FreezeShard, Subject: "alpha", Op: wire.Op{Reason: "go on"}})
	must(s.t, err)
	_, err = c.RevokeKey(s.ctx, key.KeyID, wire.RevokeRequest{Op: wire.Op{Reason: "stolen", Ticket: "INC-9"}})
	must(s.t, err)
	s.submit(403, s.signed(nodetest.Record{Shard: "alpha", Epoch: 5, Root: "i"}))
	s.recount(s.publish("kernel: 1\nrules: [{when: 'shard_id == \"alpha\" && epoch == 2', then: refuse, reason: seen_before}]\n"))
	s.submit(200, s.f.Sign(nodetest.Record{Shard: "beta", Epoch: 1, Root: "j"}))
}

// recount starts a generation and activates it.
func (s *scene) recount(policy string) {
	s.t.Helper()
	g, err := s.c.Client.StartGeneration(s.ctx, wire.GenerationRequest{Policy: policy})
	must(s.t, err)
	s.c.Await("the generation is built", func() error {
		got, err := s.c.Client.Generation(s.ctx, g.Generation)
		if err != nil || got.State != wire.GenerationReady {
			return fmt.Errorf("%+v %v", got, err)
		}
		return nil
	})
	d, err := s.c.Client.Diff(s.ctx, g.Generation, 0)
	must(s.t, err)
	_, err = s.c.Client.Activate(s.ctx, g.Generation, wire.ActivateRequest{Diff: d.Digest})
	must(s.t, err)
}

// write exports into a new directory.
func (s *scene) write(o export.Options) (string, *export.Manifest) {
	s.t.Helper()
	o.Dir, o.Tool, o.At, o.Timeout = filepath.Join(s.t.TempDir(), "out"), "test", time.Now(), 20*time.Second
	m, err := export.Write(s.ctx, s.auditor, o)
	must(s.t, err)
	return o.Dir, m
}

// check checks a directory, and gives the result of every check by its name.
func check(t *testing.T, dir string, o export.CheckOptions) (*export.Report, map[string]export.Line) {
	t.Helper()
	r, err := export.Check(t.Context(), dir, o)
	must(t, err)
	lines := map[string]export.Line{}
	for _, l := range r.Checks {
		lines[l.Check] = l
	}
	return r, lines
}

// holds wants every check to hold, but those named, which are not made.
func holds(t *testing.T, dir string, o export.CheckOptions, not ...string) map[string]export.Line {
	t.Helper()
	r, lines := check(t, dir, o)
	for name, l := range lines {
		want := export.ResultOK
		if slices.Contains(not, name) {
			want = export.ResultNot
		}
		if l.Result != want {
			t.Errorf("%s: %+v", name, l)
		}
	}
	if !r.OK {
		t.Error("not ok")
	}
	return lines
}

// copied is a copy of an export to do harm to.
func copied(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	must(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

// edit replaces text in a file, which must have it.
func edit(t *testing.T, dir, name, old, replacement string) {
	t.Helper()
	path := filepath.Join(dir, name)
	text, err := os.ReadFile(path)
	must(t, err)
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s has no %q", name, old)
	}
	must(t, os.WriteFile(path, []byte(strings.Replace(string(text), old, replacement, 1)), 0o600))
}
