package export

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	gohash "hash"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// walk reads the events once, together with their outcomes and operations.
type walk struct {
	*checker
	policies map[string]verify.Policy
	keys     map[string]wire.KeyAnswer
	ed25519  *verify.KeySet // those of keys, once they were needed
	keySet   *verify.KeySet // the given secrets

	generations []wire.GenerationAnswer
	claims      map[uint64][]claim // by event

	tree       *tree
	recent     recent
	clock      clock
	last       uint64 // event
	term       uint64 // of it
	lines      *reader[Event]
	answers    *reader[wire.AuditItem]
	operations *reader[wire.OperationItem]
	table      *records
	tableSum   gohash.Hash
	counts     Counts
	page       pageData
	doubts     doubts

	operationsLost, answersLost bool // out of step with the events, so nothing more is compared
	known, unknown, history     uint64
}

// run walks through the events. It returns an error only if it cannot read on.
func (w *walk) run() (err error) {
	w.says()
	if w.tree, err = treeAt(w.m.Before); err != nil {
		w.fault(CheckDigest, "%v", err)
		w.tree = nil
	}
	if w.lines, err = openLines[Event](w.dir, EventsFile); err != nil {
		return err
	}
	defer w.lines.file.Close()
	if w.answers, err = openLines[wire.AuditItem](w.dir, VerdictsFile); err != nil {
		return err
	}
	defer w.answers.file.Close()
	if w.operations, err = openLines[wire.OperationItem](w.dir, OperationsFile); err != nil {
		return err
	}
	defer w.operations.file.Close()
	w.counts.Kinds, w.counts.Outcomes = map[string]uint64{}, map[string]uint64{}
	w.keySet, w.tableSum, w.last = verify.NewKeySet(w.Secrets), sha256.New(), w.m.Range.FromSeq-1
	w.table = newRecords(w.tableSum)
	if err := w.each(CheckEvents, w.events); err != nil {
		return err
	}
	if !w.failed(CheckEvents) {
		if err := w.each(CheckAnswers, w.noMoreAnswers); err != nil {
			return err
		}
		if err := w.each(CheckOperations, w.restOfOperations); err != nil {
			return err
		}
	}
	return w.end()
}

// says sets the text of each check for the case that it passes.
func (w *walk) says() {
	w.begin(CheckEvents, "no gap, each hashes to its leaf")
	w.begin(CheckTime, "follows from the proposers' clocks")
	w.begin(CheckDigest, "follows from the events")
	w.begin(CheckRecorded, "follow from the events")
	w.begin(CheckOperations, "each is an event, none is missing")
	w.begin(CheckAnswers, "one each, of the same record")
	w.begin(CheckEd25519, "verify with the public keys")
	w.begin(CheckHMAC, "verify with the secrets that were given")
	w.begin(CheckJudged, "the same, judged again")
	w.not(CheckHistory, "depend on earlier events")
	w.begin(CheckTable, "follows from the answers")
	w.begin(CheckCounts, "those of the manifest")
	w.begin(CheckPage, "follows from the other files")
	if w.m.Range.Shard != "" {
		const why = "needs more than one shard"
		w.begin(CheckEvents, "in order, each hashes to its leaf")
		w.begin(CheckTime, "does not run backwards")
		w.not(CheckDigest, why)
		w.not(CheckRecorded, why)
		w.not(CheckOperations, why)
	}
}

func (w *walk) events() error {
	r := w.m.Range
	for n := 0; ; n++ {
		e, err := w.lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err = errors.Join(err, w.ctx.Err()); err != nil {
			return err
		}
		if err := w.event(e); err != nil {
			return err
		}
		if n%512 == 0 {
			w.Progress.tell(StageEvents, e.Seq-r.FromSeq+1, r.ToSeq-r.FromSeq+1)
		}
	}
	if r.Shard == "" && w.last != r.ToSeq {
		w.fault(CheckEvents, "they end with event %d, not with %d", w.last, r.ToSeq)
	}
	return nil
}

// event checks one event. An error ends the walk, because later events could not be compared.
func (w *walk) event(e *Event) error {
	r := w.m.Range
	if e.Seq <= w.last || e.Seq > r.ToSeq || r.Shard == "" && e.Seq != w.last+1 {
		return fmt.Errorf("%w: %s, line %d: event %d comes after event %d", ErrFormat, EventsFile, w.lines.line,
			e.Seq, w.last)
	}
	if e.Term < w.term {
		w.fault(CheckEvents, "event %d is of term %d, and the event before it of term %d", e.Seq, e.Term, w.term)
	}
	w.last, w.term = e.Seq, e.Term
	w.looked(CheckEvents)
	w.counts.Events++
	w.counts.Kinds[e.Kind]++
	leaf, sum, fault := e.Check()
	if fault != "" {
		w.fault(CheckEvents, "event %d: %s", e.Seq, fault)
	}
	if w.tree != nil {
		w.tree.add(sum)
		w.recent.add(e.Seq, w.tree)
	}
	_, m, err := event.Event{Kind: leaf.Kind, Payload: e.Payload}.Message()
	if err != nil {
		return fmt.Errorf("%w: event %d: %w", ErrFormat, e.Seq, err)
	}
	if why := w.clock.tick(e, m, r.Shard != ""); why != "" {
		w.fault(CheckTime, "event %d: %s", e.Seq, why)
	}
	w.looked(CheckTime)
	w.span(e)
	w.checkClaims(e, m)
	return w.message(e, m)
}

