package client

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// TestMisdirected: an operation that only the leader may take finds it among the endpoints, and is an answer when it is not there.
func TestMisdirected(t *testing.T) {
	asked := 0
	leader := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(wire.ActivateAnswer{Generation: 1})
	}))
	defer leader.Close()
	follower := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		p := wire.NewProblem(wire.CodeMisdirected, "")
		p.Leader = leader.URL + "/"
		w.WriteHeader(p.Status)
		_ = json.NewEncoder(w).Encode(p)
	}))
	defer follower.Close()
	both, err := New(Config{Endpoints: []string{follower.URL, leader.URL}, Balance: Failover, MinBackoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if a, err := both.Rollback(t.Context(), wire.RollbackRequest{}); err != nil || a.Generation != 1 || asked != 1 {
		t.Errorf("%+v %v, the follower was asked %d times", a, err, asked)
	}
	if _, err := both.At(0).Rollback(t.Context(), wire.RollbackRequest{}); err == nil || asked != 2 {
		t.Errorf("%v, asked %d times", err, asked)
	}
}
