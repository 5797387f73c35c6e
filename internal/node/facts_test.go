package node

import "testing"

// TestWhoSuspendsOverFacts: a node that finds the facts as the log says serves on, whatever one bad voter finds.
func TestWhoSuspendsOverFacts(t *testing.T) {
	for mine, want := range map[string]bool{factsTrue: false, "": false, factsFalse: true} {
		if suspends(mine, 1) != want {
			t.Errorf("a node that finds %q: suspended %v", mine, !want)
		}
	}
}
