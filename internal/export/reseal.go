package export

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
)

// LogDigest returns the digest of the events in a directory, by the leaves that stand there. It checks nothing.
func LogDigest(ctx context.Context, dir string) (string, error) {
	t := &tree{}
	err := EachEvent(ctx, dir, func(e *Event) error {
		_, sum, _ := e.Check()
		t.add(sum)
		return nil
	})
	return hex.EncodeToString(t.root()), err
}

// Reseal makes the manifest and the sums of an export fit what is in the directory, as a forger does who has read the
// format. Drills and tests tell lies with it that no sum gives away. change may be nil, and makes further changes.
func Reseal(dir string, change func(*Manifest)) error {
	m, err := ReadManifest(dir)
	if err != nil {
		return err
	}
	for i, f := range m.Files {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if m.Files[i].Size, m.Files[i].SHA256, err = sumFile(path); err != nil {
			return err
		}
	}
	if change != nil {
		change(m)
	}
	text, err := m.Encode()
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, ManifestFile), text, 0o600),
		os.WriteFile(filepath.Join(dir, SumsFile), m.Sums(text), 0o600))
}

// Append adds the line of an event to the text of EventsFile.
func (e *Event) Append(text []byte) ([]byte, error) {
	b := lineBuffer(text)
	err := encoder(&b).Encode(e)
	return b, err
}

// lineBuffer is a text that is written to.
type lineBuffer []byte

func (b *lineBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}
