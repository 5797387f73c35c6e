package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestScenarios plays both scenarios on a sound ledger: every step succeeds, in the order of the runbook.
func TestScenarios(t *testing.T) {
	for name, want := range map[string]string{
		"key": "shard known, incident key, generation status, generation diff, generation activate, digest",
		"bypass": "canary, freeze, canary, generation start, generation status, generation diff, " +
			"generation activate, canary, thaw, digest",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, d := newLedger(t, name, sound)
			err := scenarios[name](d, t.Context())
			r := d.report(err == nil)
			if err != nil || !r.Agree || strings.Join(l.asked, ", ") != want {
				t.Errorf("%v: %q, %+v", err, l.asked, r)
			}
			commands := 0
			for _, s := range r.Steps {
				if s.Command != "" {
					commands++
				}
			}
			if commands != len(l.asked) {
				t.Errorf("%d commands are steps, %d were given", commands, len(l.asked))
			}
		})
	}
}

// TestFaultsFailTheDrill: a ledger with one fault fails the drill, at the step that proves the opposite.
func TestFaultsFailTheDrill(t *testing.T) {
	for _, c := range []struct{ scenario, fault, step string }{
		{"key", escalates, "200 honest submissions"},
		{"key", refusesAttack, "an attacker signs 2 records"},
		{"key", ignoresEpochs, "honest agents go on"},
		{"key", losesRecord, "revoke, list, bundle, start the recount"},
		{"key", knowsAttacker, "revoke, list, bundle, start the recount"},
		{"key", otherFlip, "the difference"},
		{"key", takesAttacker, "the attacker's records are refused on every node"},
		{"key", keepsForgery, "the attacker's records are refused on every node"},
		{"key", refusesHonest, "honest records pass on every node"},
		{"key", silentAfter, "honest records pass on every node"},
		{"key", nodesDiffer, "all nodes agree"},
		{"bypass", refusesAttack, "2 unsigned records are accepted"},
		{"bypass", frozenOnOne, "every node is frozen, reads and repeats are answered"},
		{"bypass", noRepeats, "every node is frozen, reads and repeats are answered"},
		{"bypass", acceptsUnderFrost, "the canary is stopped only by the freeze"},
		{"bypass", acceptsAfter, "the canary is refused"},
		{"bypass", staysFrozen, "thaw"},
		{"bypass", nodesDiffer, "all nodes agree"},
	} {
		t.Run(c.scenario+"/"+c.fault, func(t *testing.T) {
			t.Parallel()
			_, d := newLedger(t, c.scenario, c.fault)
			err := scenarios[c.scenario](d, t.Context())
			if last := d.steps[len(d.steps)-1]; !errors.Is(err, ErrFailed) || last.Step != c.step {
				t.Errorf("%v at %q, want %q", err, last.Step, c.step)
			}
		})
	}
}

// TestPlantNamesThePolicyInForce: a drill recounts under the policy that was in force before, not under any other.
func TestPlantNamesThePolicyInForce(t *testing.T) {
	l, d := newLedger(t, "bypass", sound)
	if good, err := d.plant(t.Context()); err != nil || good != "good" || !l.lax {
		t.Errorf("%q %v, lax %v", good, err, l.lax)
	}
}

// TestLoad: each number is submitted once, and those of one loader in their order.
func TestLoad(t *testing.T) {
	l, d := newLedger(t, "key", sound)
	const count = 3*loaders + 5
	statuses, err := d.cluster.load(t.Context(), count, func(i int) ([]byte, error) {
		return d.cluster.honest.Signed(fmt.Sprint("shard-", i%loaders), int64(i))
	})
	if err != nil || statuses[200] != count || len(statuses) != 1 { // out of order is 202
		t.Errorf("%v %v", statuses, err)
	}
	var epochs []int64
	for _, e := range l.entries {
		epochs = append(epochs, e.rec.Epoch)
	}
	slices.Sort(epochs)
	for i, epoch := range epochs {
		if epoch != int64(i) {
			t.Fatalf("number %d is %d", i, epoch)
		}
	}
}

// TestLoadEnds: a record that cannot be made and a context that ends are errors with their cause, not a lower count.
func TestLoadEnds(t *testing.T) {
	_, d := newLedger(t, "key", sound)
	torn := errors.New("no record")
	if _, err := d.cluster.load(t.Context(), 100, func(i int) ([]byte, error) {
		if i == 70 {
			return nil, torn
		}
		return d.cluster.honest.Signed("lab-00", int64(i))
	}); !errors.Is(err, torn) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := d.cluster.load(ctx, 100, func(i int) ([]byte, error) {
		cancel()
		return d.cluster.honest.Signed("lab-00", int64(i))
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
