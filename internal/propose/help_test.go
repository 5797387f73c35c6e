package propose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/recount-ledger/recount/internal/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is one log shared by a few nodes, of which at most one leads. Committing and folding are one step.
type world struct {
	mu      sync.Mutex
	nodes   []*fakeLog
	leader  int // -1: none
	changed chan struct{}
	packs   []event.Pack // entry i has index i+1
	folded  chan struct{}
}

func newWorld(nodes int) *world {
	w := &world{changed: make(chan struct{}), folded: make(chan struct{})}
	for i := range nodes {
		w.nodes = append(w.nodes, &fakeLog{w: w, id: i})
	}
	return w
}

func (w *world) elect(id int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leader = id
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *world) entries() []event.Pack {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]event.Pack(nil), w.packs...)
}

// outcomes gives "payload text @ index" for each event of an entry.
func (w *world) outcomes(_ context.Context, index uint64) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if index == 0 || index > uint64(len(w.packs)) {
		return nil, errors.New("no such entry")
	}
	var out []string
	for _, e := range w.packs[index-1].Events {
		out = append(out, fmt.Sprintf("%s@%d", e.Payload[event.SaltSize:], index))
	}
	return out, nil
}

// fakeLog is consensus as one node sees it. before and after run around the commit of an entry, and their errors are
// those of Propose: after after, the entry is in the log all the same.
type fakeLog struct {
	w      *world
	id     int
	packer *Packer[string]

	mu            sync.Mutex
	before, after func(context.Context) error
	forward       func(context.Context) error
	forwards      int
	tried         []int // events of each pack that was proposed, or was tried to be
}

func (l *fakeLog) IsLeader() bool {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.leader == l.id
}

func (l *fakeLog) Changed() <-chan struct{} {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.changed
}

func (l *fakeLog) set(before, after, forward func(context.Context) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before, l.after, l.forward = before, after, forward
}

func (l *fakeLog) hooks() (before, after, forward func(context.Context) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.before, l.after, l.forward
}

func run(ctx context.Context, hook func(context.Context) error) error {
	if hook == nil {
		return nil
	}
	return hook(ctx)
}

func (l *fakeLog) Propose(ctx context.Context, entry []byte) (uint64, error) {
	before, after, _ := l.hooks()
	n, _, _ := event.PeekCount(entry)
	l.mu.Lock()
	l.tried = append(l.tried, n)
	l.mu.Unlock()
	if err := run(ctx, before); err != nil {
		return 0, err
	}
	pack, err := event.DecodePack(entry)
	if err != nil {
		return 0, err
	}
	again := event.Pack{ProposedAt: 7, Events: pack.Events}
	if again.Mark(); !bytes.Equal(again.Append(nil), entry) {
		return 0, errors.New("not the bytes of its events encoded again")
	}
	l.w.mu.Lock()
	if l.w.leader != l.id {
		l.w.mu.Unlock()
		return 0, ErrNoLeader
	}
	l.w.packs = append(l.w.packs, pack)
	index := uint64(len(l.w.packs))
	l.w.mu.Unlock()
	return index, run(ctx, after)
}

func (l *fakeLog) Forward(ctx context.Context, entry []byte) (LogPosition, error) {
	_, _, forward := l.hooks()
	l.mu.Lock()
	l.forwards++
	l.mu.Unlock()
	if err := run(ctx, forward); err != nil {
		return LogPosition{}, err
	}
	run, _, err := event.DecodeRun(entry)
	if err != nil {
		return LogPosition{}, err
	}
	l.w.mu.Lock()
	leader := l.w.leader
	l.w.mu.Unlock()
	if leader < 0 || leader == l.id {
		return LogPosition{}, ErrNoLeader
	}
	return l.w.nodes[leader].packer.Accept(ctx, run)
}

func (l *fakeLog) forwarded() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.forwards
}

func (l *fakeLog) attempts() []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.tried)
}

const deadline = time.Second

func (w *world) start(maxQueue int) {
	for _, n := range w.nodes {
		n.packer = New(Options[string]{Log: n, Outcomes: w.outcomes, Now: func() int64 { return 7 }, MaxQueue: maxQueue, Deadline: deadline})
	}
}

func (w *world) stop() {
	var wg sync.WaitGroup
	for _, n := range w.nodes {
		wg.Go(n.packer.Close)
	}
	wg.Wait()
}

// bubble runs f with fake time and a world of some nodes, of which node 0 leads.
func bubble(t *testing.T, nodes, maxQueue int, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(nodes)
		w.start(maxQueue)
		defer w.stop()
		f(t, w)
	})
}

// gate blocks proposals until it is opened or their context ends.
func gate(l *fakeLog) (open func()) {
	ch := make(chan struct{})
	l.set(func(ctx context.Context) error {
		select {
		case <-ch:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, nil, nil)
	return func() { close(ch) }
}

func submission(text string) event.Event {
	return event.Event{Kind: event.Submission, Payload: append(make([]byte, event.SaltSize), text...)}
}

func sized(n int) event.Event {
	return event.Event{Kind: event.Submission, Payload: make([]byte, n)}
}

// call is a submission in progress.
type call struct {
	text string
	out  string
	at   LogPosition
	err  error
	done chan struct{}
}

func submit(ctx context.Context, p *Packer[string], text string) *call {
	c := &call{text: text, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.out, c.at, c.err = one(p.Submit(ctx, submission(text)))
	}()
	return c
}

// good waits for the call and checks that the outcome is its own.
func (c *call) good(t *testing.T, w *world) {
	t.Helper()
	<-c.done
	if want := fmt.Sprintf("%s@%d", c.text, c.at.Index); c.err != nil || c.out != want {
		t.Fatalf("%s: outcome %q at %+v, %v", c.text, c.out, c.at, c.err)
	}
	got := w.entries()[c.at.Index-1].Events[c.at.Offset].Payload[event.SaltSize:]
	if string(got) != c.text {
		t.Fatalf("%s: the place %+v holds %q", c.text, c.at, got)
	}
}

// fails waits for the call and checks that its error is want and nothing else.
func fails(t *testing.T, err, want error) {
	t.Helper()
	for _, e := range []error{ErrOverloaded, ErrNoLeader, ErrUnknown, ErrClosed} {
		if errors.Is(err, e) != (e == want) {
			t.Errorf("got %v, want just %v", err, want)
		}
	}
}

func sizes(w *world) []int {
	var out []int
	for _, p := range w.entries() {
		out = append(out, len(p.Events))
	}
	return out
}

// one takes the single outcome of a group of one event.
func one(outcomes []string, at LogPosition, err error) (string, LogPosition, error) {
	if err != nil {
		return "", at, err
	}
	return outcomes[0], at, nil
}
