package agreement

import (
	"slices"
	"testing"
)

// TestOneContraryRecordDecidesNothing: a record of one voter suspends nobody while another voter has none yet.
func TestOneContraryRecordDecidesNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		by   map[string][]string
		want bool
	}{
		{"one contradicts, one builds", map[string][]string{"a": {"1"}, "b": {"2"}}, false},
		{"nobody contradicts", map[string][]string{"a": {"1"}}, false},
		{"all have answered", map[string][]string{"a": {"1"}, "b": {"2"}, "c": {"3"}}, true},
		{"a majority contradicts", map[string][]string{"a": {"1"}, "b": {"2", "3"}}, true},
	} {
		if got := (Votes{c.by}).Decide("a", 3); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// TestCauseIsToldOnce: what keeps a question open is told once, and again when it is another cause or another dispute.
func TestCauseIsToldOnce(t *testing.T) {
	d, q := New(nil, nil), Question{About: Facts, Seq: 7}
	d.Raise(q)
	if !d.News(q, "n2") || d.News(q, "n2") || !d.News(q, "n3") {
		t.Error("a cause is not told once")
	}
	d.note(q, true, "")
	if !d.News(q, "n3") {
		t.Error("a settled question is remembered")
	}
}

// full is a table with no room for another question; asked says which one it shall ask until a majority has answered.
func full(asked Question) *Doubts {
	d := New(nil, nil)
	d.Raise(asked)
	for seq := range uint64(maxDoubts - 1) {
		d.Raise(Question{About: Facts, Seq: seq})
	}
	return d
}

// TestFullTableOfQuestions: whoever floods the ledger with events that have to be asked about keeps no node
// from finding out, and from being told, that it contradicts the log. What has to be asked until there is an
// answer is not forgotten for that.
func TestFullTableOfQuestions(t *testing.T) {
	head := Question{About: Digest, Generation: 1, Seq: 7, Insist: true}
	contrary := Question{About: Digest, Generation: 1, Seq: 9, Logged: "other", Carrier: 10}
	d := full(head)
	if d.Raise(Question{About: Facts, Seq: 1 << 40}) || d.dropped.Load() != 1 {
		t.Error("a question beyond the bound is open")
	}
	for seq := range uint64(maxDoubts - 1) { // each of these takes the place of another one
		contrary.Seq = 1000 + seq
		if !d.Raise(contrary) {
			t.Fatalf("after %d: no room for what suspends", seq)
		}
	}
	if d.Suspended() == "" || len(d.open) != maxDoubts {
		t.Errorf("suspended: %v, %d are open", d.Suspended() != "", len(d.open))
	}
	if _, open := d.open[head]; !open {
		t.Error("the question that has to stay open is not open")
	}
	contrary.Seq = 1
	if d.Raise(contrary) {
		t.Error("a question beyond the bound is open")
	}
}

// TestHeadIsAskedAbout: a node that went on without a second word about its head asks on, however full the table is.
func TestHeadIsAskedAbout(t *testing.T) {
	head := Question{About: Digest, Generation: 1, Seq: 7, Insist: true}
	d := full(Question{About: Facts, Seq: 1 << 40})
	if !d.Raise(head) || len(d.open) != maxDoubts {
		t.Errorf("%d are open, the head is not among them", len(d.open))
	}
}

// TestDroppedQuestionStaysDropped: the answer to a question that lost its place opens it again only when it suspends.
func TestDroppedQuestionStaysDropped(t *testing.T) {
	d, q := New(nil, nil), Question{About: Facts, Seq: 1}
	d.note(q, false, "")
	if len(d.open) != 0 {
		t.Error("it is open again")
	}
	if d.note(q, false, "contradicted"); len(d.open) != 1 || d.Suspended() == "" {
		t.Error("a contradiction is lost")
	}
}

// TestWhatSuspendsIsAskedFirst: a node that thousands of open questions do not suspend asks the one that does
// in every round, and the others too.
func TestWhatSuspendsIsAskedFirst(t *testing.T) {
	d := full(Question{About: Facts, Seq: 1 << 40})
	contrary := Question{About: Digest, Generation: 1, Seq: 9, Logged: "other", Carrier: 10}
	d.Raise(contrary)
	for range 20 {
		if list := d.some(); len(list) != askedAtOnce || !slices.Contains(list, contrary) {
			t.Fatalf("%d are asked, and not the one that suspends", len(list))
		}
	}
	for seq := range uint64(2 * askedAtOnce) {
		contrary.Seq = 100 + seq
		d.Raise(contrary)
	}
	list := d.some()
	if n := len(slices.DeleteFunc(slices.Clone(list), func(q Question) bool {
		return q.Logged != ""
	})); len(list) != askedAtOnce || n != askedAtOnce/2 {
		t.Errorf("%d are asked, %d of them do not suspend", len(list), n)
	}
}
