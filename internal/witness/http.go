package witness

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/recount-ledger/recount/evidence"
)

// atOnce bounds the requests that are answered at a time. Each may hold maxRequest bytes and waits for the disk.
const atOnce = 32

// Bounds of the bodies that are read at a time: all, and so the memory for those of slow senders (40 MiB), and those of
// one address.
const (
	bodiesAtOnce = 512
	bodiesOfOne  = 64
)

// Results of requests, the label of flk_witness_requests_total.
const (
	cosignedResult  = "cosigned"
	conflictResult  = "conflict"
	forkResult      = "fork"
	proofResult     = "proof"
	untrustedResult = "untrusted"
	unknownResult   = "unknown"
	malformedResult = "malformed"
	busyResult      = "busy"
	failedResult    = "failed"
)

var results = []string{cosignedResult, conflictResult, forkResult, proofResult, untrustedResult, unknownResult,
	malformedResult, busyResult, failedResult}

// Handler answers POST /add-checkpoint. A request takes its turn when its body is here, so a few slow senders hold nobody
// up. The bodies that are read at a time are bounded as well.
func (w *Witness) Handler() http.Handler {
	turns, bodies := make(chan struct{}, atOnce), reading{of: map[string]int{}}
	busy := func(rw http.ResponseWriter) {
		w.counts.add(busyResult)
		rw.Header().Set("Retry-After", "1")
		http.Error(rw, "too many requests at a time", http.StatusServiceUnavailable)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", func(rw http.ResponseWriter, r *http.Request) {
		sender := senderOf(r.RemoteAddr)
		if !bodies.begin(sender) {
			busy(rw)
			return
		}
		defer bodies.end(sender)
		body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxRequest))
		select {
		case turns <- struct{}{}:
			defer func() { <-turns }()
			w.serve(rw, body, err)
		default:
			busy(rw)
		}
	})
	return mux
}

// serve answers a request with this body, or with what kept it from being read.
func (w *Witness) serve(rw http.ResponseWriter, body []byte, err error) {
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	var req Request
	if err == nil {
		req, err = ParseRequest(body)
	}
	var lines []byte
	if err == nil {
		lines, err = w.Add(req)
	}
	result, status := resultOf(err)
	w.counts.add(result)
	var conflict *ConflictError
	switch {
	case err == nil:
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = rw.Write(lines) // the other side may have gone
	case errors.As(err, &conflict):
		rw.Header().Set("Content-Type", "text/x.tlog.size")
		rw.WriteHeader(status)
		_, _ = fmt.Fprintf(rw, "%d\n", conflict.Size)
	case status == http.StatusInternalServerError:
		w.Logger.Error("a checkpoint could not be cosigned", "error", err)
		http.Error(rw, "the witness could not keep the checkpoint", status)
	default:
		http.Error(rw, err.Error(), status)
	}
}

// resultOf returns the label and the status of an answer.
func resultOf(err error) (result string, status int) {
	var conflict *ConflictError
	switch {
	case err == nil:
		return cosignedResult, http.StatusOK
	case errors.As(err, &conflict) && conflict.Fork:
		return forkResult, http.StatusConflict
	case errors.As(err, &conflict):
		return conflictResult, http.StatusConflict
	case errors.Is(err, ErrFork):
		return forkResult, http.StatusUnprocessableEntity
	case errors.Is(err, evidence.ErrProof):
		return proofResult, http.StatusUnprocessableEntity
	case errors.Is(err, ErrUnknown):
		return unknownResult, http.StatusNotFound
	case errors.Is(err, ErrMalformed):
		return malformedResult, http.StatusBadRequest
	case errors.Is(err, evidence.ErrSignature):
		return untrustedResult, http.StatusForbidden
	}
	return failedResult, http.StatusInternalServerError
}
