package main

import (
	"math"
	"slices"
	"testing"
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
