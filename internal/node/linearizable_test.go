package node_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// opInput is a submission of one of the two sets of signed values of an id, or a read.
type opInput struct {
	id    string
	read  bool
	wrong bool // submission: the values that are escalated
	turn  mode // not 0: an activation of another generation
}

// mode selects the outcome that the active generation gives an accepted record.
type mode uint8

const (
	plain    mode = 1
	doubtful mode = 2 // it escalates everything
)

// opOutput has the answer to the caller.
type opOutput struct {
	unknown  bool // a submission that may or may not have been, or may still be, committed
	notFound bool // a read
	conflict bool // a submission of other values than the first
	seq      uint64
	outcome  string // of the first, also for a conflict
}

// register has the state of one id in the ledger. seq is 0 when the first submission had no answer and nothing has
// shown its place yet.
type register struct {
	set   bool
	wrong bool
	seq   uint64
	mode  mode
}

func (r register) outcome() string {
	if r.wrong || r.mode == doubtful {
		return "escalated"
	}
	return "accepted"
}

// tells returns the register after an answer about it, if it can be told so.
func (r register) tells(out opOutput) []any {
	if out.outcome != r.outcome() || r.seq != 0 && r.seq != out.seq {
		return nil
	}
	r.seq = out.seq
	return []any{r}
}

// firstWins is the model of an id: the first outcome stands, a replay and a read repeat it, other values
// conflict with it.
var firstWins = porcupine.NondeterministicModel{
	Init: func() []any { return []any{register{}} },
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byID := map[string][]porcupine.Operation{}
		var turns []porcupine.Operation // concern every id
		for _, op := range history {
			if in := op.Input.(opInput); in.turn != 0 {
				turns = append(turns, op)
			} else {
				byID[in.id] = append(byID[in.id], op)
			}
		}
		var out [][]porcupine.Operation
		for _, ops := range byID {
			out = append(out, append(ops, turns...))
		}
		return out
	},
	Step: func(state, input, output any) []any {
		r, in, out := state.(register), input.(opInput), output.(opOutput)
		first := register{set: true, wrong: in.wrong, mode: r.mode}
		switch {
		case in.turn != 0:
			r.mode = in.turn
			return []any{r}
		case in.read && out.notFound != !r.set:
			return nil
		case in.read && out.notFound:
			return []any{r}
		case in.read:
			return r.tells(out)
		case out.unknown && r.set:
			return []any{r}
		case out.unknown:
			return []any{r, first}
		case !r.set && out.conflict:
			return nil
		case !r.set:
			return first.tells(out)
		case out.conflict != (in.wrong != r.wrong):
			return nil
		}
		return r.tells(out)
	},
	Equal:             func(a, b any) bool { return a == b },
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v -> %+v", in, out) },
}

// history records calls.
type history struct {
	began time.Time
	mu    sync.Mutex
	ops   []porcupine.Operation
	never int // submissions that were not committed, as their callers were told
}

func (h *history) now() int64 { return time.Since(h.began).Nanoseconds() }

func (h *history) add(op porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// submit records a submission. One that the client calls unavailable was not committed, by its word, and is left out: a
// trace of it in any other answer fails the check.
func (h *history) submit(t *testing.T, c *nodetest.Cluster, cl *client.Client, limit time.Duration, worker int,
	r nodetest.Record, body []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	op := porcupine.Operation{ClientId: worker, Input: opInput{id: r.ID(), wrong: r.Wrong}, Call: h.now()}
	a, err := c.Submit(ctx, cl, body)
	op.Return = h.now()
	switch {
	case errors.Is(err, client.ErrUnavailable):
		h.mu.Lock()
		h.never++
		h.mu.Unlock()
		return
	case errors.Is(err, client.ErrOutcomeUnknown):
		op.Output, op.Return = opOutput{unknown: true}, math.MaxInt64
	case err != nil:
		t.Errorf("submit: %v", err)
		return
	case a.Submit != nil:
		op.Output = opOutput{seq: a.Submit.Seq, outcome: a.Submit.Outcome}
	case a.First != nil:
		op.Output = opOutput{conflict: true, seq: a.First.Seq, outcome: a.First.Outcome}
	default:
		t.Errorf("submit: status %d", a.Status)
		return
	}
	h.add(op)
}

// read records a linearizable read at one node; one without an answer says nothing.
func (h *history) read(t *testing.T, cl *client.Client, limit time.Duration, worker int, id string) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	op := porcupine.Operation{ClientId: worker, Input: opInput{id: id, read: true}, Call: h.now()}
	got, err := cl.Get(ctx, id, client.Read{Consistency: wire.ConsistencyLinearizable})
	op.Return = h.now()
	switch {
	case errors.Is(err, client.ErrUnavailable):
		return
	case errors.Is(err, client.ErrNotFound):
		op.Output = opOutput{notFound: true}
	case err != nil:
		t.Errorf("read: %v", err)
		return
	default:
		op.Output = opOutput{seq: got.Seq, outcome: got.Outcome}
	}
	h.add(op)
}

