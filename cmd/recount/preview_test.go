package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/trial"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// ruled is a cluster whose policies a test changes with the tool.
type ruled struct {
	*testing.T
	c     *nodetest.Cluster
	f     *nodetest.Records
	flags []string
	epoch int64
}

func newRuled(t *testing.T) *ruled {
	c := nodetest.Start(t, 1)
	return &ruled{T: t, c: c, f: nodetest.NewRecords(t), flags: clusterFlags(t, c, wire.RoleResponder)}
}

// send submits so many records of a kind.
func (r *ruled) send(n int, kind nodetest.Record) {
	r.Helper()
	for range n {
		r.epoch++
		kind.Shard, kind.Epoch, kind.Root = "s", r.epoch, "r"
		r.c.Once(0, http.MethodPost, client.SubmitPath, r.f.Sign(kind))
	}
}

// file is a policy document.
func (r *ruled) file(text string) string {
	return write(r.T, filepath.Join(r.TempDir(), "policy.yaml"), text)
}

// says runs a command and looks for texts on stderr.
func (r *ruled) says(code int, args string, texts ...string) ran {
	r.Helper()
	got := run(r.T, "", append(strings.Fields(args), r.flags...)...)
	r.expect(got, code, args, texts...)
	return got
}

func (r *ruled) expect(got ran, code int, args string, texts ...string) {
	r.Helper()
	for _, text := range texts {
		no, absent := strings.CutPrefix(text, "no ")
		if absent == strings.Contains(got.err, no) {
			r.Errorf("%s: %q in\n%s%s", args, text, got.err, got.out)
		}
	}
	if got.code != code {
		r.Errorf("%s: exit %d, want %d: %s", args, got.code, code, got.err)
	}
}

