package auditor

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/evidence"
)

// TestKeptNote: a kept checkpoint that cannot be verified ends the run, and stays as it is.
func TestKeptNote(t *testing.T) {
	s := clusterOf(t)
	s.submit(3)
	honest := shown{events: s.events()}
	dir := t.TempDir()
	note := s.signed(uint64(len(honest.events)))
	_, err := Run(t.Context(), s.options(honest, dir, note))
	must(t, err)
	files, err := filepath.Glob(filepath.Join(dir, "ledgers", "*.note"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	whole, err := os.ReadFile(files[0])
	must(t, err)
	_, strange, err := evidence.NewSecretKey(evidence.OriginOf("nodetest"))
	must(t, err)
	c, _, err := evidence.OpenCheckpoint(whole, s.secret.Public())
	must(t, err)
	others, err := evidence.SignCheckpoint(c, strange)
	must(t, err)
	signature := bytes.Clone(whole)
	signature[len(signature)-10] ^= 1
	if signature[len(signature)-10] == '\n' || signature[len(signature)-10] == '*' {
		signature[len(signature)-10] = 'A'
	}
	for name, tt := range map[string]struct {
		text  []byte
		err   error
		words string
	}{
		"signature":    {signature, ErrChanged, "kept in"},
		"size":         {bytes.Replace(whole, []byte("\n"), []byte("\n1"), 1), ErrChanged, "kept in"},
		"no number":    {bytes.Replace(whole, []byte("\n"), []byte("\nx"), 1), ErrChanged, "ledgers"},
		"another name": {bytes.Replace(whole, []byte("— recount/"), []byte("— x"), 1), ErrChanged, "kept in"},
		"unknown keys": {others, evidence.ErrUnsigned, "old public key"},
	} {
		must(t, os.WriteFile(files[0], tt.text, 0o600))
		r, err := Run(t.Context(), s.options(honest, dir, note))
		if !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if text, err := os.ReadFile(files[0]); err != nil || !bytes.Equal(text, tt.text) {
			t.Errorf("%s: the note is now %s, %v", name, text, err)
		}
	}
	must(t, os.WriteFile(files[0], others, 0o600))
	o := s.options(honest, dir, note)
	o.Keys = append(o.Keys, strange.Public())
	if r, err := Run(t.Context(), o); err != nil || len(r.Checkpoints) != 2 {
		t.Errorf("with both keys: %+v, %v", r, err)
	}
	a := audit{Options: o, kept: []claim{{origin: c.Origin, at: c.Size, note: note.Text}}}
	must(t, os.WriteFile(files[0], whole[:len(whole)-2], 0o600))
	if err := a.keep(); !errors.Is(err, ErrChanged) {
		t.Errorf("a note that came during the run: %v", err)
	}
}
