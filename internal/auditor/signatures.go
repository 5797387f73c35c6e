package auditor

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
)

// atOnce is the number of submissions whose signatures are checked at once.
const atOnce = 1024

// submitted is a submission, and what its signature facts hide.
type submitted struct {
	seq       uint64
	payload   []byte
	key, what string
	err       error
}

// signatures holds the signature facts in the log against the public keys in it. The fold verifies the key that the
// facts name, and no other. So a ledger could leave out, misname or dispute the key that signed a record, and refuse it.
type signatures struct {
	a     *audit
	keys  *verify.KeySet
	rows  *fsm.View // of the active generation
	next  []submitted
	first *submitted // whose facts are false
	wrong uint64
	early uint64 // in which the key may not have been known yet
}

// signatures looks at every submission.
func (a *audit) signatures(ctx context.Context) error {
	end := a.w.derived.Cursor().Seq
	number, _ := a.w.derived.Control().Active()
	if end == 0 || number == 0 {
		return nil
	}
	g, err := a.w.generation(ctx, number, end)
	if err != nil {
		return err
	}
	s := &signatures{a: a, keys: a.w.derived.Control().PublicKeys(end), rows: g.View()}
	defer s.rows.Close()
	err = each(ctx, a.w.store, end, func(seq uint64, _ int64, ev event.Event) error {
		if ev.Kind != event.Submission {
			return nil
		}
		if s.next = append(s.next, submitted{seq: seq, payload: ev.Payload}); len(s.next) < atOnce {
			return nil
		}
		a.w.tell("signatures", seq, end)
		return s.check()
	})
	if err == nil {
		err = s.check()
	}
	s.report()
	return errors.Join(s.a.w.ofLog(err), s.a.w.failure())
}

// check checks those that wait, on all processors.
func (s *signatures) check() error {
	var all sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for n := range workers {
		all.Go(func() {
			for i := n; i < len(s.next); i += workers {
				s.one(&s.next[i])
			}
		})
	}
	all.Wait()
	for i := range s.next {
		if err := s.count(&s.next[i]); err != nil {
			return err
		}
	}
	s.next = s.next[:0]
	return nil
}

func (s *signatures) one(x *submitted) {
	sub, err := event.DecodeSubmission(x.payload)
	if err != nil {
		x.err = err
		return
	}
	disputed := s.a.w.derived.Control().Disputed(x.seq) != 0
	verified := false
	if !disputed && verify.Alg(sub.Facts.Alg) == verify.Ed25519 {
		row, err := projections.Row(s.rows, x.seq)
		if err != nil {
			x.err = err
			return
		}
		verified = row.KeyID == sub.Facts.KeyID && row.KeyID != ""
	}
	x.key, x.what = projections.FalseFacts(&sub, s.keys, disputed, verified)
}

// count counts a result. A key that is registered later than the event, or shortly before, proves nothing.
func (s *signatures) count(x *submitted) error {
	if x.err != nil || x.what == "" {
		return x.err
	}
	if x.key != "" {
		row, ok := s.a.w.derived.Control().Key(x.key, x.seq)
		if !ok {
			return nil
		}
		it, err := s.a.w.derived.Item(x.seq)
		if err != nil {
			return err
		}
		if it.LogTime < row.LogTime+projections.KeyGrace {
			s.early++
			return nil
		}
	}
	if s.wrong++; s.first == nil {
		first := *x
		s.first = &first
	}
	return nil
}

func (s *signatures) report() {
	if s.first != nil {
		what := s.first.what
		if at := s.a.w.derived.Control().Disputed(s.first.seq); at != 0 {
			what += fmt.Sprintf(". Event %d disputes its signature facts", at)
		}
		if s.wrong > 1 {
			what += fmt.Sprintf(". So it is with %s in all", counted(s.wrong, "record"))
		}
		s.a.r.differ(s.first.seq, s.first.seq, "%s", what)
	}
	if s.early > 0 {
		s.a.r.not("%s that an Ed25519 key signed within ten minutes of its registration: the ledger names no key, and "+
			"its nodes may not have known it", counted(s.early, "record"))
	}
}
