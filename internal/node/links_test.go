package node

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/laps"
	"github.com/recount-ledger/recount/internal/propose"
)

// olderLeader knows only some paths, and keeps what it was called with.
type olderLeader struct {
	onePeer
	knows []string
	calls []string
	body  []byte
}

func (p *olderLeader) Call(_ context.Context, _, path string, body []byte) ([]byte, error) {
	p.calls, p.body = append(p.calls, path), body
	if !slices.Contains(p.knows, path) {
		return nil, remote(cluster.CodeNoHandler)
	}
	return p.reply, p.err
}

// TestLinksAndOlderLeaders: links travel with a pack to a leader that knows them, and a leader that does not gets
// the pack alone. Any other error is final: the pack may be in the log.
func TestLinksAndOlderLeaders(t *testing.T) {
	links := []laps.Link{{1}, {2}}
	traced, pack := laps.WithLinks(t.Context(), links), []byte("pack")
	for name, c := range map[string]struct {
		ctx   context.Context
		knows []string
		err   error
		calls []string
	}{
		"not traced":   {t.Context(), []string{propose.ForwardPath, tracedPath}, nil, []string{propose.ForwardPath}},
		"traced":       {traced, []string{propose.ForwardPath, tracedPath}, nil, []string{tracedPath}},
		"older leader": {traced, []string{propose.ForwardPath}, nil, []string{tracedPath, propose.ForwardPath}},
		"lost":         {traced, []string{tracedPath}, errors.New("reset"), []string{tracedPath}},
	} {
		p := &olderLeader{onePeer: failing(c.err), knows: c.knows}
		if _, err := forwardTo(c.ctx, p, "b", pack); !errors.Is(err, c.err) || !slices.Equal(p.calls, c.calls) {
			t.Errorf("%s: %v %v", name, p.calls, err)
		}
		body := p.body
		if p.calls[len(p.calls)-1] == tracedPath {
			got, rest, ok := cutTraced(body)
			if !ok || !slices.Equal(got, links) {
				t.Errorf("%s: %v", name, got)
			}
			body = rest
		}
		if !bytes.Equal(body, pack) {
			t.Errorf("%s: the pack is %q", name, body)
		}
	}
}
