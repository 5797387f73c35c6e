package reads_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/ledgertest"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/internal/verify/publish"
	"github.com/recount-ledger/recount/wire"
)

// TestFilteredList: a condition selects by what the rows of the list say, those of an earlier time too.
func TestFilteredList(t *testing.T) {
	r := newRecounted(t)
	r.await(func() bool { _, ok, err := r.ledger.Gens.Change(activated); return ok || err != nil })
	view := r.view(api.Read{})
	after := wire.TimeNS(ledgertest.Start.Add(time.Minute).UnixNano())
	for condition, want := range map[string]string{
		`accepted`:                                            "3",
		`outcome == "refused" && shard_id < "c"`:              "4 5",
		`generation == 2 && seq > 4`:                          "5 9",
		`log_time < time("` + after + `")`:                    "3",
		`reason_code == "key_revoked"`:                        "4 5 9",
		`"key_revoked" in reasons && epoch == 1`:              "5 9",
		`key_id == "` + r.key.ID + `" && status == 200`:       "3",
		`pcs_id.startsWith("` + r.ids[late][:10] + `")`:       "4",
		`recomputed_d_hat > nano("1000000")`:                  "",
		`policy.startsWith("` + strings.Repeat("0", 8) + `")`: "",
	} {
		if got := r.seqs(view, api.AuditQuery{Filter: r.condition(condition)}); got != want {
			t.Errorf("%s: %q, want %q", condition, got, want)
		}
	}
	then := api.AuditQuery{Filter: r.condition(`outcome != "refused" && generation == 1`), Then: api.Then{AsOf: activated - 1}}
	if got := r.seqs(view, then); got != "3 4 5" {
		t.Errorf("as of the event before the activation: %q", got)
	}
	if got := r.seqs(view, api.AuditQuery{Filter: r.condition(`outcome == "refused"`), Shard: "a"}); got != "4" {
		t.Errorf("with the shard: %q", got)
	}
}

func (r *recounted) condition(text string) api.Condition {
	r.Helper()
	c, err := r.Views.Condition(text)
	r.must(err)
	return c
}

func (r *recounted) seqs(view api.View, q api.AuditQuery) string {
	r.Helper()
	q.FromSeq, q.Limit = 1, 100
	page, err := view.Audit(r.ctx, q)
	r.must(err)
	var seqs []string
	for _, item := range page.Items {
		seqs = append(seqs, fmt.Sprint(item.Seq))
	}
	return strings.Join(seqs, " ")
}

// TestFilterFields: every field that the language has is one of a row.
func TestFilterFields(t *testing.T) {
	r := newRecounted(t)
	view := r.view(api.Read{})
	for _, f := range publish.RowFields {
		condition := map[verify.Type]string{verify.TypeBool: "%[1]s || !%[1]s", verify.TypeInt: "%[1]s == %[1]s",
			verify.TypeString: "%[1]s == %[1]s", verify.TypeStrings: `!("none" in %[1]s)`}[f.Type]
		if got := r.seqs(view, api.AuditQuery{Filter: r.condition(fmt.Sprintf(condition, f.Name))}); got != "3 4 5 9" {
			t.Errorf("%s: %q", f.Name, got)
		}
	}
	_, err := r.Views.Condition("seq")
	if p := problemOf(err); p.Code != wire.CodeBadRequest || p.Field != "filter" || !strings.Contains(p.Detail, "column 1") {
		t.Errorf("%v", err)
	}
}