// start makes workers that call without end, until end is called.
func (h *history) start(t *testing.T, c *nodetest.Cluster, workers int) (end func()) {
	f := nodetest.NewRecords(t)
	stop := make(chan struct{})
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 7))
			for {
				select {
				case <-stop:
					return
				default:
				}
				h.step(t, c, f, w, rng)
			}
		})
	}
	return func() {
		close(stop)
		all.Wait()
	}
}

// TestLinearizable: concurrent submissions and reads of few ids, with leaders that stop and return, have an
// order in which the first outcome of each id wins.
func TestLinearizable(t *testing.T) {
	c := nodetest.Start(t, 3)
	h := &history{began: time.Now()}
	end := h.start(t, c, 8)
	for range 2 {
		h.await(c, 150)
		leader := c.Leader()
		c.Stop(leader)
		h.await(c, 80)
		c.Restart(leader)
		c.AwaitReady(leader)
	}
	h.await(c, 150)
	end()
	h.judge(t)
	c.Check()
}

// turn records the activation of another generation.
func (h *history) turn(to mode, activate func()) {
	op := porcupine.Operation{ClientId: 100, Input: opInput{turn: to}, Output: opOutput{}, Call: h.now()}
	activate()
	op.Return = h.now()
	h.add(op)
}

// TestLinearizableRecount: the same across activations and rollbacks: every call is answered by one generation,
// and after the switch none by the old one.
func TestLinearizableRecount(t *testing.T) {
	c := nodetest.Start(t, 3)
	r := newRecounter(t, c)
	h := &history{began: time.Now()}
	end := h.start(t, c, 6)
	h.await(c, 60)
	number := r.start(r.publish("rules: [{when: 'epoch >= 0', then: escalate, reason: all}]\n"))
	for range 2 {
		h.await(c, 60)
		h.turn(doubtful, func() { r.activate(number, r.diff(number).Digest) })
		h.await(c, 60)
		r.await(1)
		h.turn(plain, func() {
			_, err := c.Client.Rollback(r.ctx, wire.RollbackRequest{})
			r.must(err)
		})
		r.await(number)
	}
	h.await(c, 60)
	end()
	h.judge(t)
	sameDigests(t, c, r.ctx)
}

// step makes one random call. The ids in use move on, so that there are always some that nobody has submitted yet.
func (h *history) step(t *testing.T, c *nodetest.Cluster, f *nodetest.Records, worker int, rng *rand.Rand) {
	h.mu.Lock()
	base := len(h.ops) / 12
	h.mu.Unlock()
	r := nodetest.Record{
		Shard:   fmt.Sprintf("id-%d", base+rng.IntN(4)),
		Epoch:   1,
		Root:    "r",
		Wrong:   rng.IntN(2) == 0,
		Attempt: rng.IntN(3),
	}
	cl, limit := c.Client, 3*time.Second
	if rng.IntN(2) == 0 { // one node, perhaps a stopped one
		cl, limit = c.At(rng.IntN(c.Size())), 200*time.Millisecond
	}
	if rng.IntN(5) < 2 {
		h.read(t, cl, limit, worker, r.ID())
		return
	}
	h.submit(t, c, cl, limit, worker, r, f.Sign(r))
}

// await waits for so many more recorded calls.
func (h *history) await(c *nodetest.Cluster, more int) {
	count := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.ops)
	}
	from := count()
	c.Await("calls", func() error {
		if n := count() - from; n < more {
			return fmt.Errorf("%d of %d", n, more)
		}
		return nil
	})
}

