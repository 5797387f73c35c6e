package pgscript

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/pgtest"
	"github.com/recount-ledger/recount/wire"
)

// ledger is a cluster whose audit list a database keeps.
type ledger struct {
	t   *testing.T
	ctx context.Context
	c   *nodetest.Cluster
	f   *nodetest.Records
	pg  *pgtest.Server
}

func newLedger(t *testing.T) *ledger {
	t.Helper()
	pg := pgtest.Start(t)
	pg.MustRun(Schema)
	pg.MustRun(Schema) // may be given again
	return &ledger{t, t.Context(), nodetest.Start(t, 1), nodetest.NewRecords(t), pg}
}

func (l *ledger) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// send submits records, of whatever answer.
func (l *ledger) send(records ...nodetest.Record) {
	l.t.Helper()
	for _, r := range records {
		_, err := l.c.Submit(l.ctx, l.c.Client, l.f.Sign(r))
		l.must(err)
	}
}

// cursor returns the position up to which the tables are filled.
func (l *ledger) cursor() Cursor {
	l.t.Helper()
	c, err := ParseCursor(strings.Join(l.pg.Ask("select generation,seq from recount_cursor"), ""))
	l.must(err)
	return c
}

// feed is one of this ledger that goes on where the tables are.
func (l *ledger) feed(to io.Writer) *Feed {
	l.t.Helper()
	v, err := l.c.Client.Version(l.ctx)
	l.must(err)
	return &Feed{Source: l.c.Client, To: to, Cluster: v.ClusterID, After: l.cursor(), Timeout: nodetest.SubmitTimeout, Said: l.t.Logf}
}

// script brings the tables to the end of the log.
func (l *ledger) script(tune ...func(*Feed)) string {
	l.t.Helper()
	var out bytes.Buffer
	f := l.feed(&out)
	for _, change := range tune {
		change(f)
	}
	l.must(f.Run(l.ctx))
	return out.String()
}

// start builds a generation under a policy.
func (l *ledger) start(document string) uint32 {
	l.t.Helper()
	p, err := l.c.Client.PublishPolicy(l.ctx, wire.PolicyRequest{Document: document})
	l.must(err)
	g, err := l.c.Client.StartGeneration(l.ctx, wire.GenerationRequest{Policy: p.ID})
	l.must(err)
	l.c.Await("the generation is built", func() error {
		got, err := l.c.Client.Generation(l.ctx, g.Generation)
		if err == nil && (got.Reported < l.c.Size() || !got.Agree) {
			err = fmt.Errorf("%+v", got)
		}
		return err
	})
	return g.Generation
}

// recount activates a policy for all of the log and says how many submissions it flips.
func (l *ledger) recount(document string) uint64 {
	l.t.Helper()
	number := l.start(document)
	d, err := l.c.Client.Diff(l.ctx, number, 0)
	l.must(err)
	_, err = l.c.Client.Activate(l.ctx, number, wire.ActivateRequest{Diff: d.Digest})
	l.must(err)
	return d.Flips
}

const everyColumn = "seq, outcome, accepted, generation, status, reason_code, coalesce(pcs_id,''), coalesce(shard_id,''), coalesce(epoch,0), " +
	"coalesce(key_id,''), node, coalesce(request_id,''), coalesce(recomputed_d_hat::text,''), policy, evidence, coalesce(first_seq,0), " +
	"to_char(received_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), to_char(log_time at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), reason"

// answerAndWhole returns the members of a row that everybody may see, outcome and accepted, and all of its members.
func answerAndWhole(i *wire.AuditItem) (answer, whole string) {
	dHat := ""
	if i.RecomputedDHat != nil {
		dHat = i.RecomputedDHat.String()
	}
	answer = fmt.Sprintf("%d|%s|%.1s", i.Seq, i.Outcome, fmt.Sprint(i.Accepted))
	return answer, fmt.Sprintf("%s|%d|%d|%s|%s|%s|%d|%s|%s|%s|%s|%s|%.1s|%d|%s|%s|%s", answer, i.Generation, i.Status, i.ReasonCode, i.PCSID, i.ShardID, i.Epoch, i.KeyID,
		i.Node, i.RequestID, dHat, i.Policy, fmt.Sprint(i.Evidence), i.FirstSeq, i.ReceivedAt[:26], i.LogTime[:26], i.Reason)
}

