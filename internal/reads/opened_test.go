package reads_test

import (
	"testing"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/reads"
	"github.com/recount-ledger/recount/internal/recount"
)

// overtaken serves a former generation once, as to a view that is opened during an activation.
type overtaken struct {
	reads.Generations
	former *recount.Running
}

func (o *overtaken) Serving() *recount.Running {
	if former := o.former; former != nil {
		o.former = nil
		return former
	}
	return o.Generations.Serving()
}

// TestViewOpenedDuringActivation: a view that meets an activation while it is opened is one of the new generation.
func TestViewOpenedDuringActivation(t *testing.T) {
	r := newRecounted(t)
	former, _ := r.ledger.Gens.Get(1)
	r.must(former.WaitSeq(r.ctx, revoked))
	r.Views.Generations = &overtaken{Generations: r.gens, former: former}
	if at := r.view(api.Read{}).Position(); at.Generation != 2 {
		t.Errorf("%+v", at)
	}
}
