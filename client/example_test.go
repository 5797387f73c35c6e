package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// exit ends an example on an error that an agent would log.
func exit(err error) {
	if err != nil {
		slog.Error("the example stops", "error", err)
		os.Exit(1)
	}
}

// exampleNode is a node that gives one response after the other. A program talks to real ones over HTTPS.
func exampleNode(responses ...any) *httptest.Server {
	next := 0
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		response := responses[next]
		next++
		if p, isProblem := response.(*wire.Problem); isProblem {
			w.Header().Set("Content-Type", wire.MediaProblem)
			w.WriteHeader(p.Status)
		}
		_ = json.NewEncoder(w).Encode(response)
	}))
}

func exampleClient(node *httptest.Server) *client.Client {
	c, err := client.New(client.Config{Endpoints: []string{node.URL}})
	exit(err)
	return c
}

// The first node has no leader yet and asks for patience. Submit waits and sends the same bytes again.
func ExampleClient_Submit() {
	node := exampleNode(
		wire.NewProblem(wire.CodeNoLeader, "").WithRetry(time.Millisecond),
		wire.SubmitAnswer{Accepted: true, Outcome: wire.OutcomeAccepted, ReasonCode: wire.ReasonOK, Seq: 7},
	)
	defer node.Close()
	c := exampleClient(node)
	defer c.Close()

	result, err := c.Submit(context.Background(), []byte(`{"pcs_id":"b3997e86...","sig":"..."}`))
	exit(err)
	fmt.Println(result.Outcome, "as event", result.Seq, "after", result.Attempts, "attempts")
	// Output: accepted as event 7 after 2 attempts
}

// An agent decides by the kind of the error whether the record is sent again, and reads the problem for the reason.
func ExampleError() {
	node := exampleNode(wire.NewProblem(wire.CodeBadSignature, "no registered key made this signature"))
	defer node.Close()
	c := exampleClient(node)
	defer c.Close()

	_, err := c.Submit(context.Background(), []byte(`{"pcs_id":"b3997e86...","sig":"..."}`))
	switch {
	case errors.Is(err, client.ErrRejected):
		fmt.Println("keep the record, and do not send it again")
	case errors.Is(err, client.ErrUnavailable), errors.Is(err, client.ErrOutcomeUnknown):
		fmt.Println("send the same bytes again")
	}
	var problem *wire.Problem
	if errors.As(err, &problem) {
		fmt.Println(problem.Status, problem.Code, "-", problem.Detail)
	}
	// Output:
	// keep the record, and do not send it again
	// 401 bad_signature - no registered key made this signature
}

// Audit reads as many pages as the list has. An error ends it.
func ExampleClient_Audit() {
	node := exampleNode(
		wire.AuditPage{NextCursor: "c1", Items: []wire.AuditItem{
			{Seq: 12, ShardID: "lab-7", Epoch: 1, Outcome: wire.OutcomeAccepted},
			{Seq: 13, ShardID: "lab-7", Epoch: 2, Outcome: wire.OutcomeEscalated},
		}},
		wire.AuditPage{Items: []wire.AuditItem{{Seq: 19, ShardID: "lab-7", Epoch: 3, Outcome: wire.OutcomeAccepted}}},
	)
	defer node.Close()
	c := exampleClient(node)
	defer c.Close()

	for item, err := range c.Audit(context.Background(), client.AuditQuery{Shard: "lab-7"}) {
		exit(err)
		fmt.Println(item.Seq, item.Epoch, item.Outcome)
	}
	// Output:
	// 12 1 accepted
	// 13 2 escalated
	// 19 3 accepted
}
