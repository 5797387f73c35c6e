package export

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/recount-ledger/recount/wire"
)

// Reseal makes manifest and sums fit what is in the directory, as a forger does who has read the format.
func Reseal(dir string, change func(*Manifest)) error {
	c := &checker{dir: dir}
	text, err := c.read(ManifestFile, maxManifest)
	if err != nil {
		return err
	}
	m, err := ParseManifest(text)
	if err != nil {
		return err
	}
	for i, f := range m.Files {
		if m.Files[i].Size, m.Files[i].SHA256, err = sumFile(filepath.Join(dir, f.Name)); err != nil {
			return err
		}
	}
	if change != nil {
		change(m)
	}
	if text, err = m.Encode(); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, ManifestFile), text, 0o600), os.WriteFile(filepath.Join(dir, SumsFile), m.Sums(text), 0o600))
}

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
