package export

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/recount-ledger/recount/wire"
)

// Retable writes records.csv as it follows from verdicts.ndjson.
func Retable(dir string) error {
	answers, err := openLines[wire.AuditItem](dir, VerdictsFile)
	if err != nil {
		return err
	}
	defer answers.file.Close()
	f, err := os.Create(filepath.Join(dir, RecordsFile))
	if err != nil {
		return err
	}
	defer f.Close()
	for table := newRecords(f); ; {
		v, err := answers.next()
		if errors.Is(err, io.EOF) {
			return table.flush()
		}
		if err != nil {
			return err
		}
		if err := table.add(v); err != nil {
			return err
		}
	}
}
