package auditor

import (
	"errors"
	"io/fs"
	"os"
	"strconv"

	"github.com/recount-ledger/recount/internal/durable"
)

// tiedFile has the number of events of the directory that are known to be as they were taken, while a run folds all of
// them again. Such a run also folds events that were changed in the directory. If it ends before the source has shown
// them, what it folded ties them to nothing.
const tiedFile = "tied"

// noteTied writes the number of events that are tied, before this run folds them again. It is not more than that of a
// run before which ended too early.
func (w *work) noteTied() error {
	raw, err := os.ReadFile(w.path(tiedFile))
	switch {
	case err == nil:
		n, err := strconv.ParseUint(string(raw), 10, 64)
		if err != nil {
			n = 0 // nothing is tied if the file is damaged
		}
		w.tied = min(w.tied, n)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return durable.WriteFile(w.path(tiedFile), strconv.AppendUint(nil, w.tied, 10), 0o600)
}

// compared is called when the source has shown all events of the directory, so that those which were folded are tied.
func (w *work) compared() error {
	if err := os.Remove(w.path(tiedFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