// operations counts what was done to policies and generations.
func (r *ruled) operations() int {
	r.Helper()
	policies, err := r.c.Client.Policies(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	generations, err := r.c.Client.Generations(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	inForce := slices.IndexFunc(policies.Items, func(p wire.PolicyAnswer) bool { return p.InForce })
	return 100*len(policies.Items) + 10*len(generations.Items) + inForce
}

func idOf(r *ruled, path string) string {
	p, err := readPolicy(path)
	if err != nil {
		r.Fatal(err)
	}
	return fmt.Sprintf("%x", p.ID())
}

// TestPreviewOfNarrowAndLax: a policy that drops the profile of a key says how many of the last records it
// would refuse, and goes on. One that lets unsigned records pass says so and wants to be meant, before anything
// is done: in publish, apply and start alike.
func TestPreviewOfNarrowAndLax(t *testing.T) {
	r := newRuled(t)
	narrow, lax := r.file("signature: {profiles: [go-fold]}\n"), r.file("signature: {required: false}\n")
	r.says(exitOK, "policy publish "+narrow, "holds no submission yet")
	r.send(12, nodetest.Record{})
	r.send(3, nodetest.Record{Bare: true})
	r.send(2, nodetest.Record{Forged: true})
	r.says(exitOK, "policy publish "+narrow, "Of the last 17 submissions 12 would change: accepted->refused 12.")
	r.says(exitOK, "policy publish --preview 5 "+narrow, "Of the last 5 submissions none would change.")
	r.says(exitOK, "policy publish --no-preview "+narrow, "no Of the last")
	r.says(exitUsage, "policy publish --no-preview --preview 3 "+narrow, "contradict")
	r.says(exitUsage, "policy publish --preview 0 "+narrow, "must be in 1..")
	r.says(exitOK, "policy apply --no-preview "+idOf(r, narrow))
	r.says(exitOK, "policy apply --no-preview "+r.published("kernel: 1\n"))

	before := r.operations()
	let := "refused->accepted 3 (3 unsigned)"
	r.says(exitUsage, "policy publish "+lax, "17 submissions 3 would change: "+let, "unsigned records pass",
		"3 of the last 17 submissions that were refused would be accepted", "nobody is at a terminal",
		"nothing was done", "Give --yes")
	r.says(exitUsage, "policy publish --no-preview "+lax, "unsigned records pass", "no would be accepted", "Give --yes")
	if r.operations() != before {
		t.Fatal("a policy was published that nobody meant")
	}
	r.says(exitOK, "policy publish --yes "+lax, let)
	id := idOf(r, lax)
	before = r.operations()
	for _, command := range []string{"policy apply " + id[:8], "generation start --policy " + id[:8]} {
		r.says(exitUsage, command, let, "nothing was done", "Give --yes")
		args := append(strings.Fields(command), r.flags...)
		r.expect(onTerminal(t, "yes\n", args...), exitFailed, command, let, "unsigned records pass",
			"Type "+id[:16]+" to go on", `"yes" is not `+id[:16]+"; nothing was done")
		if r.operations() != before {
			t.Fatalf("%s was done without a yes", command)
		}
	}
	command := "policy apply " + id[:8]
	r.expect(onTerminal(t, id[:16]+"\n", append(strings.Fields(command), r.flags...)...), exitOK, command, let)
	r.says(exitOK, "generation start --yes --policy "+id, let)
	if r.operations() == before {
		t.Error("nothing was done")
	}
}

// published puts a policy into the log and gives its id.
func (r *ruled) published(text string) string {
	r.Helper()
	path := r.file(text)
	r.says(exitOK, "policy publish --yes --no-preview "+path)
	return idOf(r, path)
}

// TestPreviewOfWhatComesBack: a sound policy that accepts what was refused wants to be meant too. What keys
// decide no policy changes, and a conflict or an old epoch stays what it is.
func TestPreviewOfWhatComesBack(t *testing.T) {
	r := newRuled(t)
	wide := r.published("kernel: 1\n")
	r.says(exitOK, "policy apply --no-preview "+r.published("signature: {profiles: [go-fold]}\n"))
	r.send(4, nodetest.Record{})
	r.says(exitUsage, "policy apply "+wide, "Of the last 4 submissions 4 would change: refused->accepted 4.",
		"4 of the last 4 submissions that were refused would be accepted;", "Give --yes")
	r.says(exitOK, "policy apply --yes "+wide)
	r.send(2, nodetest.Record{})
	first := nodetest.Record{Shard: "t", Epoch: 9, Root: "r"}
	conflict, old := first, nodetest.Record{Shard: "t", Epoch: 3, Root: "r"}
	conflict.Near = true
	for _, x := range []nodetest.Record{first, conflict, old} {
		r.c.Once(0, http.MethodPost, client.SubmitPath, r.f.Sign(x))
	}
	r.says(exitOK, "policy apply --preview 5 "+wide, "Of the last 5 submissions none would change.")
	narrow := r.published("signature: {profiles: [go-fold]}\n")
	r.says(exitOK, "policy apply --preview 5 "+narrow, "5 would change: accepted->refused 5.")
	r.says(exitOK, "generation start --policy "+wide+" --yes", "no of the policy alone")
	r.says(exitOK, "generation drop 2 --yes")
	r.says(exitOK, "generation start --keys hindsight --policy "+wide+" --yes",
		"of the policy alone: keys in hindsight")
	r.says(exitOK, "generation drop 3 --yes")
	r.says(exitOK, "generation start --keys hindsight --no-preview --policy "+wide+" --yes", "no of the policy alone")
}

// TestPreviewGoesOnUnseeing: whose credentials may not read the submissions is told so, and so is whoever
// cannot for another reason. A policy that is dangerous by itself must be confirmed all the same.
func TestPreviewGoesOnUnseeing(t *testing.T) {
	for code, says := range map[wire.Code]string{
		wire.CodeForbidden: "these credentials may not read the submissions",
		wire.CodeNotFound:  "What would change is not known: ",
	} {
		n, operations := recountNode(t)
		inner := n.override
		n.override = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/v1/audit" || r.URL.Path == "/v1/events" {
				answer(w, wire.NewProblem(code, ""))
				return true
			}
			return inner(w, r)
		}
		r := &ruled{T: t, flags: []string{"--dev", dev(t, n)}}
		r.says(exitOK, "policy publish "+r.file("kernel: 1\n"), says)
		done := len(*operations)
		r.says(exitUsage, "policy publish "+r.file("signature: {required: false}\n"), says, "unsigned records pass")
		if len(*operations) != done {
			t.Errorf("%s: %v", code, *operations)
		}
	}
}

