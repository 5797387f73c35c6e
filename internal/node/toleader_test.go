package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/wire"
)

// onePeer is a cluster in which leader, if there is one, replies with reply and err.
type onePeer struct {
	leader string
	reply  []byte
	err    error
	calls  int
}

func (p *onePeer) Leader() (string, bool) { return p.leader, p.leader != "" }
func (p *onePeer) Watch() <-chan struct{} { return make(chan struct{}) }

func (p *onePeer) Call(context.Context, string, string, []byte) ([]byte, error) {
	p.calls++
	return p.reply, p.err
}

// failing is a leader that fails every request with err.
func failing(err error) onePeer { return onePeer{leader: "b", err: err} }

func remote(code string) error { return &cluster.RemoteError{Code: code} }

// TestOperationToTheLeader: an operation goes to the leader once, and again only while it is certain that nobody
// has taken it. The answer never claims more than this node knows.
func TestOperationToTheLeader(t *testing.T) {
	unsent := &net.OpError{Op: "dial", Err: errors.New("refused")}
	for name, c := range map[string]struct {
		peer     onePeer
		leading  bool
		stopping bool
		withheld bool
		here     bool
		code     wire.Code // of the problem, "" when the leader's reply is the answer or this node leads
		sent     string    // "once", "often", "" for never
	}{
		"this node leads":              {leading: true, here: true},
		"the leader answers":           {peer: onePeer{leader: "b", reply: []byte("done")}, sent: "once"},
		"nobody leads":                 {code: wire.CodeNoLeader},
		"only this node is known":      {peer: onePeer{leader: "a"}, code: wire.CodeNoLeader},
		"the leader has just lost":     {peer: failing(remote(codeNoLeader)), code: wire.CodeNoLeader, sent: "often"},
		"the leader cannot be reached": {peer: failing(unsent), code: wire.CodeNoLeader, sent: "often"},
		"an older leader": {peer: failing(remote(cluster.CodeNoHandler)),
			code: wire.CodeNoLeader, sent: "once"},
		"sent and no answer": {peer: failing(errors.New("reset")),
			code: wire.CodeOutcomeUnknown, sent: "once"},
		"stopping": {leading: true, stopping: true, code: wire.CodeShuttingDown},
		"withheld": {leading: true, withheld: true, code: wire.CodeNotReady},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := c.peer
				l := &toLeader{
					self:     "a",
					timeout:  time.Second,
					log:      slog.New(slog.DiscardHandler),
					peers:    &p,
					apiOf:    func(id string) string { return "https://" + id },
					leading:  func() bool { return c.leading },
					stopping: func() bool { return c.stopping },
					withheld: func() *wire.Problem {
						if c.withheld {
							return wire.NewProblem(wire.CodeNotReady, "")
						}
						return nil
					},
					confirm: func(context.Context) error { return nil },
				}
				answer, here, err := l.ForwardOperation(t.Context(), []byte("op"))
				var problem *wire.Problem
				if errors.As(err, &problem); here != c.here || (problem == nil) != (c.code == "") ||
					problem != nil && problem.Code != c.code {
					t.Fatalf("here %v, %v", here, err)
				}
				if string(answer) != string(p.reply) {
					t.Errorf("the answer is %q", answer)
				}
				switch {
				case c.sent == "" && p.calls != 0, c.sent == "once" && p.calls != 1, c.sent == "often" && p.calls < 2:
					t.Errorf("sent %d times", p.calls)
				}
			})
		})
	}
}

// TestForwardedPack: the reply of the leader becomes a position, and its refusals keep apart what is known not to
// be in a log from what may be.
func TestForwardedPack(t *testing.T) {
	for name, c := range map[string]struct {
		peer  onePeer
		want  propose.LogPosition
		is    error // that the error is, nil for any
		fails bool
	}{
		"position": {peer: onePeer{leader: "b", reply: []byte{7: 9, 11: 3, 19: 4}},
			want: propose.LogPosition{Index: 9, Offset: 3}},
		"sent again": {peer: onePeer{leader: "b", reply: []byte{7: 9, 8: 0x80, 11: 3, 19: 4}},
			want: propose.LogPosition{Index: 9, Offset: 3, Resent: true}},
		"no term":       {peer: onePeer{leader: "b", reply: make([]byte, 12)}, fails: true},
		"long reply":    {peer: onePeer{leader: "b", reply: make([]byte, 21)}, fails: true},
		"nobody leads":  {is: propose.ErrNoLeader, fails: true},
		"this node":     {peer: onePeer{leader: "a"}, is: propose.ErrNoLeader, fails: true},
		"leads no more": {peer: failing(remote(codeNoLeader)), is: propose.ErrNoLeader, fails: true},
		"full queue":    {peer: failing(remote(codeOverloaded)), is: propose.ErrOverloaded, fails: true},
		"short of disk": {peer: failing(remote(codeDisk)), is: errLeaderDisk, fails: true},
		"older leader":  {peer: failing(remote(cluster.CodeNoHandler)), is: propose.ErrNoLeader, fails: true},
		"false facts":   {peer: failing(remote(codeBadFacts)), is: propose.ErrOverloaded, fails: true},
		"lost":          {peer: failing(errors.New("reset")), fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			var index, term uint64
			l := &raftLog{self: "a", log: slog.New(slog.DiscardHandler), peers: &c.peer,
				committed: func(i, in uint64) { index, term = i, in }}
			at, err := l.Forward(t.Context(), []byte("pack"))
			if err == nil && (index != 9 || term != 4) || err != nil && index != 0 {
				t.Errorf("the log heard of entry %d in term %d", index, term)
			}
			if at != c.want || (err != nil) != c.fails || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%+v, %v", at, err)
			}
			if name == "lost" && (errors.Is(err, propose.ErrNoLeader) || errors.Is(err, propose.ErrOverloaded)) {
				t.Errorf("a pack that may be in a log is reported as not proposed: %v", err)
			}
		})
	}
}

// TestProposal: a clock that cannot move log time proposes nothing, and neither does a node that leads no more.
func TestProposal(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		step, propose error
		proposed      bool
		is            error
	}{
		"committed":       {nil, nil, true, nil},
		"clock":           {broken, nil, false, propose.ErrNoLeader},
		"leads no more":   {nil, cluster.ErrNotLeader, true, propose.ErrNoLeader},
		"queue is full":   {nil, cluster.ErrBusy, true, propose.ErrNoLeader},
		"outcome unknown": {nil, cluster.ErrLeadershipLost, true, cluster.ErrLeadershipLost},
	} {
		t.Run(name, func(t *testing.T) {
			proposed := false
			l := &raftLog{
				step: func(context.Context) error { return c.step },
				propose: func(context.Context, []byte) (uint64, error) {
					proposed = true
					return 5, c.propose
				},
			}
			index, err := l.Propose(t.Context(), nil)
			if !errors.Is(err, c.is) || proposed != c.proposed || err == nil && index != 5 {
				t.Errorf("index %d, %v, proposed %v", index, err, proposed)
			}
		})
	}
}

// TestForwardReply: a reply survives its encoding, with every bit of index, offset and term.
func TestForwardReply(t *testing.T) {
	for _, r := range []forwardReply{
		{},
		{propose.LogPosition{Index: 1<<64 - 1, Offset: 1<<31 - 1, Resent: true}, 1<<64 - 1},
		{propose.LogPosition{Index: 1 << 40, Offset: 511}, 7},
	} {
		if got, err := decodeForwardReply(r.encode()); err != nil || got != r {
			t.Errorf("%+v became %+v, %v", r, got, err)
		}
	}
}