// TestGivenAnswers: the history of a record has the first answer and the one that the activation put in its place,
// also before the activation has recorded what it changed.
func TestGivenAnswers(t *testing.T) {
	r := newRecounted(t)
	for _, unrecorded := range []bool{true, false} {
		if !unrecorded {
			r.await(func() bool { _, ok, err := r.ledger.Gens.Change(activated); return ok || err != nil })
		}
		r.gens.unrecorded = unrecorded
		for seq, want := range map[uint64]string{
			early: "accepted ok submitted 1 since 3",
			late:  "accepted ok submitted 1 since 4, refused key_revoked activated 2 since 8 alice",
			wrong: "escalated d_hat_mismatch submitted 1 since 5, refused key_revoked activated 2 since 8 alice",
		} {
			h, err := r.view(api.Read{}).History(r.ctx, r.ids[seq])
			if unrecorded && seq != early && codeOf(err) == "" && err != nil {
				continue // nothing occupies the id now, and what did is not recorded yet
			}
			r.must(err)
			var answers []string
			for _, g := range h.Submissions[0].Answers {
				answers = append(answers, strings.TrimSpace(fmt.Sprintf("%s %s %s %d since %d %s", g.Outcome, g.ReasonCode,
					g.By, g.Generation, g.FromSeq, g.Actor)))
			}
			if got := strings.Join(answers, ", "); got != want || len(h.Submissions) != 1 || h.Submissions[0].Seq != seq ||
				h.Generation != 2 || h.More {
				t.Errorf("event %d: %s\nwant %s", seq, got, want)
			}
		}
	}
	if _, err := r.view(api.Read{}).History(r.ctx, r.ids[revoked]); err == nil {
		t.Error("a record that was always refused has a history")
	}
}

// TestSilentShards: the silence of a shard is counted in log time, up to the newest event.
func TestSilentShards(t *testing.T) {
	r := newRecounted(t) // shard a has event 3, then all others an hour later
	view := r.view(api.Read{Generation: 1})
	silent := func(d time.Duration) string {
		page, err := view.Shards(r.ctx, api.ShardsQuery{Silent: d, Limit: 10})
		r.must(err)
		var ids []string
		for _, s := range page.Items {
			ids = append(ids, s.ShardID)
		}
		return strings.Join(ids, " ")
	}
	if got := silent(time.Second); got != "" {
		t.Errorf("%q are silent, while log time stands", got)
	}
	for range 2 { // one step of log time is an hour at most
		r.ledger.Advance(45 * time.Minute)
		r.ledger.Add(event.RefusalsDropped, &event.RefusalsDroppedV1{Node: ledgertest.Node, Count: 1})
	}
	view = r.view(api.Read{Generation: 1, MinSeq: revoked + 2})
	if got := silent(time.Hour); got != "a b" {
		t.Errorf("%q are silent for an hour", got)
	}
	if got := silent(2 * time.Hour); got != "" {
		t.Errorf("%q are silent for two hours", got)
	}
	first, err := view.Shards(r.ctx, api.ShardsQuery{Silent: time.Hour, Limit: 1})
	if r.must(err); first.Next != "a" || len(first.Items) != 1 {
		t.Errorf("%+v", first)
	}
	rest, err := view.Shards(r.ctx, api.ShardsQuery{Silent: time.Hour, Limit: 1, After: first.Next})
	if r.must(err); rest.Next != "" || len(rest.Items) != 1 {
		t.Errorf("%+v", rest)
	}
}

// TestReplaced: who asks for a dropped generation is told what is active, and where to look back from.
func TestReplaced(t *testing.T) {
	r := newRecounted(t)
	r.await(func() bool { _, ok, err := r.ledger.Gens.Change(activated); return ok || err != nil })
	r.ledger.Add(event.GenerationDropped, &event.GenerationDroppedV1{Generation: 1})
	r.await(func() bool { g, _ := r.ledger.Gens.Get(1); return g == nil })
	err := r.refused(api.Read{Generation: 1})
	const want = "generation 1 is dropped, and generation 2 is active: start the list again without the cursor; " +
		"as_of=7 gives what generation 1 said last"
	if !errors.Is(err, api.ErrGenerationGone) || err.Error() != want {
		t.Errorf("%v", err)
	}
	then := api.AuditQuery{Then: api.Then{AsOf: activated - 1}, Filter: r.condition("accepted")}
	if got := r.seqs(r.view(api.Read{}), then); got != "3 4" {
		t.Errorf("as of the event that it names: %q", got)
	}
}
