package cluster

import (
	"errors"
	"testing"
	"time"
)

// TestTransferWaitsForProposals: a leader hands over only after what was proposed is committed. The voter would lack
// it, and lose its election against those that hold it.
func TestTransferWaitsForProposals(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	b.propose(b.leader(), "x")
	lead := b.leader()
	to := b.followers(lead)[0]
	until(t, "the follower is heard", func() bool { _, alive := lead.c.watchdog.progress(to.id); return alive })
	release := lead.logs.hang()
	inFlight := []Future{lead.c.Propose([]byte("y")), lead.c.Propose([]byte("z"))}
	moved := make(chan error, 1)
	go func() {
		_, err := lead.c.Transfer(short(t, 10*time.Second), to.id)
		moved <- err
	}()
	until(t, "it hands over", lead.c.handing.Load)
	if _, err := lead.c.Propose([]byte("late")).Wait(short(t, time.Second)); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a proposal meanwhile: %v", err)
	}
	select { // the time in which a transfer that does not wait goes wrong
	case err := <-moved:
		t.Errorf("it did not wait: %v", err)
	case <-time.After(lead.c.cfg.Timings.Election / 2):
	}
	release()
	for i, f := range inFlight {
		if _, err := f.Wait(short(t, 10*time.Second)); err != nil {
			t.Errorf("proposal %d: %v", i, err)
		}
	}
	if err := <-moved; err != nil {
		t.Error(err)
	}
	if now := b.leader(); now != to {
		t.Errorf("%s leads, not %s", now.id, to.id)
	}
}
