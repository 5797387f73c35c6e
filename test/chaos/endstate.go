package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/test/harness"
	"github.com/recount-ledger/recount/wire"
)

// entry is one row of the audit list of a node.
type entry struct {
	seq, first     uint64 // first: the event whose outcome stands
	id             string
	outcome, extra string
	at             time.Time // log time
}

// state holds the answers of one node at the end.
type state struct {
	node   int
	top    uint64 // its last event
	list   []entry
	lookup map[string]told
	holes  []uint64 // seqs that hold no event
}

type told struct {
	seq   uint64
	escal bool
}

// judge reads the end state of every node and prints what is wrong with it and with the history.
func judge(ctx context.Context, b *bed, h *history, t *table, root string, say func(string, ...any)) bool {
	calls := h.all()
	say("checking %d calls", len(calls))
	found := check(calls)
	for _, text := range slices.Concat(h.refused, b.ended) {
		found = append(found, violation{what: text})
	}
	states, err := readStates(ctx, b, calls, say)
	if err != nil {
		found = append(found, violation{what: err.Error()})
	} else {
		found = append(found, checkStates(states, calls, h.began)...)
		t.events = states[0].top
	}
	if err := compareDigests(ctx, b, root); err != nil {
		found = append(found, violation{what: err.Error()})
	}
	t.violations = len(found)
	for _, v := range found[:min(len(found), 20)] {
		fmt.Println("VIOLATION:", v.what)
		for _, c := range v.calls[:min(len(v.calls), 30)] {
			fmt.Println("   ", c)
		}
	}
	return len(found) == 0
}

// compareDigests asks the tool for operators whether the nodes agree.
func compareDigests(ctx context.Context, b *bed, root string) error {
	tool := filepath.Join(b.Dir, "recount")
	if err := harness.Build(root, tool, "./cmd/recount"); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, tool, "digest", "--dev", b.Dir, "--timeout", "60s").CombinedOutput()
	if err != nil {
		return fmt.Errorf("recount digest: %w\n%s", err, out)
	}
	_, err = os.Stdout.Write(out)
	return err
}

// readStates waits until every node has what the furthest has, and reads all of them.
func readStates(ctx context.Context, b *bed, calls []call, say func(string, ...any)) ([]state, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Minute)
	defer cancel()
	top, err := settle(ctx, b)
	if err != nil {
		return nil, err
	}
	ids := acknowledged(calls)
	say("reading %d events and %d records from every node", top, len(ids))
	out, errs := make([]state, nodes), make([]error, nodes)
	var all sync.WaitGroup
	for i := range nodes {
		all.Go(func() { out[i], errs[i] = readState(ctx, b, i, top, ids) })
	}
	all.Wait()
	return out, errors.Join(errs...)
}

// acknowledged are the ids that a call knew.
func acknowledged(calls []call) []int32 {
	seen := map[int32]bool{}
	var out []int32
	for _, c := range calls {
		if c.seq > 0 && !seen[c.id] {
			seen[c.id] = true
			out = append(out, c.id)
		}
	}
	return out
}

// settle waits until the three nodes have folded the same number of events.
func settle(ctx context.Context, b *bed) (uint64, error) {
	hc := b.HTTP(1)
	defer hc.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, recoverLimit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var heads [nodes]uint64
		for i, api := range b.API {
			var d wire.DigestAnswer
			if status, err := harness.GetJSON(ctx, hc, api+"/v1/digest", &d); err == nil && status == http.StatusOK {
				heads[i] = d.Seq
			}
		}
		if heads[0] > 0 && heads[0] == heads[1] && heads[0] == heads[2] {
			return heads[0], nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("the nodes do not come to the same event: %v", heads)
		}
	}
}

// readState reads the list of one node up to top, and what it says of each id by itself.
func readState(ctx context.Context, b *bed, i int, top uint64, ids []int32) (state, error) {
	s := state{node: i, top: top, lookup: map[string]told{}}
	c, err := b.Client(i)
	if err != nil {
		return s, err
	}
	defer c.Close()
	for item, err := range c.Audit(ctx, client.AuditQuery{}) {
		if err != nil {
			return s, fmt.Errorf("node-%d: list: %w", i+1, err)
		}
		if item.Seq > top {
			break
		}
		e, err := newEntry(item)
		if err != nil {
			return s, err
		}
		s.list = append(s.list, e)
	}
	for _, id := range ids {
		a, err := c.Get(ctx, pcsID(id), client.Read{Consistency: wire.ConsistencyLocal})
		if errors.Is(err, client.ErrNotFound) {
			continue
		}
		if err != nil {
			return s, fmt.Errorf("node-%d: id-%d: %w", i+1, id, err)
		}
		s.lookup[pcsID(id)] = told{a.Seq, a.Outcome == wire.OutcomeEscalated}
	}
	s.holes, err = holes(ctx, c, s.list, top)
	return s, err
}

func newEntry(item wire.AuditItem) (entry, error) {
	at, err := time.Parse(time.RFC3339Nano, item.LogTime)
	if err != nil {
		return entry{}, err
	}
	// Everything that an investigator sees, so that two nodes cannot differ in it unseen.
	extra := fmt.Sprintf("%s|%s|%s|%d|%s|%d|%t|%s|%v|%s|%t|%t|%t|%t",
		item.ReceivedAt, item.Node, item.ShardID, item.Epoch, item.KeyID, item.Status, item.Accepted, item.ReasonCode, item.Reasons, item.Policy, item.Replayed, item.Reverified, item.InputsSigned, item.Evidence)
	return entry{item.Seq, item.FirstSeq, item.PCSID, item.Outcome, extra, at}, nil
}

// maxHoles bounds how many events that are no submissions are looked at one by one.
const maxHoles = 5000

// holes looks at the seqs that the list leaves out: each must be an event of another kind.
func holes(ctx context.Context, c *client.Client, list []entry, top uint64) (out []uint64, _ error) {
	looked := 0
	for seq, at := uint64(1), 0; seq <= top; seq++ {
		if at < len(list) && list[at].seq == seq {
			at++
			continue
		}
		if looked++; looked > maxHoles {
			return out, nil
		}
		_, err := c.Event(ctx, seq, client.Read{})
		if errors.Is(err, client.ErrNotFound) {
			out = append(out, seq)
		} else if err != nil {
			return out, fmt.Errorf("event %d: %w", seq, err)
		}
	}
	return out, nil
}

// Client is a client of one node that acts as an operator.
func (b *bed) Client(i int) (*client.Client, error) {
	ca, err := os.ReadFile(filepath.Join(b.Dir, "ca.pem"))
	if err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(b.Dir, "tokens", "operator.token"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	token, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{Endpoints: b.API[i : i+1], CA: ca, Token: string(token[:len(token)-1])})
}
