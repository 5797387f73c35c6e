package load

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/recount-ledger/recount/client"
)

// The errors of answers that carry no problem code.
const (
	errTimeout   = "no_answer_in_time"
	errTLS       = "tls_not_trusted"
	errNetwork   = "network"
	errNotNode   = "not_a_node"
	errNoProblem = "no_problem_document"
)

// Submitter returns a Send that submits with one client for each sender, over a connection of its own. Each sender
// stays at one node and sends a record once. With retry it submits as an agent does: to any node, and again while
// that can help.
//
// A client that is shared opens more connections than it uses: a request takes one that becomes free while its own is
// opened. A node closes a connection without a request after five seconds, and a request that takes it at that
// moment fails.
func Submitter(senders []*client.Client, timeout time.Duration, retry bool) func(context.Context, int, []byte) Answer {
	return func(ctx context.Context, sender int, record []byte) Answer {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		q := client.Request{Method: http.MethodPost, Path: client.SubmitPath, Body: record}
		c := senders[sender]
		send := c.At(sender % len(c.Endpoints())).Once
		if retry {
			send = c.Do
		}
		resp, err := send(ctx, q)
		return answerOf(client.BatchOutcome{Response: resp, Err: err})
	}
}

// answerOf sorts the result of one submission.
func answerOf(o client.BatchOutcome) Answer {
	result, err := o.Result()
	if err == nil {
		a := Answer{Outcome: Accepted, Repeats: result.Attempts - 1}
		if !result.Accepted {
			a.Outcome = Escalated
		}
		return a
	}
	a := Answer{Outcome: failed(o.Response, err), Error: errorOf(err), Text: err.Error()}
	var failure *client.Error
	if errors.As(err, &failure) {
		a.Repeats = max(failure.Attempts-1, 0)
	}
	return a
}

// failed returns the outcome of a record that was not taken.
func failed(resp *client.Response, err error) Outcome {
	switch {
	case resp == nil && errors.Is(err, client.ErrOutcomeUnknown):
		return Unknown
	case resp == nil:
		return Unavailable
	}
	switch resp.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInsufficientStorage,
		http.StatusRequestTimeout:
		return Unavailable
	}
	if resp.Status >= 400 && resp.Status < 500 {
		return Refused
	}
	return Unknown
}

// errorOf returns a short code for an error.
func errorOf(err error) string {
	var failure *client.Error
	errors.As(err, &failure)
	switch {
	case failure != nil && failure.Problem != nil && failure.Problem.Code != "":
		return string(failure.Problem.Code)
	case failure != nil && failure.Problem != nil:
		return errNoProblem
	case errors.Is(err, client.ErrUntrusted):
		return errTLS
	case errors.Is(err, client.ErrProtocol):
		return errNotNode
	case errors.Is(err, context.DeadlineExceeded):
		return errTimeout
	}
	return errNetwork
}