// TestTrialReadsInBulk: a trial over a long ledger asks for pages and not for events one by one, finds what one
// by one finds, and says how long it takes.
func TestTrialReadsInBulk(t *testing.T) {
	r := newRuled(t)
	const count = 2500
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := w; i < count; i += 16 {
				x := nodetest.Record{
					Shard:  fmt.Sprint("shard-", w),
					Epoch:  int64(i + 1),
					Root:   "r",
					Wrong:  i%50 == 0,
					Forged: i%100 == 1,
				}
				if _, err := r.c.Client.Submit(t.Context(), r.f.Sign(x)); err != nil &&
					!errors.Is(err, client.ErrRejected) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	path := r.file("signature: {profiles: [go-fold]}\n")
	policy, err := readPolicy(path)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	slow := oneByOne(t, r.c.Client, policy)
	slowly := time.Since(began)
	requests := func() (n int) {
		_, page := r.c.Once(0, http.MethodGet, "/metrics", nil)
		for line := range strings.Lines(string(page)) {
			if rest, ok := strings.CutPrefix(line, "flk_http_requests_total{"); ok &&
				(strings.Contains(rest, `"/v1/events`) || strings.Contains(rest, `"/v1/audit"`)) {
				k, _ := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndex(rest, " "):]), 64)
				n += int(k)
			}
		}
		return n
	}
	before := requests()
	began = time.Now()
	got := r.says(exitOK, "policy test -o json --last 100000 "+path)
	fast := time.Since(began)
	var sums trial.Sums
	if err := json.Unmarshal([]byte(got.out), &sums); err != nil || sums.Records != count ||
		fmt.Sprint(sums.Changes) != fmt.Sprint(slow) || len(slow) == 0 {
		t.Errorf("%v %+v, one by one %v", err, sums, slow)
	}
	if n := requests() - before; n > 2*(count/1000+1) {
		t.Errorf("%d requests for %d submissions", n, count)
	}
	t.Logf("%d submissions one by one %v, in bulk %v: %.1f times as fast", count, slowly, fast,
		float64(slowly)/float64(fast))
	r.says(exitOK, "policy test -o json --from-seq 1 --to-seq 100 "+path)
	r.says(exitUsage, "policy test --last 5 --from-seq 1 --to-seq 100 "+path, "or --last")
	p := &trialProgress{done: 2000, total: 10_000}
	if text := p.text(3 * time.Second); text != "judged 2000 of 10000, about 12s to go" {
		t.Error(text)
	}
}

// decidedByOthers are reasons that lie in other records.
var decidedByOthers = []string{verify.ReasonConflict.String(), verify.ReasonEpochRegression.String(),
	verify.ReasonEpochEquivocation.String()}

// oneByOne is a trial with one request per event.
func oneByOne(t *testing.T, c *client.Client, p verify.Policy) map[string]int {
	t.Helper()
	changes := map[string]int{}
	for item, err := range c.Audit(t.Context(), client.AuditQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		e, err := c.Event(context.Background(), item.Seq, client.Read{})
		if err != nil {
			t.Fatal(err)
		}
		sub, err := event.DecodeSubmission(e.Payload)
		if err != nil {
			t.Fatal(err)
		}
		f := verify.Facts{
			KeyID:   sub.Facts.KeyID,
			Alg:     verify.Alg(sub.Facts.Alg),
			Profile: pcs.Profile(sub.Facts.Profile),
			Mode:    verify.Mode(sub.Facts.Mode),
		}
		before := item.Outcome
		if slices.Contains(decidedByOthers, item.ReasonCode) {
			before = verify.Evaluate(verify.DefaultPolicy(), pcs.Decode(sub.Body), f, 0).Outcome.String()
		}
		if after := verify.Evaluate(p, pcs.Decode(sub.Body), f, 0).Outcome.String(); after != before {
			changes[before+"->"+after]++
		}
	}
	return changes
}
