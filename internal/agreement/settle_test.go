package agreement

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// fakeNode is n1 of three voters. What n2 and n3 answer is in others.
type fakeNode struct {
	mine   string
	seq    uint64
	active uint32
	logger string

	quarantined string
}

func (f *fakeNode) Answer(context.Context, Question) ([]byte, error)               { return []byte(f.mine), nil }
func (f *fakeNode) SettleFacts(context.Context, uint64) (settled bool, why string) { return true, "" }
func (f *fakeNode) Head() (generation uint32, seq uint64)                          { return f.active, f.seq }
func (f *fakeNode) Active() uint32                                                 { return f.active }
func (f *fakeNode) LoggedBy(uint64) (string, error)                                { return f.logger, nil }
func (f *fakeNode) Quarantine(reason string)                                       { f.quarantined = reason }
func (f *fakeNode) Quarantined() bool                                              { return f.quarantined != "" }

// doubtsOf returns the doubts of n1 while n2 and n3 answer what others says; a voter that is not in it is down.
func doubtsOf(f *fakeNode, others map[string]string) *Doubts {
	return New(f, &Voters{Self: "n1", IDs: func() []string { return []string{"n1", "n2", "n3"} }, Log: slog.New(slog.DiscardHandler),
		Call: func(_ context.Context, voter, _ string, _ []byte) ([]byte, error) {
			if answer, ok := others[voter]; ok {
				return []byte(answer), nil
			}
			return nil, errors.New("down")
		}})
}

// TestTheMajorityDecides walks a question through what three voters can say.
func TestTheMajorityDecides(t *testing.T) {
	plain := Question{About: Digest, Generation: 1, Seq: 7}
	insists, contrary := plain, plain
	insists.Insist = true
	contrary.Logged, contrary.Carrier = "b", 9
	old := contrary
	old.Generation = 2
	for _, c := range []struct {
		name       string
		q          Question
		others     map[string]string
		logger     string
		open       bool
		suspended  string // a part of the reason
		quarantine string
	}{
		{name: "one says the same", q: plain, others: map[string]string{"n2": "a"}},
		{name: "a majority says the same", q: contrary, others: map[string]string{"n2": "b", "n3": "a"}},
		{
			name:       "both say otherwise",
			q:          plain,
			others:     map[string]string{"n2": "b", "n3": "b"},
			quarantine: "that of 2 of 3",
		},
		{name: "all differ", q: plain, others: map[string]string{"n2": "b", "n3": "c"}, quarantine: "that of 2 of 3"},
		{
			name:      "one says otherwise, one is down",
			q:         plain,
			others:    map[string]string{"n2": "b"},
			open:      true,
			suspended: "[n2]",
		},
		{name: "one cannot tell, one is down", q: plain, others: map[string]string{"n2": ""}},
		{name: "nobody can be asked", q: insists, open: true},
		{
			name:      "the log contradicts, both are down",
			q:         contrary,
			logger:    "n2",
			open:      true,
			suspended: "n2 logged in event 9",
		},
		{name: "the log and another one contradict", q: contrary, logger: "n2", others: map[string]string{"n3": "b"},
			quarantine: "n2 (in the log)"},
		{name: "the log contradicts, of a generation that is not active", q: old},
	} {
		f := &fakeNode{mine: "a", seq: 7, active: 1, logger: c.logger}
		d := doubtsOf(f, c.others)
		d.Raise(c.q)
		if (c.q.Logged != "") != (d.Suspended() != "") {
			t.Errorf("%s: raised, suspended: %q", c.name, d.Suspended())
		}
		d.settle(t.Context(), c.q)
		if got := d.Suspended(); (got == "") != (c.suspended == "") || !strings.Contains(got, c.suspended) {
			t.Errorf("%s: suspended because %q, want %q", c.name, got, c.suspended)
		}
		if got := f.quarantined; (got == "") != (c.quarantine == "") || !strings.Contains(got, c.quarantine) {
			t.Errorf("%s: quarantined because %q, want %q", c.name, got, c.quarantine)
		}
		if (len(d.open) != 0) != c.open {
			t.Errorf("%s: %d questions are open", c.name, len(d.open))
		}
	}
}

// TestAgreeFirst: a node that starts waits for a second one, for a while, and does not serve while one contradicts it.
func TestAgreeFirst(t *testing.T) {
	long := time.Now().Add(-2 * agreeWait)
	for _, c := range []struct {
		name    string
		others  map[string]string
		since   time.Time
		serves  bool
		insists bool
	}{
		{"another one says the same", map[string]string{"n2": "a"}, time.Now(), true, false},
		{"nobody answers yet", nil, time.Now(), false, false},
		{"nobody has answered for long", nil, long, true, true},
		{"another one contradicts", map[string]string{"n2": "b"}, long, false, false},
	} {
		d := doubtsOf(&fakeNode{mine: "a", seq: 7, active: 1}, c.others)
		if err := d.AgreeFirst(t.Context(), c.since); (err == nil) != c.serves || d.Insists() != c.insists {
			t.Errorf("%s: %v, insists %v", c.name, err, d.Insists())
		}
	}
	if err := doubtsOf(&fakeNode{mine: "a"}, nil).AgreeFirst(t.Context(), time.Now()); err != nil {
		t.Errorf("an empty node has nothing to compare: %v", err)
	}
}

// TestRequests: every question is read as it was written, and nothing else is.
func TestRequests(t *testing.T) {
	for path, q := range map[string]Question{
		DigestPath:  {About: Digest, Generation: 3, Seq: 1 << 40},
		FactsPath:   {About: Facts, Seq: 5},
		HistoryPath: {About: History, Seq: 6},
	} {
		p, body := q.Request()
		got, err := ParseRequest(q.About, body)
		if p != path || err != nil || got != q {
			t.Errorf("%s: %s, %v, %v", q, p, got, err)
		}
		if _, err := ParseRequest(q.About, body[1:]); err == nil {
			t.Errorf("%s: a short body was read", q)
		}
	}
}
