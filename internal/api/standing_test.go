package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// endless are views, generations and copies whose answers have no end. begun is called with every part of an answer.
type endless struct {
	*fakeLedger
	begun func()
}

func (e endless) View(ctx context.Context, r Read) (View, error) {
	view, err := e.fakeLedger.View(ctx, r)
	return endlessView{view, e}, err
}

type endlessView struct {
	View
	of endless
}

func (v endlessView) Audit(ctx context.Context, q AuditQuery) (AuditResult, error) {
	v.of.begun()
	return AuditResult{Items: []wire.AuditItem{{Reason: long}}, Next: q.FromSeq + 1}, ctx.Err()
}

func (v endlessView) Events(ctx context.Context, q EventsQuery) (EventsResult, error) {
	v.of.begun()
	return EventsResult{Items: []wire.EventAnswer{{Kind: long}}, Next: q.From + 1}, ctx.Err()
}

var long = strings.Repeat("a", 1<<20)

type endlessGenerations struct {
	*fakeGenerations
	of endless
}

func (e endlessGenerations) Generation(context.Context, uint32) (*wire.GenerationAnswer, error) {
	e.of.begun()
	return &wire.GenerationAnswer{Generation: 1, Nodes: []wire.NodeProgress{{State: "building"}}}, nil
}

func (e endlessGenerations) Flips(ctx context.Context, q FlipsQuery) (FlipsResult, error) {
	e.of.begun()
	return FlipsResult{Items: []wire.Flip{{ShardID: long}}, Next: q.FromSeq + 1}, ctx.Err()
}

type endlessCopies struct {
	*fakeCopies
	of endless
}

func (e endlessCopies) Open(ctx context.Context, _, _ string) (CopyContent, error) {
	return CopyContent{zeros{ctx, e.of}, wire.CopyFile{Size: endlessSize}}, nil
}

const endlessSize = 1 << 40

// zeros is a file of many zeros.
type zeros struct {
	ctx context.Context
	of  endless
}

func (z zeros) Close() error { return nil }

func (z zeros) Seek(at int64, from int) (int64, error) {
	if from == io.SeekEnd {
		at += endlessSize
	}
	return at, nil
}

func (z zeros) Read(b []byte) (int, error) {
	z.of.begun()
	return len(b), z.ctx.Err()
}

// TestAnswersEndWithTheirToken: no answer goes on for long after the token was revoked with which it was asked for, also
// when its reader takes nothing.
func TestAnswersEndWithTheirToken(t *testing.T) {
	for _, c := range []struct {
		target, accept string
		stuck          bool
	}{
		{"/v1/audit?limit=100000", wire.MediaNDJSON, false},
		{"/v1/audit?limit=100000", wire.MediaNDJSON, true},
		{"/v1/events", "", false},
		{"/v1/generations/1/flips?limit=10000", wire.MediaNDJSON, false},
		{"/v1/generations/1/flips?limit=10000", wire.MediaNDJSON, true},
		{"/v1/generations/1/progress", "", false},
		{"/v1/copies/c1/files/000004.sst", "", false},
		{"/v1/copies/c1/files/000004.sst", "", true},
	} {
		t.Run(fmt.Sprintf("%s stuck %t", strings.ReplaceAll(c.target, "/", " "), c.stuck), func(t *testing.T) {
			cutOff(t, c.target, c.accept, c.stuck, func(fake *fakeLedger) {
				fake.revoked = map[string]bool{fake.tokens[0].ID: true}
			})
		})
	}
}

// TestAnswersEndWithQuarantine: no answer that another part of the node gives batch by batch goes on when the node begins to
// answer no client.
func TestAnswersEndWithQuarantine(t *testing.T) {
	for target, accept := range map[string]string{
		"/v1/generations/1/flips?limit=10000": wire.MediaNDJSON,
		"/v1/generations/1/progress":          "",
	} {
		t.Run(strings.ReplaceAll(target, "/", " "), func(t *testing.T) {
			cutOff(t, target, accept, false, func(fake *fakeLedger) {
				fake.withheld = wire.NewProblem(wire.CodeNotReady, "this node is quarantined")
			})
		})
	}
}

// cutOff reads an answer without an end, which ends soon after cut and does not look whole.
func cutOff(t *testing.T, target, accept string, stuck bool, cut func(fake *fakeLedger)) {
	begun, ended := make(chan struct{}), make(chan struct{})
	var text string
	r := newTailing(t, func(c *Config) {
		fake := c.Ledger.Views.(*fakeLedger)
		text = fake.give(wire.RoleOperator, "a", time.Now().Add(time.Hour))
		e := endless{fake, sync.OnceFunc(func() { close(begun) })}
		c.NoAuth, c.StandEvery, c.ProgressEvery = false, 20*time.Millisecond, 10*time.Millisecond
		c.Ledger.Views, c.Ledger.Copies = e, endlessCopies{&fake.copies, e}
		c.Ledger.Generations = endlessGenerations{fake.fakeGenerations, e}
	}, nil)
	inner := r.server.Handler
	r.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		defer close(ended)
		inner.ServeHTTP(w, req)
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		strings.TrimSuffix(r.url, "/v1/audit/stream")+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+text)
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	<-begun
	read := make(chan string, 1)
	if !stuck {
		go func() {
			all, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<30))
			read <- string(all[max(0, len(all)-100):])
		}()
	}
	r.fake.mu.Lock()
	cut(r.fake)
	r.fake.mu.Unlock()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
	if stuck {
		return
	}
	if last := <-read; strings.Contains(last, `"trailer"`) || strings.Contains(last, "event: done") {
		t.Errorf("it looks whole: %s", last)
	}
}
