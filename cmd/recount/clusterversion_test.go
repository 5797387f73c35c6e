package main

import (
	"strings"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// TestClusterVersionVerdict: the sentence below the members says what holds the next version back, and what to do.
func TestClusterVersionVerdict(t *testing.T) {
	member := func(id string, v uint32) wire.Member {
		if v == 0 {
			return wire.Member{ID: id}
		}
		return wire.Member{ID: id, KnowsVersion: &v}
	}
	for _, x := range []struct {
		at   uint32
		know [3]uint32
		want string
	}{
		{2, [3]uint32{2, 2, 2}, "at version 2, the newest"},
		{2, [3]uint32{3, 3, 3}, `every member knows version 3; "recount cluster upgrade"`},
		{2, [3]uint32{3, 2, 2}, "upgrade n2, n3 before version 3"},
		{2, [3]uint32{4, 3, 4}, "every member knows version 3"},
		{2, [3]uint32{3, 0, 3}, "nobody can tell what n2 knows"},
		{2, [3]uint32{2, 1, 2}, "upgrade n2 before version 2"},
	} {
		c := &wire.ClusterAnswer{ClusterVersion: x.at}
		for i, v := range x.know {
			c.Members = append(c.Members, member("n"+string(rune('1'+i)), v))
		}
		if got := versionVerdict(c); !strings.Contains(got, x.want) {
			t.Errorf("%v at %d: %q, want %q", x.know, x.at, got, x.want)
		}
	}
	dir, _ := memberNode(t, 0)
	r := run(t, "", "cluster", "version", "--dev", dir)
	if r.code != exitOK || !strings.Contains(r.out, "n4") || !strings.Contains(r.err, "what n3 knows, which does not answer") {
		t.Errorf("%+v", r)
	}
}
