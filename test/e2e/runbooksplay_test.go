package e2e

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/test/harness"
	"github.com/recount-ledger/recount/wire"
)

// persons plays a page with one person, and with two where the nodes want two.
func persons(t *testing.T, page string, play func(c *abused, r *runbook, two bool)) {
	for name, two := range map[string]bool{"one person": false, "two persons": true} {
		t.Run(name, func(t *testing.T) {
			nodes, env := 1, []string{}
			if two || full {
				nodes = 3
			}
			if two {
				env = append(env, "RECOUNT_AUTH_TWO_PERSON=true")
			}
			r := readRunbook(t, page)
			r.refused = []string{"recount generation activate ", "recount generation rollback ", "recount thaw ", "recount policy apply "}
			play(abuse(t, nodes, env...), r, two)
		})
	}
}

// people opens the shells of those who respond, with the block on top of the page.
func (r *runbook) people(c *abused, two bool, values map[string]string) {
	r.t.Helper()
	token := func(role wire.Role) string { return filepath.Join(c.Dir, "tokens", string(role)+".token") }
	values["RECOUNT_ENDPOINTS"], values["RECOUNT_CA"] = strings.Join(c.API, ","), filepath.Join(c.Dir, "ca.pem")
	dir := r.t.TempDir()
	values["RECOUNT_TOKEN_FILE"] = token(wire.RoleResponder)
	r.shells[0] = newShell(c.ctx, r.t, dir, r.settings(values))
	if two {
		values["RECOUNT_TOKEN_FILE"] = token(wire.RoleOperator)
		r.shells[1] = newShell(c.ctx, r.t, r.t.TempDir(), r.settings(values))
	}
}

// outcomes returns what the ledger answers now for the submissions of a shard, in order.
func (a *abused) outcomes(shard string) string {
	a.t.Helper()
	var rows []wire.AuditItem
	a.run(&rows, "audit", "--shard", shard)
	var words []string
	for _, row := range rows {
		if row.ReasonCode != "frozen" {
			words = append(words, row.Outcome)
		}
	}
	return strings.Join(words, " ")
}

func (a *abused) says(when, shard, want string) {
	a.t.Helper()
	if got := a.outcomes(shard); got != want {
		a.t.Errorf("%s: the records of %s are %s, want %s", when, shard, got, want)
	}
}

// TestRunbookKeyLeak plays docs/runbooks/key-leak.md word for word, but for the values of the block on top.
func TestRunbookKeyLeak(t *testing.T) {
	persons(t, "docs/runbooks/key-leak.md", func(c *abused, r *runbook, two bool) {
		t := r.t
		honest, thief := nodetest.MAC([]byte(harness.BenchKey)), nodetest.AbuseSigners["hmac"]
		leaked, err := verify.NewHMACKey([]byte(nodetest.AbuseSecret))
		c.must(err)
		record := func(shard string, epoch int64, by nodetest.Signer) []byte {
			return c.records.Members(shard, epoch).SignPCS2(t, by).Text(t)
		}
		c.run(nil, "shard", "known", "add", "lab-*")
		c.expect(http.StatusOK, record("lab-1", 1, honest))
		c.expect(http.StatusOK, record("lab-1", 50, thief))
		c.expect(http.StatusOK, record("thief-1", 1, thief))
		c.expect(http.StatusAccepted, record("lab-1", 2, honest))
		r.people(c, two, map[string]string{"OPERATOR": filepath.Join(c.Dir, "tokens", "operator.token"), "KEY": leaked.ID, "SINCE": "1h", "REASON": "laptop stolen", "TICKET": "INC-9"})

		r.shows(r.play("0."), `thief-1`)
		c.expect(http.StatusServiceUnavailable, record("lab-1", 3, honest))
		r.shows(r.play("1."), `signed since then +2\n`)
		r.shows(r.play("2."), `ed-[0-9a-f]{8}`)
		r.shows(r.play("3."), `(?s)direct +2\n.*instead of +1\n`)
		c.says("recounted", "lab-1", "accepted refused accepted")
		c.says("recounted", "thief-1", "refused")
		r.play("4.")
		sameDigest(t, c.ctx, c.Cluster)
		c.expect(http.StatusOK, record("lab-1", 3, honest))
		for i := range c.API {
			c.refused("the next record of the thief", i, record("thief-2", int64(i+1), thief), http.StatusForbidden, wire.CodeKeyNotAllowed)
		}
		r.shows(r.play("5."), `instead of +2\n`)
		c.says("rolled back", "lab-1", "accepted accepted escalated escalated")
		c.refused("after the rollback", 0, record("thief-2", 9, thief), http.StatusForbidden, wire.CodeKeyNotAllowed)
		sameDigest(t, c.ctx, c.Cluster)
		r.whole()
	})
}

