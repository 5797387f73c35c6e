package notary

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/witness"
)

// askTimeout bounds one request to a witness, and answerBytes what is read of its answer.
const (
	askTimeout  = 5 * time.Second
	answerBytes = 16 << 10
)

// Results of questions to witnesses, the label of flk_cosignature_requests_total.
const (
	// Cosigned means that the witness cosigned.
	Cosigned = "cosigned"
	// Ahead means that the witness has seen a later checkpoint, from another node or before this one was restored.
	Ahead = "ahead"
	// Refused means that the witness has seen another tree, or takes the proof for wrong.
	Refused = "refused"
	// Unknown means that the witness does not know the ledger or none of its keys.
	Unknown = "unknown"
	// Unreachable means that there was no answer, or that the witness could not give one.
	Unreachable = "unreachable"
	// Malformed means that the answer was not one of a witness with this key.
	Malformed = "malformed"
)

// Results lists all of them.
func Results() []string { return []string{Cosigned, Ahead, Refused, Unknown, Unreachable, Malformed} }

// answer is the end of a question to one witness.
type answer struct {
	witness int
	shown   *Shown
	result  string
	size    uint64 // that the witness has seen, as far as it said
	line    []byte
	cosig   evidence.Cosignature
	err     error
}

// ask asks a witness for its cosignature of shown, from the size that it had seen at last. When the witness
// names another size, ask tries once more from there.
func (c *cosigner) ask(ctx context.Context, w evidence.Witness, size uint64, shown *Shown) (a answer) {
	for range 2 {
		a = c.askFrom(ctx, w, size, shown)
		if a.result != Ahead || a.size > shown.Size {
			return a
		}
		if a.size == size {
			a.result, a.err = Refused, fmt.Errorf("it has seen another root at the size %d", size)
			return a
		}
		size = a.size
	}
	return a
}

func (c *cosigner) askFrom(ctx context.Context, w evidence.Witness, size uint64, shown *Shown) answer {
	failed := func(result string, err error) answer {
		return answer{shown: shown, result: result, size: size, err: err}
	}
	if size > shown.Size {
		return failed(Ahead, fmt.Errorf("it has seen %d events, this node has signed %d", size, shown.Size))
	}
	ask := witness.Request{Old: size, Note: shown.Note}
	if size > 0 && size < shown.Size {
		var err error
		if ask.Proof, err = c.tree.Consistency(size, shown.Size); err != nil {
			return failed(Unreachable, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL+"/add-checkpoint", bytes.NewReader(ask.Text()))
	if err != nil {
		return failed(Unreachable, err)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return failed(Unreachable, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerBytes))
	if err != nil {
		return failed(Unreachable, err)
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return cosignatureIn(text, w, shown)
	case http.StatusConflict:
		return conflictIn(text, resp.Header.Get("Content-Type"), failed)
	case http.StatusUnprocessableEntity:
		return failed(Refused, fmt.Errorf("status %d: it takes the proof from %d for wrong", resp.StatusCode, size))
	case http.StatusNotFound, http.StatusForbidden:
		return failed(Unknown, fmt.Errorf("status %d: it does not know this ledger or its key", resp.StatusCode))
	}
	result := Malformed
	if resp.StatusCode >= http.StatusInternalServerError || resp.StatusCode == http.StatusTooManyRequests {
		result = Unreachable
	}
	return failed(result, fmt.Errorf("status %d", resp.StatusCode))
}

// conflictIn reads the size that a witness has seen.
func conflictIn(text []byte, kind string, failed func(string, error) answer) answer {
	digits := strings.TrimSuffix(string(text), "\n")
	size, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || kind != "text/x.tlog.size" || strconv.FormatUint(size, 10) != digits {
		return failed(Malformed, fmt.Errorf("status %d without a size", http.StatusConflict))
	}
	a := failed(Ahead, fmt.Errorf("it has seen the size %d", size))
	a.size = size
	return a
}

// cosignatureIn finds the cosignature of a witness in its answer. Lines of other keys are dropped.
func cosignatureIn(text []byte, w evidence.Witness, shown *Shown) answer {
	a := answer{shown: shown, result: Malformed, size: shown.Size}
	for line := range bytes.Lines(text) {
		list, err := evidence.Cosignatures(append(bytes.Clone(shown.Note), line...), w.Key)
		if err == nil && len(list) == 1 {
			a.result, a.line, a.cosig = Cosigned, line, list[0]
			return a
		}
	}
	a.err = fmt.Errorf("no cosignature of %s in the answer", w.Key)
	return a
}
