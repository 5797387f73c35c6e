package api

import (
	"testing"
	"time"
)

// TestLiveTailThatLetsNothingPass: while events come that the filters leave out, the stream moves its position on. Otherwise
// the reader takes it for dead, and reads everything again.
func TestLiveTailThatLetsNothingPass(t *testing.T) {
	r := newTailing(t, func(c *Config) { c.TailEvery = 50 * time.Millisecond }, nil)
	r.add(3, "a")
	s := r.open("?shard=b")
	s.next() // where it begins
	moved := make(chan map[string]string, 1)
	go func() { moved <- s.next() }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		select {
		case e := <-moved:
			if e["id"] == "" || e["data"] != "" {
				t.Errorf("%v", e)
			}
			return
		case <-tick.C:
			r.add(1, "a")
		}
	}
	t.Error("nothing was sent while events came")
}
