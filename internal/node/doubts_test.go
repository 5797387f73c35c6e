package node

import "testing"

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
		if got := (votes{c.by}).decides("a", 3); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// TestWhoSuspendsOverFacts: a node that finds the facts as the log says serves on, whatever one bad voter finds.
func TestWhoSuspendsOverFacts(t *testing.T) {
	for mine, want := range map[string]bool{factsTrue: false, "": false, factsFalse: true} {
		if suspends(mine, 1) != want {
			t.Errorf("a node that finds %q: suspended %v", mine, !want)
		}
	}
}

// TestCauseIsToldOnce: what keeps a question open is told once, and again when it is another cause or another dispute.
func TestCauseIsToldOnce(t *testing.T) {
	d, q := newDoubts(), question{about: factsSubject, seq: 7}
	d.raise(q)
	if !d.news(q, "n2") || d.news(q, "n2") || !d.news(q, "n3") {
		t.Error("a cause is not told once")
	}
	d.note(q, true, "")
	if !d.news(q, "n3") {
		t.Error("a settled question is remembered")
	}
}
