package drill

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/export"
	"github.com/recount-ledger/recount/wire"
)

// copyTree copies a directory with the modes of its files, without the directories that skip names.
func copyTree(from, to string, skip func(path string) bool) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := e.Info()
		switch {
		case err != nil:
			return err
		case e.IsDir() && skip(rel):
			return fs.SkipDir
		case e.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), info.Mode().Perm()|0o700)
		case !e.Type().IsRegular():
			return nil
		}
		return copyOne(path, filepath.Join(to, rel), info.Mode().Perm())
	})
}

func copyOne(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// largest returns the largest file that a pattern names.
func largest(pattern string) (string, error) {
	names, err := filepath.Glob(pattern)
	if err != nil {
		return "", err
	}
	found, size := "", int64(0)
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && info.Size() > size {
			found, size = name, info.Size()
		}
	}
	if found == "" {
		return "", fmt.Errorf("there is no file %s", pattern)
	}
	return found, nil
}

// change writes a file again, after fn changed what is in it before the zeros at its end.
func change(pattern string, fn func(used []byte) []byte) error {
	path, err := largest(pattern)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, fn(bytes.TrimRight(b, "\x00")), 0o600)
}

// flipByte changes one byte in the middle of the largest file that a pattern names.
func flipByte(pattern string) error {
	return change(pattern, func(b []byte) []byte {
		b[len(b)/2] ^= 0xff
		return b
	})
}

// cutEnd removes the second half of the largest file that a pattern names.
func cutEnd(pattern string) error {
	return change(pattern, func(b []byte) []byte { return b[:len(b)/2] })
}

// swapEvents exchanges what two submissions in the middle of an export said, and makes every hash that the export has
// of them again.
func swapEvents(ctx context.Context, dir string) error {
	var all []*export.Event
	err := export.EachEvent(ctx, dir, func(e *export.Event) error { all = append(all, e); return nil })
	if err != nil {
		return err
	}
	i := len(all) / 2
	for ; i+1 < len(all); i++ {
		if all[i].Kind == event.Submission.String() && all[i+1].Kind == all[i].Kind {
			break
		}
	}
	if i+1 >= len(all) {
		return errors.New("the export has no two submissions one after the other")
	}
	all[i].Payload, all[i+1].Payload = all[i+1].Payload, all[i].Payload
	var text []byte
	for n, e := range all {
		if n == i || n == i+1 {
			sealEvent(e)
		}
		if text, err = e.Append(text); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, export.EventsFile), text, 0o600); err != nil {
		return err
	}
	log, err := export.LogDigest(ctx, dir)
	if err != nil {
		return err
	}
	return export.Reseal(dir, func(m *export.Manifest) { m.End.Log = log })
}

// sealEvent makes the leaf of an event that fits its payload.
func sealEvent(e *export.Event) {
	leaf := event.Leaf{Format: event.LeafFormat, Seq: e.Seq, RawTime: e.Leaf.RawTimeNS, Kind: event.Kind(e.Leaf.Kind),
		PayloadSHA256: sha256.Sum256(e.Payload)}
	sum := leaf.Hash()
	e.Leaf = wire.Leaf{Format: leaf.Format, Seq: leaf.Seq, RawTimeNS: leaf.RawTime, Kind: uint16(leaf.Kind),
		PayloadSHA256: hex.EncodeToString(leaf.PayloadSHA256[:])}
	e.LeafHash = hex.EncodeToString(sum[:])
}

// budget is a number that the ledger computed, in the outcome row of a record.
var budget = regexp.MustCompile(`"recomputed_budget":[0-9.]*[0-9]`)

// editOutcome changes the last digit of one outcome row of an export, and makes all sums again.
func editOutcome(dir string) error {
	path := filepath.Join(dir, export.VerdictsFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	at := budget.FindIndex(text)
	if at == nil {
		return errors.New("the export has no outcome with a budget")
	}
	if last := &text[at[1]-1]; *last == '9' {
		*last = '8'
	} else {
		*last++
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return err
	}
	return export.Reseal(dir, nil)
}
