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

// Kinds of an Error, for errors.Is. An Error with a problem also matches *wire.Problem in errors.As.
var (
	ErrNotFound       = errors.New("not found")
	ErrRejected       = errors.New("rejected")        // a repetition gives the same response
	ErrUnavailable    = errors.New("unavailable")     // nothing was committed by this call
	ErrOutcomeUnknown = errors.New("outcome unknown") // sent, no response; sending the same bytes again is safe
	ErrUntrusted      = errors.New("TLS not trusted") // the certificate does not fit the CA or the name
	ErrCursorGone     = errors.New("cursor gone")     // start the list again
	ErrProtocol       = errors.New("not an answer of a Recount node")
)

// Error is the failure of one call after all its attempts.
type Error struct {
	Endpoint string        // endpoint of the last attempt
	Attempts int           // requests that were made
	Status   int           // HTTP status of the last response, 0 without one
	Problem  *wire.Problem // problem in the last response, nil without one
	Cause    error         // network or context error, nil if the response itself is the failure
	MaySent  bool          // a submission or operation reached some node at least once and got no final response
}

// Error returns one line with the failure and the endpoint.
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

// Unwrap returns the problem and the cause.
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

// Is reports whether target is the kind of e. An error has exactly one kind, or none.
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
		e.Status == http.StatusGatewayTimeout, e.Status == http.StatusBadGateway,
		e.Status == http.StatusRequestTimeout, e.Status == http.StatusInsufficientStorage:
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

// isUntrusted distinguishes errors of the TLS identity, which repeating does not fix, from a broken network.
func isUntrusted(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var notTLS tls.RecordHeaderError
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &name) ||
		errors.As(err, &invalid) || errors.As(err, &notTLS) || errors.Is(err, http.ErrSchemeMismatch)
}

// RetryAfter returns the time that the last response asked to wait, or 0.
func (e *Error) RetryAfter() time.Duration {
	if e.Problem == nil {
		return 0
	}
	return time.Duration(e.Problem.RetryAfterMS) * time.Millisecond
}
