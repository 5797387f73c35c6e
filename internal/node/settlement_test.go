package node

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/agreement"
	"github.com/recount-ledger/recount/internal/event"
)

// court is a settlement of node a with the voters b and c, which find what the test says. It keeps what is logged.
type court struct {
	*settlement
	logged []*event.FactsDisputedV1
	told   []string
}

func newCourt(t *testing.T, mine string, others map[string]string, can ...string) *court {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	c := &court{}
	c.settlement = &settlement{
		self: "a",
		log:  quiet,
		voters: &agreement.Voters{
			Self: "a",
			IDs:  func() []string { return []string{"a", "b", "c"} },
			Log:  quiet,
			Call: func(_ context.Context, voter, _ string, _ []byte) ([]byte, error) {
				finding, ok := others[voter]
				if !ok {
					return nil, errors.New("down")
				}
				return []byte(finding), nil
			},
		},
		releases: newReleases(func() []string { return []string{"a", "b", "c"} }, func(context.Context, string) (place, error) {
			return place{Capabilities: can}, nil
		}),
		quarantine: &quarantine{dir: t.TempDir(), log: quiet},
		control:    fixedControl{disputed: map[uint64]uint64{9: 12}},
		own:        func(uint64) (string, error) { return mine, nil },
		keyOf:      func(uint64) string { return "key hmac-1" },
		news: func(_ agreement.Question, cause string) bool {
			c.told = append(c.told, cause)
			return true
		},
		leads: func() bool { return true },
		commit: func(_ context.Context, _ event.Kind, m proto.Message) error {
			c.logged = append(c.logged, m.(*event.FactsDisputedV1))
			return nil
		},
	}
	return c
}

// TestSettlement: a majority decides whether the facts of an event hold. What it finds false is logged, a node that
// contradicts it is quarantined, and without a majority only a node that contradicts the log is suspended.
func TestSettlement(t *testing.T) {
	bothTrue := map[string]string{"b": factsTrue, "c": factsTrue}
	bothFalse := map[string]string{"b": factsFalse, "c": factsFalse}
	for name, c := range map[string]struct {
		mine        string
		others      map[string]string
		settled     bool
		quarantined bool
		suspended   bool
		against     []string // voters in the event that is logged
	}{
		"all find them true": {mine: factsTrue, others: bothTrue, settled: true},
		"one bad voter": {mine: factsTrue, others: map[string]string{"b": factsFalse, "c": factsTrue},
			settled: true},
		"this node is wrong":   {mine: factsFalse, others: bothTrue, settled: true, quarantined: true},
		"this node hides them": {mine: factsTrue, others: bothFalse, settled: true, quarantined: true},
		"the event is bad": {mine: factsFalse, others: map[string]string{"c": factsFalse},
			against: []string{"a", "c"}},
		"bad, and no secret":    {others: bothFalse, against: []string{"b", "c"}},
		"true, and no secret":   {others: bothTrue, settled: true},
		"nobody can be asked":   {mine: factsFalse, suspended: true},
		"nobody has the secret": {mine: factsFalse, others: map[string]string{"b": "", "c": ""}, suspended: true},
		"one against one":       {mine: factsFalse, others: map[string]string{"b": factsTrue}, suspended: true},
		"one against the log":   {mine: factsTrue, others: map[string]string{"b": factsFalse}, settled: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newCourt(t, c.mine, c.others, event.FactsDisputed.Capability())
			settled, why := s.settle(t.Context(), 7)
			if settled != c.settled || (why != "") != c.suspended || s.quarantine.entered() != c.quarantined {
				t.Errorf("settled %v, suspended %q, quarantine %v", settled, why, s.quarantine.check())
			}
			if c.suspended && !strings.Contains(why, "key hmac-1") {
				t.Errorf("the reason names no key: %s", why)
			}
			if len(s.logged) != min(1, len(c.against)) {
				t.Fatalf("logged %v", s.logged)
			}
			for _, m := range s.logged {
				if m.Seq != 7 || m.Node != "a" || !slices.Equal(m.Voters, c.against) {
					t.Errorf("logged %v", m)
				}
			}
		})
	}
}

// TestWhoLogsADispute: a dispute is logged by the leader, once, when every voter can read it.
func TestWhoLogsADispute(t *testing.T) {
	bad := map[string]string{"b": factsFalse, "c": factsFalse}
	can := event.FactsDisputed.Capability()
	for name, c := range map[string]struct {
		seq     uint64
		can     []string
		change  func(c *court)
		settled bool
		told    []string
	}{
		"a follower": {seq: 7, can: []string{can}, change: func(c *court) {
			c.leads = func() bool { return false }
		}},
		"disputed before": {seq: 9, can: []string{can}, settled: true},
		"an older voter":  {seq: 7, told: []string{"a"}},
		"not committed": {seq: 7, can: []string{can}, told: []string{"not logged"}, change: func(c *court) {
			c.commit = func(context.Context, event.Kind, proto.Message) error { return errors.New("lost the lead") }
		}},
		"unreadable event": {seq: 7, can: []string{can}, settled: true, change: func(c *court) {
			c.own = func(uint64) (string, error) { return "", errors.New("no such event") }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newCourt(t, "", bad, c.can...)
			if c.change != nil {
				c.change(s)
			}
			settled, why := s.settle(t.Context(), c.seq)
			if settled != c.settled || why != "" || len(s.logged) > 0 || !slices.Equal(s.told, c.told) {
				t.Errorf("settled %v, %q, logged %v, told %q", settled, why, s.logged, s.told)
			}
		})
	}
}
