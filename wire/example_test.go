package wire_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// exit ends an example on an error that a program would log.
func exit(err error) {
	if err != nil {
		slog.Error("the example stops", "error", err)
		os.Exit(1)
	}
}

// A client reads the code of a problem, and never its words.
func ExampleProblem() {
	const body = `{"type":"/problems/epoch-regression","title":"Late epoch","status":403,"detail":"...","error":"...",
		"code":"epoch_regression","reason_code":"epoch_regression","accepted":false,"escalated":false}`
	var p wire.Problem
	exit(json.Unmarshal([]byte(body), &p))
	fmt.Println(p.Code == wire.CodeEpochRegression, p.Code.Slug(), p.OutcomeLabel())
	// Output: true epoch-regression refused
}

// Every code has a status and a page.
func ExampleNewProblem() {
	p := wire.NewProblem(wire.CodeThrottled, "this key is over its share").WithRetry(1500 * time.Millisecond)
	fmt.Println(p.Status, p.Type, p.RetryAfterSeconds(), p)
	// Output: 429 /problems/throttled 2 throttled: this key is over its share
}

// The status of a response follows from the outcome and the first reason.
func ExampleStatusOf() {
	fmt.Println(wire.StatusOf(wire.OutcomeAccepted, wire.ReasonOK))
	fmt.Println(wire.StatusOf(wire.OutcomeEscalated, "d_hat_mismatch"))
	fmt.Println(wire.StatusOf(wire.OutcomeRefused, string(wire.CodeBadSignature)))
	fmt.Println(wire.StatusOf(wire.OutcomeConflict, string(wire.CodeConflict)))
	// Output:
	// 200
	// 202
	// 401
	// 409
}

// Texts of times have one width, so they sort like the times.
func ExampleTime() {
	at, err := wire.ParseTime("2026-11-03T07:00:07+01:00")
	exit(err)
	fmt.Println(wire.Time(at))
	_, err = wire.ParseTime("2026-11-03 06:00")
	fmt.Println(errors.Is(err, wire.ErrTime))
	// Output:
	// 2026-11-03T06:00:07.000000000Z
	// true
}

// A token carries its role, its id and a checksum, so a slip is found before a node is asked.
func ExampleParseToken() {
	text, id, err := wire.NewToken(wire.RoleAuditor)
	exit(err)
	role, read, err := wire.ParseToken(text)
	exit(err)
	fmt.Println(role, read == id)

	_, _, err = wire.ParseToken(strings.TrimSuffix(text, text[len(text)-1:]))
	fmt.Println(err)
	// Output:
	// auditor true
	// not a token
}
