package node_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
)

// TestSuspendedLeaderHandsOver: a leader that alone finds the facts of an event false, because the others lack
// the secret, is suspended. Another one leads on, and the readiness says what helps; when that is done, the
// voters decide.
func TestSuspendedLeaderHandsOver(t *testing.T) {
	c := nodetest.Start(t, 3, abuseKeys(t))
	lead := c.Leader()
	start := func(i int, keys func(*node.Config)) {
		c.Stop(i)
		c.Tune(i, keys)
		c.Restart(i)
		c.Await("ready but for the secret", func() error {
			if status, text := c.Once(i, http.MethodGet, "/readyz?verbose&exclude=secrets",
				nil); status != http.StatusOK {
				return fmt.Errorf("%d %s", status, text)
			}
			return nil
		})
	}
	all := c.Config(lead).Keys
	for _, i := range []int{(lead + 1) % 3, (lead + 2) % 3} {
		start(i, func(cfg *node.Config) { cfg.Keys = all[1:] })
	}
	if now := c.Leader(); now != lead {
		t.Fatalf("node %d leads, it was node %d", now+1, lead+1)
	}
	falseRecord(t, c, "bad")
	withheldBecause(t, c, lead, "agreement")
	next := leaderIsNot(c, lead)
	other := 3 - lead - next
	f := nodetest.NewRecords(t)
	for i, node := range []int{next, other} {
		c.Await("a record", func() error {
			body := f.Members(fmt.Sprint("good-", i), 1).SignPCS1(t, nodetest.AbuseSigners["hmac"]).Text(t)
			if status, text := c.Once(node, http.MethodPost, client.SubmitPath, body); status != http.StatusOK {
				return fmt.Errorf("%d %s", status, text)
			}
			return nil
		})
	}
	if _, text := c.Once(lead, http.MethodGet, "/readyz?verbose",
		nil); !strings.Contains(string(text), "give the secret of key "+all[0].ID) {
		t.Errorf("the readiness does not say what helps: %s", text)
	}
	start(other, func(cfg *node.Config) { cfg.Keys = all })
	// two of three find the facts false: the event is bad, and no node
	c.AwaitReady(lead)
	c.Await("the word of the leader about the dispute", func() error { // it speaks once it has folded it itself
		if !strings.Contains(c.Logs(), "a record is in the ledger that is not signed as its facts say") {
			return errors.New("not in the log yet")
		}
		return nil
	})
	for i := range 3 {
		if marked(c, i) {
			t.Errorf("node %d quarantined itself", i+1)
		}
	}
}