// TestRunbookBypass plays docs/runbooks/verifier-bypass.md word for word, but for the values of the block on top.
func TestRunbookBypass(t *testing.T) {
	persons(t, "docs/runbooks/verifier-bypass.md", func(c *abused, r *runbook, two bool) {
		c.opened(two)
		r.people(c, two, map[string]string{"REASON": "unsigned records were let in", "TICKET": "INC-7"})
		r.fails = map[string]int{"Symptom: recount canary": 7, "1.: recount canary": 7}

		r.shows(r.play("Symptom"), `let through`)
		r.shows(r.play("1."), `frozen`)
		c.expect(http.StatusServiceUnavailable, c.signed("lab-1", 3))
		r.shows(r.play("2."), `put policy`)
		r.shows(r.play("3."), `accepted->refused: 2|refused`)
		r.shows(r.play("4."), `(?s)direct +2\n.*indirect +1\n.*instead of +1\n`)
		c.says("recounted", "lab-1", "accepted refused accepted")
		r.play("5.")
		sameDigest(r.t, c.ctx, c.Cluster)
		c.expect(http.StatusOK, c.signed("lab-1", 3))
		c.refused("after the recount", 0, c.records.Members("thief-1", 2).Text(r.t), http.StatusUnauthorized, wire.CodeBadSignature)
		sameDigest(r.t, c.ctx, c.Cluster)
		r.shows(r.play("6."), `instead of +2\n`)
		c.says("rolled back", "thief-1", "accepted accepted")
		r.shows(r.play("One command"), `Without --dry-run`)
		r.whole()
	})
}

// TestRunbookRecounting plays the steps of docs/recounting.md word for word, but for the values of the block on top.
func TestRunbookRecounting(t *testing.T) {
	persons(t, "docs/recounting.md", func(c *abused, r *runbook, two bool) {
		c.opened(two)
		r.people(c, two, map[string]string{"REASON": "unsigned records were let in", "TICKET": "INC-7"})

		r.play("1.")
		c.expect(http.StatusOK, c.records.Members("thief-1", 2).Text(r.t))
		r.shows(r.play("2."), `judges events after`)
		c.refused("after the policy", 0, c.records.Members("thief-1", 3).Text(r.t), http.StatusUnauthorized, wire.CodeBadSignature)
		r.shows(r.play("3."), `(?s)direct +3\n.*flips written`)
		c.expect(http.StatusAccepted, c.signed("lab-1", 3)) // flips after the review, behind the forgery
		r.shows(r.play("4."), `(?s)instead of +1\n.*flips after review +1\n`)
		c.says("recounted", "thief-1", "refused refused refused")
		r.shows(r.play("5."), `(?m)accepted +refused`)
		r.shows(r.play("6."), `(?s)instead of +2\n.*dropped at seq`)
		c.says("rolled back", "thief-1", "accepted accepted refused")
		sameDigest(r.t, c.ctx, c.Cluster)
		r.whole()
	})
}
