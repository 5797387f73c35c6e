package seed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"
)

var errCrash = errors.New("the process ends here")

// TestCrashes ends the process of the joining node at each step of a copy and of the installation, several times in a
// row, and starts it again. Whatever is on the disk then, it ends with the log of the member.
func TestCrashes(t *testing.T) {
	m := newMember(t, "n1", entries)
	steps := map[string]int{}
	j := newJoiner(t, m)
	j.step = func(name string) error { steps[name]++; return nil }
	must(t, j.start())
	j.same(m)
	if len(steps) < 9 {
		t.Fatalf("steps: %v", steps)
	}
	for name, times := range steps {
		for _, at := range []int{1, times/2 + 1, times} {
			t.Run(fmt.Sprintf("%s %d", name, at), func(t *testing.T) {
				m.source.ids, m.source.made = map[string]string{}, map[string][]time.Time{}
				j := newJoiner(t, m)
				crashes, seen := 0, 0
				j.step = func(step string) error {
					if step == name {
						if seen++; seen >= at && crashes < 3 {
							crashes++
							return errCrash
						}
					}
					return nil
				}
				for j.start() != nil {
					if crashes > 3 {
						t.Fatal("no end")
					}
				}
				if crashes == 0 {
					t.Error("no crash")
				}
				j.same(m)
			})
		}
	}
}

// start is one process of a node that joins: it installs what is ready, and otherwise copies and opens again.
func (j *joiner) start() error {
	j.t.Helper()
	step := j.step
	done, err := install(j.dir, slog.New(slog.DiscardHandler), step)
	if done || err != nil {
		return err
	}
	if last := j.lastIndex(); last > 0 {
		return nil // an earlier process had installed it
	}
	ctx, cancel := context.WithTimeout(j.t.Context(), time.Minute)
	defer cancel()
	var crashed error
	j.step = func(name string) error {
		if err := step(name); err != nil {
			crashed = err
			cancel()
			return err
		}
		return nil
	}
	r := j.receiver()
	j.step = step
	if _, err = r.Run(ctx); err == nil {
		_, err = install(j.dir, slog.New(slog.DiscardHandler), step)
	}
	return errors.Join(crashed, err)
}
