package agreement

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestQuestions: path and body of every question, which other releases read, and its name in words.
func TestQuestions(t *testing.T) {
	for _, c := range []struct {
		q          Question
		path, body string
		words      string
	}{
		{Question{About: Digest, Generation: 3, Seq: 0x0102}, DigestPath, "\x00\x00\x00\x00\x00\x00\x01\x02\x00\x00\x00\x03",
			"the digest at event 258"},
		{Question{About: Facts, Seq: 7}, FactsPath, "\x00\x00\x00\x00\x00\x00\x00\x07", "the signature facts of event 7"},
		{Question{About: History, Seq: 8}, HistoryPath, "\x00\x00\x00\x00\x00\x00\x00\x08",
			"what changed at the activation at 8"},
	} {
		path, body := c.q.Request()
		if path != c.path || string(body) != c.body || c.q.String() != c.words {
			t.Errorf("%+v: %s %x %q", c.q, path, body, c.q.String())
		}
		if back, err := ParseRequest(c.q.About, body); err != nil || back != c.q {
			t.Errorf("%+v comes back as %+v, %v", c.q, back, err)
		}
		for _, bad := range []string{"", c.body[1:], c.body + "\x00"} {
			if _, err := ParseRequest(c.q.About, []byte(bad)); err == nil {
				t.Errorf("%s: a request of %d bytes", path, len(bad))
			}
		}
		contrary := c.q
		contrary.Logged, contrary.Carrier, contrary.Insist = "b", 9, true
		if p, b := contrary.Request(); p != path || !slices.Equal(b, body) {
			t.Errorf("what the log says is asked of others: %s %x", p, b)
		}
		if why := contrary.doubted(); !strings.Contains(why, c.words) || !strings.Contains(why, "in event 9") ||
			c.q.doubted() != "" {
			t.Errorf("%q", why)
		}
	}
}

// cluster holds the answers of the other voters, and counts how often each was asked.
type cluster struct {
	mu    sync.Mutex
	says  map[string]string // a voter that is not in it hangs until the question is given up
	asked map[string]int
}

func (c *cluster) voters(ids ...string) *Voters {
	return &Voters{Self: "n1", IDs: func() []string { return append([]string{"n1"}, ids...) }, Log: slog.New(slog.DiscardHandler),
		Call: func(ctx context.Context, voter, _ string, _ []byte) ([]byte, error) {
			c.mu.Lock()
			c.asked[voter]++
			answer, ok := c.says[voter]
			c.mu.Unlock()
			if answer == "down" {
				return nil, errors.New("down")
			}
			if !ok {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return []byte(answer), nil
		}}
}

func (c *cluster) say(voter, answer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.says[voter] = answer
}

// TestPoll: a poll ends with the first majority, also while others hang, and never counts silence.
func TestPoll(t *testing.T) {
	for _, c := range []struct {
		name    string
		mine    string
		says    map[string]string
		ids     []string
		by      map[string]int
		decided bool // before the end of its time
	}{
		{"alone", "a", nil, nil, map[string]int{"a": 1}, true},
		{"one more is enough", "a", map[string]string{"n2": "a"}, []string{"n2", "n3"}, map[string]int{"a": 2}, true},
		{"a majority against this node", "a", map[string]string{"n2": "b", "n3": "b"}, []string{"n2", "n3"},
			map[string]int{"a": 1, "b": 2}, true},
		{"this node cannot tell", "", map[string]string{"n2": "b", "n3": "b"}, []string{"n2", "n3"}, map[string]int{"b": 2}, true},
		{"nobody can tell", "", map[string]string{"n2": "", "n3": ""}, []string{"n2", "n3"}, map[string]int{}, true},
		{"all are down", "a", map[string]string{"n2": "down", "n3": "down"}, []string{"n2", "n3"}, map[string]int{"a": 1}, true},
		{"two of five, the others hang", "a", map[string]string{"n2": "a"}, []string{"n2", "n3", "n4", "n5"},
			map[string]int{"a": 2}, false},
		{"three of five, the others hang", "a", map[string]string{"n2": "a", "n4": "a"}, []string{"n2", "n3", "n4", "n5"},
			map[string]int{"a": 3}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				others := &cluster{says: c.says, asked: map[string]int{}}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				votes := others.voters(c.ids...).Poll(ctx, Question{About: Facts, Seq: 1}, c.mine)
				got := map[string]int{}
				for answer, voters := range votes.By {
					got[answer] = len(voters)
				}
				if len(got) != len(c.by) {
					t.Errorf("%v, want %v", got, c.by)
				}
				for answer, n := range c.by {
					if got[answer] != n {
						t.Errorf("%v, want %v", got, c.by)
					}
				}
				if early := time.Since(began) < time.Minute; early != c.decided {
					t.Errorf("it took %s", time.Since(began))
				}
			})
		})
	}
}

// TestVotes: who says otherwise, who has said anything, and how many are a majority.
func TestVotes(t *testing.T) {
	v := Votes{By: map[string][]string{"a": {"n1", "n2"}, "b": {"n4"}}}
	if got := v.Contrary("a"); !slices.Equal(got, []string{"n4"}) {
		t.Errorf("against a: %v", got)
	}
	if got := v.Contrary("c"); len(got) != 3 {
		t.Errorf("against c: %v", got)
	}
	if !v.answered("n2") || !v.answered("n4") || v.answered("n3") || (Votes{}).answered("n1") {
		t.Error("who has answered")
	}
	for n, want := range map[int]int{1: 1, 2: 2, 3: 2, 4: 3, 5: 3} {
		if got := (&Voters{IDs: func() []string { return make([]string, n) }}).Majority(); got != want {
			t.Errorf("%d of %d are a majority", got, n)
		}
	}
}