// message checks an event's message against the other files.
func (w *walk) message(e *Event, m any) error {
	if r := w.m.Range; r.Shard != "" && e.Kind != event.Submission.String() {
		w.fault(CheckEvents, "event %d is no submission, and the export is of one shard", e.Seq)
		return nil
	}
	if err := w.operation(e, m); err != nil {
		return err
	}
	switch m := m.(type) {
	case *event.GenesisV1:
		if first := w.names()[0]; m.GetClusterId() != first {
			w.fault(CheckEvents, "event %d founds the ledger %q, and the manifest is of %q", e.Seq,
				m.GetClusterId(), first)
		}
		w.policyEvent(e, m.GetPolicy())
	case *event.PolicyPublishedV1:
		w.policyEvent(e, m.GetPolicy())
	case *event.KeyAddedV1:
		w.keyEvent(e, m)
	case *event.StateDigestV1:
		w.recorded(e, m)
	case *event.RestoredV1:
		w.restored(e, m)
	case *event.FactsDisputedV1:
		w.doubts.settle(m.GetSeq())
	case *event.SubmissionV1:
		return w.submission(e)
	}
	return nil
}

// names returns the ids that the manifest gives to the ledger, oldest first.
func (w *walk) names() []string { return append(slices.Clone(w.m.Formerly), w.m.ClusterID) }

// restored checks that a restoration names two ids of the ledger, one after the other.
func (w *walk) restored(e *Event, m *event.RestoredV1) {
	names := w.names()
	at := slices.Index(names, m.GetFromClusterId())
	if at < 0 || at+1 == len(names) || names[at+1] != m.GetClusterId() {
		w.fault(CheckEvents, "event %d restores the ledger %q as %q, and the manifest has the names %s", e.Seq,
			m.GetFromClusterId(), m.GetClusterId(), strings.Join(names, ", "))
	}
}

func (w *walk) policyEvent(e *Event, canonical []byte) {
	if id := sumOf(canonical); w.policies[id].Kernel == 0 {
		w.fault(CheckPolicies, "event %d publishes policy %s, which is not in the export", e.Seq, id)
	}
}

func (w *walk) keyEvent(e *Event, m *event.KeyAddedV1) {
	k, ok := w.keys[m.GetKeyId()]
	public, _ := w.public(m.GetKeyId())
	if !ok || k.Seq > e.Seq || k.Alg != verify.Alg(m.GetAlg()).String() ||
		k.Fingerprint != hex.EncodeToString(m.GetFingerprint()) || string(public) != string(m.GetPublic()) {
		w.fault(CheckKeys, "event %d registers %q with other facts than %s", e.Seq, m.GetKeyId(), KeysFile)
	}
}

// recorded compares a digest that a leader recorded with the events before it.
func (w *walk) recorded(e *Event, m *event.StateDigestV1) {
	if root, ok := w.recent.at(m.GetSeq()); ok {
		w.looked(CheckRecorded)
		if string(root) != string(m.GetLog()) {
			w.fault(CheckRecorded, "event %d records the log digest %x at event %d, and the events hash to %x",
				e.Seq, m.GetLog(), m.GetSeq(), root)
		}
	}
}

// end checks what is known only at the end.
func (w *walk) end() error {
	w.doubts.into(w.board)
	if w.tree != nil && w.m.Range.Shard == "" {
		w.lookedAll(CheckDigest, w.counts.Events)
		if got := hex.EncodeToString(w.tree.root()); got != w.m.End.Log {
			w.fault(CheckDigest, "events %d to %d hash to %s, and the manifest says %s", w.m.Range.FromSeq, w.last,
				got, w.m.End.Log)
		}
	}
	if err := w.table.flush(); err != nil {
		return err
	}
	w.lookedAll(CheckTable, w.counts.Submissions)
	for _, f := range w.m.Files {
		if got := hex.EncodeToString(w.tableSum.Sum(nil)); f.Name == RecordsFile && f.SHA256 != got {
			w.fault(CheckTable, "says other things than %s", VerdictsFile)
		}
	}
	got, want := &w.counts, &w.m.Counts
	got.Keys, got.Policies = uint64(len(w.keys)), w.looks(CheckPolicies)
	w.compareCounts(got, want)
	if err := w.comparePage(); err != nil {
		return err
	}
	w.lookedAll(CheckHistory, w.history)
	w.hmac()
	return w.recount()
}

// hmac reports the number of signatures that only the holder of a secret can check.
func (w *walk) hmac() {
	w.lookedAll(CheckHMAC, w.known+w.unknown)
	switch {
	case w.failed(CheckHMAC) || w.unknown == 0:
	case w.known == 0:
		w.not(CheckHMAC, "need the secret")
	default:
		w.begin(CheckHMAC, fmt.Sprintf("%d verify, %d need another secret", w.known, w.unknown))
	}
}

// comparePage makes the page again. Another release may have made it, so another text fails nothing, and is not
// called checked.
func (w *walk) comparePage() error {
	w.page.Manifest = w.m
	sum := sha256.New()
	if err := page.Execute(sum, &w.page); err != nil {
		return err
	}
	w.looked(CheckPage)
	for _, f := range w.m.Files {
		if f.Name == PageFile && f.SHA256 != hex.EncodeToString(sum.Sum(nil)) {
			w.not(CheckPage, "of another release, or changed: do not open it")
		}
	}
	return nil
}

func (w *walk) compareCounts(got, want *Counts) {
	got.Generations = uint64(len(w.generations))
	w.looked(CheckCounts)
	if got.Events != want.Events || got.Submissions != want.Submissions || got.Operations != want.Operations ||
		got.Keys != want.Keys ||
		got.Policies != want.Policies || got.Generations != want.Generations || !maps.Equal(got.Kinds, want.Kinds) ||
		!maps.Equal(got.Outcomes, want.Outcomes) {
		w.fault(CheckCounts, "the manifest counts %+v, and there are %+v", *want, *got)
	}
}
