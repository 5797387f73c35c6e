package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// What an Error can mean; test with errors.Is. An Error with a problem is also found by errors.As as
// *wire.Problem.
var (
	ErrNotFound       = errors.New("not found")
	ErrRejected       = errors.New("rejected")        // a repetition gives the same answer
	ErrUnavailable    = errors.New("unavailable")     // nothing was committed by this call
	ErrOutcomeUnknown = errors.New("outcome unknown") // sent, no answer; sending the same bytes again is safe
	ErrUntrusted      = errors.New("TLS not trusted") // the certificate does not fit the CA or the name
	ErrCursorGone     = errors.New("cursor gone")     // start the list again
	ErrProtocol       = errors.New("not an answer of a Recount node")
)

// Error is the failure of one call after all its attempts.
type Error struct {
	Endpoint string        // that was asked last
	Attempts int           // requests that were made
	Status   int           // HTTP status of the last answer, 0 without one
	Problem  *wire.Problem // what the last answer said, nil without one
	Cause    error         // network or context error, nil when the answer itself is the failure
	MaySent  bool          // a submission or an act reached some node at least once and got no final answer
}

// Error says what failed and where.
func (e *Error) Error() string {
	var text string
	switch {
	case e.Problem != nil && e.Cause != nil:
		text = fmt.Sprintf("%v; last answer: %d %s", e.Cause, e.Status, e.Problem.Error())
	case e.Problem != nil:
		text = fmt.Sprintf("%d %s", e.Status, e.Problem.Error())
	case e.Cause != nil:
		text = e.Cause.Error()
	default:
		text = fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))
	}
	if e.Problem != nil && e.Problem.RequestID != "" {
		text += " (request " + e.Problem.RequestID + ")"
	}
	if e.Attempts > 1 {
		return fmt.Sprintf("%s, after %d attempts: %s", e.Endpoint, e.Attempts, text)
	}
	return e.Endpoint + ": " + text
}

// Unwrap gives the problem and the cause.
func (e *Error) Unwrap() []error {
	var all []error
	if e.Problem != nil {
		all = append(all, e.Problem)
	}
	if e.Cause != nil {
		all = append(all, e.Cause)
	}
	return all
}

// Is says which of the sentinels of this package e is; exactly one of them, or none.
func (e *Error) Is(target error) bool { return target == e.kind() }

func (e *Error) kind() error {
	switch {
	case e.MaySent:
		return ErrOutcomeUnknown
	case isUntrusted(e.Cause):
		return ErrUntrusted
	case errors.Is(e.Cause, ErrProtocol):
		return ErrProtocol
	case e.Cause != nil, e.Status == http.StatusTooManyRequests, e.Status == http.StatusServiceUnavailable,
		e.Status == http.StatusGatewayTimeout, e.Status == http.StatusBadGateway, e.Status == http.StatusRequestTimeout, e.Status == http.StatusInsufficientStorage:
		return ErrUnavailable
	case e.Status == http.StatusNotFound:
		return ErrNotFound
	case e.Status == http.StatusGone:
		return ErrCursorGone
	case e.Status >= 400 && e.Status < 500:
		return ErrRejected
	}
	return nil
}

// isUntrusted tells errors of the TLS identity, which no repetition mends, from a broken network.
func isUntrusted(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var notTLS tls.RecordHeaderError
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &name) ||
		errors.As(err, &invalid) || errors.As(err, &notTLS) || errors.Is(err, http.ErrSchemeMismatch)
}

// RetryAfter is how long the last answer asked to wait, 0 when it did not.
func (e *Error) RetryAfter() time.Duration {
	if e.Problem == nil {
		return 0
	}
	return time.Duration(e.Problem.RetryAfterMS) * time.Millisecond
}