// same compares the tables with the audit list: every row has the outcome of the generation that answers, and those that it
// wrote are as it says them to the letter. It returns how many those are.
func (l *ledger) same(when string) (whole int) {
	l.t.Helper()
	var want, wantAnswers []string
	for i, err := range l.c.Client.Audit(l.ctx, client.AuditQuery{}) {
		l.must(err)
		answer, all := answerAndWhole(&i)
		want, wantAnswers = append(want, all), append(wantAnswers, answer)
	}
	got := l.pg.Ask("select " + everyColumn + " from recount_audit order by seq")
	if len(got) != len(want) || len(got) == 0 {
		l.t.Fatalf("%s: %d rows, want %d", when, len(got), len(want))
	}
	active := l.cursor().Generation
	for i := range got {
		columns := strings.SplitN(got[i], "|", 5)
		if answer := strings.Join(columns[:3], "|"); answer != wantAnswers[i] {
			l.t.Errorf("%s: %s, the ledger says %s", when, answer, wantAnswers[i])
		}
		if columns[3] != fmt.Sprint(active) {
			continue
		}
		if whole++; got[i] != want[i] {
			l.t.Errorf("%s:\n%s, the ledger says\n%s", when, got[i], want[i])
		}
	}
	return whole
}

// TestPostgres keeps a database beside a ledger: through batches, an activation, a rollback, and a generation that is gone when
// the database asks again. The statement of an incident runs as it was printed before there was a ledger.
func TestPostgres(t *testing.T) {
	l := newLedger(t)
	_, err := l.c.Client.AddKnownShards(l.ctx, wire.KnownShardsRequest{Patterns: []string{"alpha", "lab-*"}})
	l.must(err)
	for i := range int64(7) {
		l.send(nodetest.Record{Shard: "alpha", Epoch: i + 1}, nodetest.Record{Shard: fmt.Sprintf("lab-%d", i), Epoch: math.MaxInt64 - i},
			nodetest.Record{Shard: "wild", Epoch: i + 1, Wrong: true}, nodetest.Record{Shard: "alpha2", Epoch: 1, Forged: true, Attempt: int(i)})
	}
	l.send(nodetest.Record{Shard: "alpha", Epoch: 1}, nodetest.Record{Shard: "alpha", Epoch: 1, Near: true}, nodetest.Record{Shard: "alpha", Epoch: 3, Bare: true, Root: "x"})
	_, err = l.c.Client.Submit(l.ctx, []byte("{")) // names no record at all
	if err == nil {
		t.Fatal("half a record was accepted")
	}
	script := l.script(func(f *Feed) { f.batch = 5 })
	if n := strings.Count(script, loadSQL); n < 5 {
		t.Errorf("%d batches", n)
	}
	l.pg.MustRun(script)
	if n := l.same("at first"); n < 30 {
		t.Errorf("%d rows are those of the generation that answers", n)
	}
	if got := l.pg.Ask("select max(epoch), count(epoch) from audit_log"); got[0] != fmt.Sprintf("%d|30", int64(math.MaxInt64)) {
		t.Errorf("epochs: %v", got)
	}
	l.incident(2)
	if out, err := l.pg.Run(script); err == nil || !strings.Contains(out, "recount_cursor is at generation 1 seq") {
		t.Errorf("loaded twice: %v: %s", err, out)
	}
	if flips := l.recount("params: {tol_d: \"9\"}\n"); flips == 0 {
		t.Fatal("the recount flips nothing")
	}
	l.send(nodetest.Record{Shard: "alpha", Epoch: 20})
	l.pg.MustRun(l.script(), "-1")
	if n := l.same("after the activation"); n != 8 {
		t.Errorf("%d rows were written by the new generation", n)
	}
	_, err = l.c.Client.Rollback(l.ctx, wire.RollbackRequest{})
	l.must(err)
	l.pg.MustRun(l.script())
	l.same("after the rollback")
	l.recount("params: {tol_d: \"9\"}\nversions: [\"0.1\", \"0.2\"]\n")
	l.recount("params: {tol_d: \"0.000000001\"}\n") // generation 1 is gone now
	script = l.script()
	l.pg.MustRun(script)
	if n := l.same("two recounts later"); n < 30 {
		t.Errorf("%d rows of %d were read again", n, 33)
	}
	if got := l.cursor().Generation; got != 4 {
		t.Errorf("the cursor is at generation %d", got)
	}
	l.pg.MustRun(l.script(func(f *Feed) { f.Full = true }))
	l.same("read again in full")
}

