package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// operator is a fake node that keeps the operations it was asked for and answers the first of each path with a problem.
type operator struct {
	mu    sync.Mutex
	first *wire.Problem
	seen  map[string][]string // op_ids by method and path
	query map[string]string
}

func (o *operator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var a wire.Op
	if r.Method == http.MethodPost {
		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &a) // an empty op_id fails the test
	} else {
		a.OpID = r.URL.Query().Get("op_id")
	}
	name := r.Method + " " + r.URL.Path
	o.seen[name] = append(o.seen[name], a.OpID)
	o.query[name] = r.URL.Query().Get("reason") + r.URL.Query().Get("ticket")
	if o.first != nil && len(o.seen[name]) == 1 {
		reply(w, 0, o.first)
		return
	}
	reply(w, 200, map[string]any{"generation": 2, "seq": 7})
}

func TestOperationsAreRepeatedUnderOneOpID(t *testing.T) {
	for _, code := range []wire.Code{wire.CodeOutcomeUnknown, wire.CodeNoAgreement, wire.CodeNoLeader} {
		o := &operator{first: wire.NewProblem(code, ""), seen: map[string][]string{}, query: map[string]string{}}
		s, ca := server(t, o.ServeHTTP)
		c := connect(t, fast(ca, s.URL))
		ctx := deadline(t, 20*time.Second)
		given := wire.Op{OpID: "mine", Reason: "why", Ticket: "INC-7"}
		for name, do := range map[string]func() error{
			"POST /v1/policies":                        func() error { _, err := c.PublishPolicy(ctx, wire.PolicyRequest{Document: "kernel: 1"}); return err },
			"POST /v1/policies/ab/apply":               func() error { _, err := c.ApplyPolicy(ctx, "ab", wire.ApplyRequest{}); return err },
			"POST /v1/keys/hmac-1/revoke":              func() error { _, err := c.RevokeKey(ctx, "hmac-1", wire.RevokeRequest{}); return err },
			"POST /v1/keys":                            func() error { _, err := c.AddKey(ctx, wire.KeyRequest{}); return err },
			"POST /v1/keys/hmac-1/retire":              func() error { _, err := c.RetireKey(ctx, "hmac-1", wire.Op{}); return err },
			"POST /v1/keys/hmac-1/retire-secret":       func() error { _, err := c.RetireSecret(ctx, "hmac-1", wire.Op{}); return err },
			"POST /v1/freezes":                         func() error { _, err := c.Freeze(ctx, wire.FreezeRequest{}); return err },
			"POST /v1/thaw":                            func() error { _, err := c.Thaw(ctx, wire.FreezeRequest{}); return err },
			"POST /v1/cluster/members":                 func() error { _, err := MembersOf(c).Add(ctx, wire.MemberRequest{}); return err },
			"POST /v1/cluster/members/n4/promote":      func() error { _, err := MembersOf(c).Promote(ctx, "n4", wire.Op{}); return err },
			"POST /v1/cluster/members/n4/remove":       func() error { _, err := MembersOf(c).Remove(ctx, "n4", wire.Op{}); return err },
			"POST /v1/cluster/members/n4/address":      func() error { _, err := MembersOf(c).Move(ctx, "n4", wire.MemberAddressRequest{}); return err },
			"POST /v1/cluster/leader":                  func() error { _, err := MembersOf(c).Transfer(ctx, wire.LeaderRequest{}); return err },
			"POST /v1/cluster/version":                 func() error { _, err := MembersOf(c).RaiseVersion(ctx, wire.ClusterVersionRequest{}); return err },
			"POST /v1/known-shards":                    func() error { _, err := c.AddKnownShards(ctx, wire.KnownShardsRequest{}); return err },
			"POST /v1/generations":                     func() error { _, err := c.StartGeneration(ctx, wire.GenerationRequest{}); return err },
			"POST /v1/generations/2/activate":          func() error { _, err := c.Activate(ctx, 2, wire.ActivateRequest{Diff: "d"}); return err },
			"POST /v1/generations/rollback":            func() error { _, err := c.Rollback(ctx, wire.RollbackRequest{Op: given}); return err },
			"DELETE /v1/generations/2":                 func() error { _, err := c.DropGeneration(ctx, 2, given); return err },
			"POST /v1/cluster/invitations":             func() error { _, err := MembersOf(c).Invite(ctx, wire.InvitationRequest{}); return err },
			"POST /v1/cluster/invitations/n4/withdraw": func() error { _, err := MembersOf(c).Withdraw(ctx, "n4", wire.Op{}); return err },
		} {
			if err := do(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			ids := o.seen[name]
			mine := strings.HasSuffix(name, "rollback") || strings.HasPrefix(name, "DELETE")
			if len(ids) != 2 || ids[0] == "" || ids[0] != ids[1] || (ids[0] == "mine") != mine {
				t.Errorf("%s: op_ids %q", name, ids)
			}
		}
		if got := o.query["DELETE /v1/generations/2"]; got != "whyINC-7" {
			t.Errorf("reason and ticket of a drop: %q", got)
		}
		if o.seen["POST /v1/generations"][0] == o.seen["POST /v1/policies"][0] {
			t.Error("two operations share an op_id")
		}
	}
}

// TestEndOfOperations: what the node said last is told when the time is up, and a final problem is told at once.
func TestEndOfOperations(t *testing.T) {
	for code, want := range map[wire.Code]error{
		wire.CodeNoAgreement: ErrUnavailable, wire.CodeStale: ErrRejected, wire.CodeOpIDReused: ErrRejected, wire.CodeBadPolicy: ErrRejected, wire.CodeDiskFull: ErrUnavailable,
		wire.CodeNotFound: ErrNotFound, wire.CodeOutcomeUnknown: ErrOutcomeUnknown, wire.CodeInternal: ErrOutcomeUnknown,
	} {
		s, ca := server(t, func(w http.ResponseWriter, _ *http.Request) {
			reply(w, 0, wire.NewProblem(code, "node-2 says otherwise").WithRetry(time.Minute))
		})
		_, err := connect(t, fast(ca, s.URL)).Activate(deadline(t, 20*time.Second), 2, wire.ActivateRequest{Diff: "d"})
		var p *wire.Problem
		if !errors.Is(err, want) || !errors.As(err, &p) || p.Code != code || !strings.Contains(err.Error(), "node-2 says otherwise") {
			t.Errorf("%s: %v", code, err)
		}
		if bounded := errors.Is(err, context.DeadlineExceeded); bounded != (want != ErrRejected && code != wire.CodeDiskFull && code != wire.CodeNotFound && code != wire.CodeInternal) {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func TestFlipsWalkAllPages(t *testing.T) {
	const rows = 10
	s, ca := server(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		page := wire.FlipsPage{Items: []wire.Flip{}, Position: 77, Generation: 2}
		from, _ := strconv.Atoi(q.Get("cursor") + q.Get("from_seq")) // 0 when the query has neither
		limit, _ := strconv.Atoi(q.Get("limit"))
		if q.Get("cursor") != "" && q.Get("position") != "77" || q.Get("shard") != "s" || r.URL.Path != "/v1/generations/2/flips" {
			t.Errorf("%s", r.URL)
		}
		for seq := max(from, 1); seq <= rows; seq++ {
			if len(page.Items) == min(limit, 3) {
				page.NextCursor = strconv.Itoa(seq)
				break
			}
			page.Items = append(page.Items, wire.Flip{Seq: uint64(seq)})
		}
		reply(w, 200, page)
	})
	c := connect(t, fast(ca, s.URL))
	for limit, n := range map[int]int{0: rows, 4: 4} {
		got := 0
		for f, err := range c.Flips(deadline(t, 20*time.Second), FlipsQuery{Generation: 2, Shard: "s", Limit: limit}) {
			if got++; err != nil || f.Seq != uint64(got) {
				t.Fatal(f, err)
			}
		}
		if got != n {
			t.Errorf("limit %d gave %d", limit, got)
		}
	}
}

func TestRecountReads(t *testing.T) {
	var asked []string
	s, ca := server(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.String())
		if strings.HasPrefix(r.URL.Path, "/v1/generations/9") {
			reply(w, 0, wire.NewProblem(wire.CodeNotFound, ""))
			return
		}
		reply(w, 200, map[string]any{"generation": 2})
	})
	c := connect(t, fast(ca, s.URL))
	ctx := deadline(t, 20*time.Second)
	for _, read := range []func() error{
		func() error { _, err := c.Policies(ctx); return err }, func() error { _, err := c.Policy(ctx, "ab"); return err },
		func() error { _, err := c.Generations(ctx); return err }, func() error { _, err := c.Generation(ctx, 2); return err },
		func() error { _, err := c.Diff(ctx, 2, 0); return err }, func() error { _, err := c.Diff(ctx, 2, 77); return err },
	} {
		if err := read(); err != nil {
			t.Error(err)
		}
	}
	want := "GET /v1/policies GET /v1/policies/ab GET /v1/generations GET /v1/generations/2 GET /v1/generations/2/diff GET /v1/generations/2/diff?position=77"
	if got := strings.Join(asked, " "); got != want {
		t.Errorf("asked %s", got)
	}
	for _, err := range c.Flips(ctx, FlipsQuery{Generation: 9}) {
		if !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	}
}
