package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// stopped is a node with everything that was acknowledged, and how it ended.
type stopped struct {
	name, data string
	head       uint64 // of its log
	lacks      string // a kind of file that it does not have
}

// flipScene is a stopped cluster: nodes 1 and 2 have everything, node 3 is late.
type flipScene struct {
	t        *testing.T
	ctx      context.Context
	c        *harness.Cluster
	client   *http.Client
	late     string
	variants []stopped
	ids      []string          // acknowledged
	answers  map[string]string // to every question, before the stop
	whole    digest            // at the last acknowledged event
}

// newFlipScene makes a cluster with every kind of file: generations, an activation and its history, tables and logs.
func newFlipScene(t *testing.T) *flipScene {
	t.Helper()
	c, ctx := start(t, 3)
	s := &flipScene{t: t, ctx: ctx, c: c, client: c.HTTP(16), answers: map[string]string{}}
	t.Cleanup(s.client.CloseIdleConnections)
	src, err := harness.NewSource(root)
	must(t, err)
	for range 60 {
		s.ids = append(s.ids, s.send(src, "early"))
	}
	r := newRecount(t, ctx, c)
	strict := r.start(r.publish("signature: {profiles: [es]}\n"))
	r.await(strict)
	if d := r.diff(strict); d.Flips == 0 {
		t.Fatalf("nothing flips, so that there is no history: %+v", d)
	}
	r.activate(strict)
	r.sameGeneration(strict)
	s.awaitHistory(1)
	for i := range 3 {
		s.stop(i)
	}
	for i := range 3 {
		restart(t, c, i)
	}
	must(t, c.AwaitReady(ctx, 0, 1, 2))
	must(t, r.try(http.MethodPost, "/v1/generations/rollback", map[string]string{"op_id": "back"}, nil))
	s.awaitHistory(2)
	s.acknowledge(src)
	return s
}

// awaitHistory waits until every node has recorded as many activations.
func (s *flipScene) awaitHistory(activations int) {
	s.t.Helper()
	for i := range 3 {
		s.await(func() error {
			b, err := os.ReadFile(filepath.Join(s.c.NodeDir(i), "log"))
			if got := strings.Count(string(b), `"msg":"recorded what changed at an activation"`); err == nil && got < activations {
				return fmt.Errorf("node %d has recorded %d activations", i+1, got)
			}
			return err
		})
	}
}

// await tries until it succeeds.
func (s *flipScene) await(f func() error) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(time.Minute)
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			s.t.Fatal(err)
		}
	}
}

// send sends a fresh record to node 1 until it is acknowledged.
func (s *flipScene) send(src *harness.Source, shard string) (id string) {
	s.t.Helper()
	body, err := src.Next(shard)
	must(s.t, err)
	var record struct {
		ID string `json:"pcs_id"`
	}
	must(s.t, json.Unmarshal(body, &record))
	s.await(func() error {
		if !sent(s.ctx, s.client, s.c.API[0], body) {
			return errors.New("a record is not acknowledged")
		}
		return nil
	})
	return record.ID
}

// acknowledge stops node 3, has records acknowledged by the others, and keeps node 1 killed and stopped, and node 3 as it was left.
func (s *flipScene) acknowledge(src *harness.Source) {
	s.t.Helper()
	keep := s.t.TempDir()
	must(s.t, s.c.Kill(2))
	s.late = filepath.Join(s.c.NodeDir(2), "data")
	for range 30 {
		s.ids = append(s.ids, s.send(src, "late"))
	}
	must(s.t, harness.Call(s.ctx, s.client, http.MethodGet, s.c.API[0]+"/v1/digest", nil, &s.whole))
	s.awaitFlip(s.ids[len(s.ids)-1])
	for _, q := range s.questions() {
		status, body, err := get(s.ctx, s.client, s.c.API[0]+q)
		if err != nil || status != http.StatusOK {
			s.t.Fatalf("%s: %d %v %s", q, status, err, body)
		}
		s.answers[q] = body
	}
	must(s.t, s.c.Kill(0))
	must(s.t, s.c.Kill(1))
	s.keep(keep, "killed", s.whole.Seq, "")
	for i := range 2 {
		restart(s.t, s.c, i)
	}
	must(s.t, s.c.AwaitReady(s.ctx, 0, 1))
	var d digest
	must(s.t, harness.Call(s.ctx, s.client, http.MethodGet, s.c.API[0]+"/v1/digest", nil, &d))
	s.stop(0)
	must(s.t, s.c.Kill(1))
	s.keep(keep, "stopped", d.Seq, "history/*.log")
}

// awaitFlip waits until the generation that was activated first is compared up to the last record.
func (s *flipScene) awaitFlip(id string) {
	s.t.Helper()
	s.await(func() error {
		_, body, err := get(s.ctx, s.client, s.c.API[0]+"/v1/generations/2/flips?limit=1000&consistency=local")
		if err == nil && !strings.Contains(body, id) {
			return fmt.Errorf("no flip of the last record in %s", body)
		}
		return err
	})
}

func (s *flipScene) keep(dir, name string, head uint64, lacks string) {
	v := stopped{name, filepath.Join(dir, name), head, lacks}
	copyDir(s.t, filepath.Join(s.c.NodeDir(0), "data"), v.data)
	s.variants = append(s.variants, v)
}

// questions are asked before and after: every record that was acknowledged, and lists of all rows.
func (s *flipScene) questions() (out []string) {
	for _, id := range s.ids {
		out = append(out, "/v1/pcs/"+id+"?consistency=local")
	}
	return append(out, "/v1/audit?limit=1000&consistency=local", "/v1/shards?consistency=local", "/v1/keys?consistency=local",
		"/v1/generations/2/flips?limit=1000&consistency=local",
		fmt.Sprintf("/v1/digest?seq=%d&consistency=local", s.whole.Seq))
}

// stop ends node i by a signal.
func (s *flipScene) stop(i int) {
	s.t.Helper()
	must(s.t, s.c.Signal(i, syscall.SIGTERM))
	must(s.t, s.c.AwaitStopped(i))
}

func get(ctx context.Context, client *http.Client, url string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}