// incident runs the statement as it is printed: it finds the submissions of shards that nobody registered, like the ledger's own list.
func (l *ledger) incident(shards int) {
	l.t.Helper()
	statement, err := os.ReadFile("../../testdata/postgres/incident.sql")
	l.must(err)
	out, err := l.pg.Run(string(statement), "-At")
	l.must(err)
	var want, got []string
	unknown := map[string]bool{}
	for i, err := range l.c.Client.Audit(l.ctx, client.AuditQuery{UnknownShards: true}) {
		l.must(err)
		want, unknown[i.ShardID] = append(want, fmt.Sprint(i.Seq)), true
	}
	for line := range strings.Lines(out) {
		seq, _, _ := strings.Cut(line, "|")
		got = append(got, seq)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) || len(unknown) != shards {
		l.t.Errorf("the statement finds %v, the ledger says %v, of %d shards", got, want, len(unknown))
	}
}

// TestPostgresCut cuts a script of several batches in many places, as when the tool or psql is killed, with and without one
// transaction around it. The tables always are where the cursor says, and go on from there.
func TestPostgresCut(t *testing.T) {
	l := newLedger(t)
	for i := range int64(12) {
		l.send(nodetest.Record{Shard: "alpha", Epoch: i + 1, Wrong: i%3 == 0})
	}
	script := l.script(func(f *Feed) { f.batch = 5 })
	first := strings.Index(script, loadSQL)
	second := first + len(loadSQL)
	third := second + strings.Index(script[second:], loadSQL)
	for what, at := range map[string]int{"in the first rows": strings.Index(script, "STDIN;\n") + 200, "behind the first rows": strings.Index(script, "\\.\n") + 3,
		"in the first statement": first + len(loadSQL)/2, "before its semicolon": second - 2, "between two batches": second,
		"in the second rows": second + len(beginSQL) + 300, "in the second statement": third + 8} {
		for _, args := range [][]string{nil, {"-1"}} {
			l.pg.MustRun("truncate recount_audit, recount_cursor, recount_known_shard;\n" + Schema)
			_, _ = l.pg.Run(script[:at], args...) // what it says depends on the place
			whole := 0
			if at >= second-2 {
				whole = 5
			}
			got := l.pg.Ask("select count(*), coalesce(max(seq), 0) = (select seq from recount_cursor) from recount_audit")[0]
			// In one transaction an error behind a batch takes the batch away too.
			if got != fmt.Sprintf("%d|t", whole) && (args == nil || got != "0|t") {
				t.Errorf("%s, psql %v: %s", what, args, got)
			}
			l.pg.MustRun(l.script(), args...)
			l.same(what)
		}
	}
}

// TestPostgresFollows kills psql between two batches, and goes on in another one where the tables are.
func TestPostgresFollows(t *testing.T) {
	l := newLedger(t)
	follow := func(r nodetest.Record) (kill func()) {
		cmd := l.pg.Psql(l.ctx)
		in, err := cmd.StdinPipe()
		l.must(err)
		l.must(cmd.Start())
		f := l.feed(in)
		for range 2 {
			l.send(r)
			r.Epoch++
			l.must(f.Run(l.ctx))
			l.c.Await("the batch is loaded", func() error {
				if got := l.cursor(); got != f.After {
					return fmt.Errorf("the tables are at %s, the feed at %s", got, f.After)
				}
				return nil
			})
		}
		l.must(f.Run(l.ctx)) // nothing is new
		return func() {
			l.must(cmd.Process.Kill())
			_ = cmd.Wait()
			l.send(r)
			_ = f.Run(l.ctx) // nobody reads it
		}
	}
	follow(nodetest.Record{Shard: "alpha", Epoch: 1})()
	follow(nodetest.Record{Shard: "beta", Epoch: 1})()
	l.pg.MustRun(l.script())
	l.same("after two kills")
}
