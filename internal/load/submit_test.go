package load

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// TestAnswers: each response and each failure without one has an outcome, and each failure a short code.
func TestAnswers(t *testing.T) {
	problem := func(code wire.Code) string { return fmt.Sprintf(`{"code":%q,"text":"x"}`, code) }
	for _, x := range []struct {
		status  int
		body    string
		outcome Outcome
		code    string
	}{
		{200, `{"accepted":true,"outcome":"accepted"}`, Accepted, ""},
		{202, `{"accepted":false,"escalated":true,"outcome":"escalated"}`, Escalated, ""},
		{200, `<html>`, Unknown, "not_a_node"},
		{401, problem(wire.CodeBadSignature), Refused, "bad_signature"},
		{409, problem(wire.CodeConflict), Refused, "conflict"},
		{408, problem(wire.CodeTimeout), Unavailable, "request_timeout"},
		{429, problem(wire.CodeThrottled), Unavailable, "throttled"},
		{503, problem(wire.CodeNoLeader), Unavailable, "no_leader"},
		{507, problem(wire.CodeDiskFull), Unavailable, "disk_full"},
		{504, problem(wire.CodeOutcomeUnknown), Unknown, "outcome_unknown"},
		{500, problem(wire.CodeInternal), Unknown, "internal"},
		{502, `<html>`, Unknown, "no_problem_document"},
	} {
		got := answerOf(client.BatchOutcome{Response: &client.Response{Status: x.status, Body: []byte(x.body), Attempts: 3}})
		if (got.Text == "") != got.Outcome.Taken() {
			t.Errorf("%d %s: %q", x.status, x.body, got.Text)
		}
		if got.Text = ""; got != (Answer{Outcome: x.outcome, Error: x.code, Repeats: 2}) {
			t.Errorf("%d %s: %+v, want %s %q", x.status, x.body, got, x.outcome, x.code)
		}
	}
	for _, x := range []struct {
		err     *client.Error
		outcome Outcome
		code    string
	}{
		{&client.Error{Cause: context.DeadlineExceeded, MaySent: true}, Unknown, "no_answer_in_time"},
		{&client.Error{Cause: errors.New("refused")}, Unavailable, "network"},
		{&client.Error{Cause: client.ErrProtocol}, Unavailable, "not_a_node"},
		{&client.Error{Status: 503, Problem: wire.NewProblem(wire.CodeOverloaded, "")}, Unavailable, "overloaded"},
	} {
		got := answerOf(client.BatchOutcome{Err: x.err})
		if got != (Answer{Outcome: x.outcome, Error: x.code, Text: x.err.Error()}) {
			t.Errorf("%v: %+v, want %s %q", x.err, got, x.outcome, x.code)
		}
	}
}
