package survivor_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/survivor"
)

// made makes a report. shape has the number of entries of each term, so "5 0 3" is five entries of term 1 and three of
// term 3. The digests are those of a log that begins so.
func made(node, shape string, floor uint64) survivor.Report {
	r := survivor.Report{Format: survivor.Format, NodeID: node, Dir: "/" + node, ClusterID: "c",
		Members: []survivor.Member{{ID: "a", Voter: true}, {ID: "b", Voter: true}, {ID: "c", Voter: true},
			{ID: "d", Voter: true}, {ID: "e", Voter: true}, {ID: "f"}}}
	place := func() survivor.Place {
		return survivor.Place{Index: r.Last.Index, Term: r.Last.Term, Seq: r.Last.Index, Log: fmt.Sprint(r.Runs, r.Last.Index)}
	}
	for t, word := range strings.Fields(shape) {
		n, err := strconv.Atoi(word)
		if err != nil {
			panic(err)
		}
		for ; n > 0; n-- {
			if r.Last.Index++; r.Last.Term != uint64(t)+1 {
				r.Last.Term = uint64(t) + 1
				r.Runs = append(r.Runs, survivor.Run{Term: r.Last.Term, First: r.Last.Index})
			}
			if r.Last.Index == floor {
				r.Floor = place()
			}
		}
	}
	r.Last = place()
	return r
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		name    string
		reports []survivor.Report
		keep    string
		common  uint64 // of the second one
		prefix  bool
		floor   uint64
		words   string
	}{
		{"equal, the higher floor first", []survivor.Report{made("a", "5", 3), made("b", "5", 4)}, "b", 5, true, 4, "Certain: every event up to 4"},
		{"the longer one of a term", []survivor.Report{made("a", "5", 3), made("b", "7", 3)}, "b", 5, true, 3, "Kept: 4 more entries"},
		{"the newer term, though shorter", []survivor.Report{made("a", "5 9", 3), made("b", "5 2 1", 4)}, "b", 7, false, 4,
			"The log of a has 7 other entries behind entry 7"},
		{"they part before the last terms", []survivor.Report{made("a", "5 0 4", 5), made("b", "5 2", 4)}, "a", 5, false, 5,
			"The log of b has 2 other entries behind entry 5"},
		{"the highest floor counts", []survivor.Report{made("a", "5 0 4", 2), made("b", "5", 5)}, "a", 5, true, 5, "up to 5 (entry 5"},
	} {
		got, err := survivor.Compare(c.reports)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		second, words := got.Survivors[1], strings.Join(got.Words(), "\n")
		if got.Keep != c.keep || second.Common != c.common || second.Prefix != c.prefix || got.Floor.Index != c.floor ||
			got.Majority || got.Voters != 5 || got.Alive != 2 || !strings.Contains(words, c.words) {
			t.Errorf("%s: %+v\n%s", c.name, got, words)
		}
	}
	heard := made("a", "5", 3)
	heard.Heard, heard.HeardFrom = 9, "b"
	got, err := survivor.Compare([]survivor.Report{heard})
	if err != nil || got.Lost != 4 || !strings.Contains(strings.Join(got.Words(), "\n"), "Lost: at least 4 committed entries. b told") {
		t.Errorf("%+v %v", got, err)
	}
	got, err = survivor.Compare([]survivor.Report{made("a", "5", 3), made("b", "5", 3), made("c", "5", 3), made("f", "5", 3)})
	if err != nil || !got.Majority || got.Alive != 3 || !strings.Contains(got.Words()[1], "Do not recover") {
		t.Errorf("a majority: %+v %v", got, err)
	}
	got, err = survivor.Compare([]survivor.Report{made("a", "5", 3), made("b", "5", 3), made("f", "5", 3)})
	if err != nil || got.Majority {
		t.Errorf("a learner does not vote: %+v %v", got, err)
	}
}

func TestCompareRefuses(t *testing.T) {
	other, later, twisted, short := made("b", "5", 3), made("b", "5", 3), made("b", "5", 3), made("b", "5", 3)
	other.ClusterID, later.Format, twisted.Last.Log, short.Runs = "d", 2, "zz", nil
	for name, c := range map[string]struct {
		reports []survivor.Report
		want    error
	}{
		"another cluster":      {[]survivor.Report{made("a", "5", 3), other}, survivor.ErrOthers},
		"the same node":        {[]survivor.Report{made("a", "5", 3), made("a", "6", 3)}, survivor.ErrOthers},
		"another digest":       {[]survivor.Report{made("a", "5", 3), twisted}, survivor.ErrContradict},
		"two committed ends":   {[]survivor.Report{made("a", "5 4", 9), made("b", "5 0 4", 9)}, survivor.ErrContradict},
		"a format of tomorrow": {[]survivor.Report{made("a", "5", 3), later}, nil},
		"no terms":             {[]survivor.Report{short}, nil},
		"nothing":              {nil, nil},
	} {
		got, err := survivor.Compare(c.reports)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}