// TestRun: a question that suspends the node is asked again and again until a majority has answered. Then the node
// answers again, and nobody is asked any more until there is a new question, which is asked at once.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		others := &cluster{says: map[string]string{"n2": "b", "n3": "down"}, asked: map[string]int{}}
		d := New(&fakeNode{mine: "a", seq: 7, active: 1}, others.voters("n2", "n3"))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		count := func() int {
			others.mu.Lock()
			defer others.mu.Unlock()
			return others.asked["n2"]
		}
		time.Sleep(time.Minute)
		if count() != 0 {
			t.Errorf("asked %d times about nothing", count())
		}
		if !d.RaiseFolded(Question{About: Digest, Generation: 1, Seq: 7}) {
			t.Error("the question is not open")
		}
		synctest.Wait()
		if count() != 1 || d.Suspended() == "" {
			t.Errorf("asked %d times at once, suspended: %q", count(), d.Suspended())
		}
		time.Sleep(10 * askPause)
		if n := count(); n < 10 || n > 12 || d.Rounds() < uint64(n) {
			t.Errorf("asked %d times in ten pauses, %d rounds", n, d.Rounds())
		}
		others.say("n3", "a")
		time.Sleep(askPause)
		synctest.Wait()
		before := count()
		time.Sleep(time.Minute)
		if d.Suspended() != "" || count() != before {
			t.Errorf("suspended: %q, asked %d times after the end", d.Suspended(), count()-before)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestRunGivesUpOnSilence: voters that hang hold up a round for a bounded time, and no other question.
func TestRunGivesUpOnSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		others := &cluster{says: map[string]string{}, asked: map[string]int{}}
		d := New(&fakeNode{mine: "a", seq: 7, active: 1}, others.voters("n2", "n3"))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		d.Raise(Question{About: Digest, Generation: 1, Seq: 7, Insist: true})
		d.Raise(Question{About: Digest, Generation: 1, Seq: 8})
		time.Sleep(AskTimeout + askPause/2)
		if !d.Insists() || d.Suspended() != "" || d.Rounds() == 0 {
			t.Errorf("insists %v, suspended %q, %d rounds", d.Insists(), d.Suspended(), d.Rounds())
		}
		cancel()
		<-ended
	})
}

// TestOwnAnswerIsMissing: a node that cannot tell what it has asks nobody. It stays suspended when the log
// contradicts it, until it can tell and has what the log has.
func TestOwnAnswerIsMissing(t *testing.T) {
	f := &fakeNode{seq: 7, active: 1, logger: "n2"}
	d := doubtsOf(f, map[string]string{"n2": "b", "n3": "b"})
	plain := Question{About: Digest, Generation: 1, Seq: 7}
	contrary := plain
	contrary.Logged, contrary.Carrier = "b", 9
	d.Raise(plain)
	d.settle(t.Context(), plain)
	if len(d.open) != 0 || d.Suspended() != "" {
		t.Errorf("a plain question: %d are open, %q", len(d.open), d.Suspended())
	}
	d.Raise(contrary)
	d.settle(t.Context(), contrary)
	if len(d.open) != 1 || d.Suspended() == "" || f.quarantined != "" {
		t.Errorf("the log contradicts: %d are open, %q, quarantined %q", len(d.open), d.Suspended(), f.quarantined)
	}
	f.mine = "b" // folded again, and right now
	d.settle(t.Context(), contrary)
	if len(d.open) != 0 || d.Suspended() != "" {
		t.Errorf("folded again: %d are open, %q", len(d.open), d.Suspended())
	}
}

// TestLoggerTakesItBack: what the voter that logged a value says now goes before what it logged.
func TestLoggerTakesItBack(t *testing.T) {
	q := Question{About: Digest, Generation: 1, Seq: 7, Logged: "b", Carrier: 9}
	for _, c := range []struct {
		name, logger string
		others       map[string]string
		quarantined  bool
		suspended    bool
	}{
		{"it says so still, one is down", "n2", map[string]string{"n2": "b"}, false, true},
		{"it says so still, another one too", "n2", map[string]string{"n2": "b", "n3": "b"}, true, false},
		{"it says something else now", "n2", map[string]string{"n2": "c"}, false, true},
		{"it is down and another one says so", "n2", map[string]string{"n3": "b"}, true, false},
		{"nobody knows who logged it", "", map[string]string{"n3": "b"}, false, true},
		{"it has what this node has", "n2", map[string]string{"n2": "a"}, false, false},
	} {
		f := &fakeNode{mine: "a", seq: 7, active: 1, logger: c.logger}
		d := doubtsOf(f, c.others)
		d.Raise(q)
		d.settle(t.Context(), q)
		if (f.quarantined != "") != c.quarantined || (d.Suspended() != "") != c.suspended {
			t.Errorf("%s: quarantined %q, suspended %q", c.name, f.quarantined, d.Suspended())
		}
	}
}

// TestOvertaken: a generation that is not active any more suspends nobody, whatever the log has of it. What is no
// digest belongs to no generation.
func TestOvertaken(t *testing.T) {
	d := doubtsOf(&fakeNode{active: 2}, nil)
	d.RaiseFolded(Question{About: Digest, Generation: 1, Seq: 7, Logged: "b", Carrier: 9})
	if d.Suspended() != "" || len(d.open) != 1 {
		t.Errorf("an old generation: %q, %d are open", d.Suspended(), len(d.open))
	}
	d.RaiseFolded(Question{About: History, Seq: 7, Logged: "b", Carrier: 9})
	if d.Suspended() == "" || d.Dropped() != 0 {
		t.Errorf("the history: %q", d.Suspended())
	}
}