func (h *history) judge(t *testing.T) {
	t.Helper()
	unknown := 0
	for _, op := range h.ops {
		if op.Output.(opOutput).unknown {
			unknown++
		}
	}
	t.Logf("%d calls, %d of unknown outcome; %d more were not committed", len(h.ops), unknown, h.never)
	model := firstWins.ToModel()
	for _, ops := range firstWins.Partition(h.ops) {
		if res := porcupine.CheckOperationsTimeout(model, ops, 10*time.Second); res != porcupine.Ok {
			t.Errorf("no order explains the calls (%s):", res)
			for _, op := range ops {
				t.Errorf("  %d..%d worker %d: %s", op.Call, op.Return, op.ClientId,
					model.DescribeOperation(op.Input, op.Output))
			}
		}
	}
}

// TestModel: the model refuses histories that a ledger must not give.
func TestModel(t *testing.T) {
	submit := func(wrong bool, out opOutput, call, ret int64) porcupine.Operation {
		return porcupine.Operation{Input: opInput{id: "a", wrong: wrong}, Output: out, Call: call, Return: ret}
	}
	read := func(out opOutput, call, ret int64) porcupine.Operation {
		return porcupine.Operation{Input: opInput{id: "a", read: true}, Output: out, Call: call, Return: ret}
	}
	turn := func(call, ret int64) porcupine.Operation {
		return porcupine.Operation{Input: opInput{turn: doubtful}, Output: opOutput{}, Call: call, Return: ret}
	}
	good, bad := opOutput{seq: 5, outcome: "accepted"}, opOutput{seq: 6, outcome: "escalated"}
	for name, c := range map[string]struct {
		ok  bool
		ops []porcupine.Operation
	}{
		"replay": {true,
			[]porcupine.Operation{submit(false, good, 1, 2), submit(false, good, 3, 4), read(good, 5, 6)}},
		"conflict": {true,
			[]porcupine.Operation{submit(false, good, 1, 2),
				submit(true, opOutput{conflict: true, seq: 5, outcome: "accepted"}, 3, 4)}},
		"two outcomes": {false, []porcupine.Operation{submit(false, good, 1, 2), submit(true, bad, 1, 2)}},
		"stale read": {false,
			[]porcupine.Operation{submit(false, good, 1, 2), read(opOutput{notFound: true}, 3, 4)}},
		"lost": {false,
			[]porcupine.Operation{submit(false, good, 1, 2),
				submit(false, opOutput{seq: 9, outcome: "accepted"}, 3, 4)}},
		"from nowhere": {false, []porcupine.Operation{read(good, 1, 2)}},
		"turned": {true,
			[]porcupine.Operation{submit(false, good, 1, 2), turn(3, 6),
				read(opOutput{seq: 5, outcome: "escalated"}, 4, 5), read(good, 4, 5)}},
		"turned too late": {false, []porcupine.Operation{submit(false, good, 1, 2), turn(3, 4), read(good, 5, 6)}},
		"turned too early": {false,
			[]porcupine.Operation{submit(false, good, 1, 2), read(opOutput{seq: 5, outcome: "escalated"}, 3, 4),
				turn(5, 6)}},
		"unknown, happened": {true,
			[]porcupine.Operation{submit(false, opOutput{unknown: true}, 1, math.MaxInt64), read(good, 3, 4)}},
		"unknown, late": {true,
			[]porcupine.Operation{submit(false, opOutput{unknown: true}, 1, math.MaxInt64),
				read(opOutput{notFound: true}, 3, 4), read(good, 5, 6)}},
		"unknown, never": {true,
			[]porcupine.Operation{submit(false, opOutput{unknown: true}, 1, math.MaxInt64), submit(true, bad, 3, 4)}},
		"unknown, undone": {false,
			[]porcupine.Operation{submit(false, opOutput{unknown: true}, 1, math.MaxInt64), read(good, 3, 4),
				read(opOutput{notFound: true}, 5, 6)}},
	} {
		if ok := porcupine.CheckOperations(firstWins.ToModel(), c.ops); ok != c.ok {
			t.Errorf("%s: linearizable %t", name, ok)
		}
	}
}
