package node_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/nodetest"
)

// damaged is a cluster of one with records whose answers are known.
func damaged(t *testing.T) (c *nodetest.Cluster, answers map[string]string) {
	t.Helper()
	c = nodetest.Start(t, 1)
	f, bodies := nodetest.NewRecords(t), [][]byte(nil)
	answers = map[string]string{}
	for i := range 600 {
		r := nodetest.Record{Shard: fmt.Sprint(i), Epoch: 1, Root: "r", Wrong: i%4 == 0}
		answers[r.ID()] = ""
		bodies = append(bodies, f.Sign(r))
	}
	submitAll(t, c, 8, bodies)
	for id := range answers {
		status, body := c.Once(0, http.MethodGet, "/v1/pcs/"+id, nil)
		if status != http.StatusOK || !strings.Contains(string(body), `"node":"node-1"`) {
			t.Fatalf("status %d: %s", status, body)
		}
		answers[id] = string(body)
	}
	return c, answers
}

// awaitAnswers reads everything until every answer is as before. In between the node may say that it cannot answer.
func awaitAnswers(t *testing.T, c *nodetest.Cluster, answers map[string]string) {
	t.Helper()
	for id, want := range answers {
		c.Await("answer as before", func() error {
			switch status, body := c.Once(0, http.MethodGet, "/v1/pcs/"+id+"?consistency=local", nil); {
			case status == http.StatusServiceUnavailable:
				return fmt.Errorf("status %d: %s", status, body)
			case status != http.StatusOK || string(body) != want:
				t.Fatalf("status %d: %s, before it was %s", status, body, want)
			}
			return nil
		})
	}
	c.AwaitReady(0)
	c.Check()
}

func damages(t *testing.T, c *nodetest.Cluster) bool {
	t.Helper()
	_, page := c.Once(0, http.MethodGet, "/metrics", nil)
	return strings.Contains(string(page), "\nflk_damaged_stores_total 1\n")
}

// TestDamagedGeneration: reads that meet a bad block end no process, and none of them is an internal error. The
// node deletes the generation and folds it again by itself, and says until then that it cannot answer.
func TestDamagedGeneration(t *testing.T) {
	c, answers := damaged(t)
	c.Stop(0)
	c.FlipBit(c.LargestTable(0, "generations/1"), 0.4)
	c.Restart(0)
	for _, read := range []string{"/v1/audit", "/v1/shards", "/v1/digest", "/v1/keys",
		"/v1/pcs/" + strings.Repeat("0", 64)} {
		if status, body := c.Once(0, http.MethodGet, read+"?consistency=local",
			nil); status == http.StatusInternalServerError {
			t.Errorf("%s: %s", read, body)
		}
	}
	awaitAnswers(t, c, answers)
	if !strings.Contains(c.Logs(), "a generation is damaged") {
		t.Error("the damage was found before anybody read") // at the start: another test
	}
	if !damages(t, c) {
		t.Error("the metric does not count the damage")
	}
}

// TestGenerationThatCannotBeOpened: one of which files are missing, as after a removal that was cut short, is
// folded again; the rest of a removal is removed.
func TestGenerationThatCannotBeOpened(t *testing.T) {
	c, answers := damaged(t)
	c.Stop(0)
	for _, step := range []error{
		os.Remove(c.LargestTable(0, "generations/1")),
		os.MkdirAll(filepath.Join(c.Dir(0), "generations", ".dropped-2", "x"), 0o700),
		os.MkdirAll(filepath.Join(c.Dir(0), "derived.dropped-", "x"), 0o700),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	c.Restart(0)
	awaitAnswers(t, c, answers)
	if !damages(t, c) {
		t.Error("the metric does not count the damage")
	}
	for _, rest := range []string{"generations/.dropped-2", "derived.dropped-"} {
		if _, err := os.Stat(filepath.Join(c.Dir(0), rest)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the rest of a removal is still there: %s: %v", rest, err)
		}
	}
}

// TestDamagedDerived: derived/ is deleted and folded again when it cannot be read at the start, and when it was
// marked before.
func TestDamagedDerived(t *testing.T) {
	c, answers := damaged(t)
	for what, damage := range map[string]func() error{
		"missing": func() error { return os.Remove(c.LargestTable(0, "derived")) },
		"marked":  func() error { return os.WriteFile(filepath.Join(c.Dir(0), "derived.damaged"), nil, 0o600) },
	} {
		c.Stop(0)
		if err := damage(); err != nil {
			t.Fatal(what, err)
		}
		c.Restart(0)
		awaitAnswers(t, c, answers)
		if !damages(t, c) {
			t.Errorf("%s: the metric does not count the damage", what)
		}
		if _, err := os.Stat(filepath.Join(c.Dir(0), "derived.damaged")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the mark is still there: %v", what, err)
		}
	}
}
