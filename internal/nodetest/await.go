package nodetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// Once sends one request to node i as an operator, without any repetition, and returns status and body; a
// network error is status 0.
func (c *Cluster) Once(i int, method, path string, body []byte) (int, []byte) {
	req, err := http.NewRequest(method, apiURL(c.members[i])+path, bytes.NewReader(body))
	if err != nil {
		return 0, []byte(err.Error())
	}
	if method != http.MethodGet {
		req.Header.Set("Content-Type", wire.MediaJSON)
	}
	req.Header.Set("Authorization", "Bearer "+c.Tokens[wire.RoleOperator])
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, []byte(err.Error())
	}
	return resp.StatusCode, out
}

// AwaitReady waits until node i says that it is ready.
func (c *Cluster) AwaitReady(i int) {
	c.t.Helper()
	c.Await(fmt.Sprintf("node %d ready", i), func() error {
		if status, text := c.Once(i, http.MethodGet, "/readyz?verbose", nil); status != http.StatusOK {
			return fmt.Errorf("%d: %s", status, text)
		}
		return nil
	})
}

// Leader waits until a running node knows a leader and returns its number.
func (c *Cluster) Leader() int {
	c.t.Helper()
	leader := -1
	c.Await("a leader", func() error {
		for i := range c.members {
			if i = c.leaderSeenBy(i); i >= 0 {
				leader = i
				return nil
			}
		}
		return errors.New("none")
	})
	return leader
}

func (c *Cluster) leaderSeenBy(i int) int {
	m := c.members[i]
	m.mu.Lock()
	up := m.node != nil
	m.mu.Unlock()
	if !up {
		return -1
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	a, err := c.At(i).Cluster(ctx)
	if err != nil {
		return -1
	}
	for j, m := range c.members {
		if m.cfg.NodeID == a.Leader {
			return j
		}
	}
	return -1
}

// Await repeats f until it returns nil. It fails the test with what and the last error when that takes too long.
func (c *Cluster) Await(what string, f func() error) {
	c.t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-end.C:
			c.t.Fatalf("waited too long for %s: %v", what, err)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// logBuffer keeps the end of what the nodes log.
type logBuffer struct {
	mu   sync.Mutex
	text []byte
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	if len(b.text) > 2*maxLog {
		b.text = append(b.text[:0:0], b.text[len(b.text)-maxLog:]...)
	}
	return len(p), nil
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}
