package main

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func submitted(wrong bool, a answer, seq uint64, escal bool, from, to int64) call {
	return call{kind: submission, wrong: wrong, answer: a, seq: seq, escal: escal, from: from, to: to}
}

func read(a answer, seq uint64, escal bool, from, to int64) call {
	return call{kind: reading, answer: a, seq: seq, escal: escal, from: from, to: to}
}

func of(id int32, c call) call { c.id = id; return c }

// TestChecker: histories that a ledger may give pass, histories that it must not give are named.
func TestChecker(t *testing.T) {
	const ever = math.MaxInt64
	right := submitted(false, first, 5, false, 1, 2)
	for name, c := range map[string]struct {
		want  string // of the first violation
		calls []call
	}{
		"nothing":                    {"", nil},
		"replays and readings":       {"", []call{right, submitted(false, replay, 5, false, 3, 4), read(replay, 5, false, 5, 6)}},
		"conflict":                   {"", []call{right, submitted(true, conflict, 5, false, 3, 4)}},
		"not yet":                    {"", []call{read(missing, 0, false, 0, 1), right}},
		"not found at the same time": {"", []call{right, read(missing, 0, false, 1, 4)}},
		"unknown, happened":          {"", []call{submitted(false, unknown, 0, false, 1, ever), read(replay, 5, false, 3, 4)}},
		"unknown, late":              {"", []call{submitted(false, unknown, 0, false, 1, ever), read(missing, 0, false, 2, 3), read(replay, 5, false, 4, 5)}},
		"unknown, never":             {"", []call{submitted(false, unknown, 0, false, 1, ever), submitted(true, first, 6, true, 3, 4)}},
		"two packs":                  {"", []call{submitted(false, replay, 5, false, 1, 2), read(replay, 5, false, 3, 4)}},

		"lost":                {"an acknowledged record is not found", []call{right, read(missing, 0, false, 3, 4)}},
		"lost and taken anew": {"two answers for one record", []call{right, submitted(false, first, 9, false, 3, 4)}},
		"two firsts":          {"two answers for one record", []call{right, submitted(true, first, 6, true, 1, 2)}},
		"other outcome":       {"two answers for one record", []call{right, read(replay, 5, true, 3, 4)}},
		"twice the first":     {"two submissions were both the first", []call{right, submitted(false, first, 5, false, 3, 4)}},
		"own conflict":        {"a record conflicts with itself", []call{right, submitted(false, conflict, 5, false, 3, 4)}},
		"swallowed":           {"other values were answered as if they were the first", []call{right, submitted(true, replay, 5, false, 3, 4)}},
		"one event for two":   {"one event answers for two records", []call{right, of(2, right)}},
		"from nowhere":        {"no order explains the answers", []call{read(replay, 5, false, 1, 2)}},
		"undone": {"an acknowledged record is not found", []call{submitted(false, unknown, 0, false, 1, ever), read(replay, 5, false, 3, 4),
			read(missing, 0, false, 5, 6)}},
		"before it was sent": {"no order explains the answers", []call{read(replay, 5, false, 1, 2), submitted(false, first, 5, false, 3, 4)}},
		"values that nobody sent": {"no order explains the answers", []call{submitted(true, unknown, 0, false, 1, ever),
			read(replay, 5, false, 3, 4)}},
	} {
		got := ""
		if v := check(c.calls); len(v) > 0 {
			got = v[0].what
		}
		if got != c.want {
			t.Errorf("%s: found %q, want %q", name, got, c.want)
		}
	}
}

// TestVariants: the records of the bed are what the checker takes them for, and their answers are read right.
func TestVariants(t *testing.T) {
	recs, err := newRecords("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []bool{false, true} {
		a, err := recs.body(7, wrong)
		b, err2 := recs.body(7, wrong)
		if err != nil || err2 != nil || !slices.Equal(a, b) {
			t.Fatalf("not the same bytes twice: %v %v", err, err2)
		}
	}
	op := call{id: 7}
	never, err := op.told(200, []byte(`{"pcs_id":"`+pcsID(7)+`","outcome":"accepted","seq":4,"replayed":true}`), nil)
	if never || err != nil || op.answer != replay || op.seq != 4 || op.escal {
		t.Errorf("%+v %t %v", op, never, err)
	}
	if _, err := (&call{id: 7}).told(200, []byte(`{"pcs_id":"`+pcsID(8)+`","outcome":"accepted","seq":4}`), nil); err == nil {
		t.Error("an answer about another record passes")
	}
	if _, err := (&call{id: 7}).told(401, []byte(`{}`), nil); err == nil {
		t.Error("a refusal of a good record passes")
	}
	if never, err := (&call{id: 7}).told(503, []byte(`{}`), nil); !never || err != nil {
		t.Errorf("503: %t %v", never, err)
	}
}

// TestStateChecker: each thing that can be wrong with the end state of a node is named, and nothing is found in a right one.
func TestStateChecker(t *testing.T) {
	began := time.Unix(1_700_000_000, 0)
	whole := func(n int) state {
		s := state{node: n, top: 4, lookup: map[string]told{pcsID(1): {2, false}, pcsID(2): {3, true}}}
		for _, e := range []entry{{seq: 2, id: pcsID(1), outcome: "accepted"}, {seq: 3, id: pcsID(2), outcome: "escalated"},
			{seq: 4, first: 2, id: pcsID(1), outcome: "conflict"}} {
			e.at = began.Add(time.Duration(e.seq) * time.Second)
			s.list = append(s.list, e)
		}
		return s
	}
	calls := []call{of(1, submitted(false, first, 2, false, 1, 2)), of(2, submitted(true, first, 3, true, 3, 4)),
		of(1, submitted(true, conflict, 2, false, 5, 6))}
	for want, spoil := range map[string]func(s *state){
		"":                            func(*state) {},
		"holds no event":              func(s *state) { s.holes = []uint64{1} },
		"list different events":       func(s *state) { s.list[2].extra = "other" },
		"is not in order":             func(s *state) { s.list[0], s.list[1] = s.list[1], s.list[0] },
		"log time goes back":          func(s *state) { s.list[2].at = began },
		"lists event 4 twice":         func(s *state) { s.list = append(s.list, s.list[2]) },
		"and not what was acknowl":    func(s *state) { s.list = s.list[1:] },
		"is {seq:3 first:0":           func(s *state) { s.list[1].outcome = "accepted" },
		"of an acknowledged record":   func(s *state) { delete(s.lookup, pcsID(2)) },
		"says {seq:9":                 func(s *state) { s.lookup[pcsID(1)] = told{9, false} },
		"are both the first":          func(s *state) { s.list[2].first, s.list[2].outcome = 0, "accepted" },
		"event 3 has the log time 20": func(s *state) { s.list[1].at = began.Add(time.Hour); s.list[2].at = s.list[1].at },
	} {
		bad := whole(1)
		spoil(&bad)
		found := ""
		for _, v := range checkStates([]state{whole(0), bad}, calls, began) {
			found += v.what + "\n"
		}
		if want == "" && found != "" || !strings.Contains(found, want) {
			t.Errorf("want %q, found %q", want, found)
		}
	}
}
