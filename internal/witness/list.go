package witness

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/wire"
)

// Seen describes the newest checkpoint that a witness has seen of one ledger, and what it refused.
type Seen struct {
	Origin     string `json:"origin"`
	Size       uint64 `json:"size"` // of the newest checkpoint that it cosigned, 0 for none
	Root       string `json:"root"` // hex
	CosignedAt string `json:"cosigned_at,omitempty"`
	Forks      int    `json:"forks"`    // proven ones
	Unproven   int    `json:"unproven"` // refused checkpoints whose proof does not show a fork by itself
	Files      []File `json:"files,omitempty"`
}

// File is one kept contradiction.
type File struct {
	Path    string `json:"path"`
	SeenAt  string `json:"seen_at"`
	Proven  bool   `json:"proven"`
	OldSize uint64 `json:"old_size"`
	NewSize uint64 `json:"new_size"`
}

// List reads the directory of a witness, by origin, while a witness runs there or not. With keys, one of them must have
// cosigned each checkpoint. Files that no witness wrote are ErrDamaged.
func List(dir string, keys ...evidence.WitnessKey) ([]Seen, error) {
	if _, err := os.Stat(filepath.Join(dir, ledgersDir)); err != nil {
		return nil, err
	}
	ledgers, err := readLedgers(dir, keys)
	if err != nil {
		return nil, err
	}
	all := map[string]*Seen{}
	for _, l := range ledgers {
		c := l.checkpoint
		s := &Seen{Origin: c.Origin, Size: c.Size, Root: hex.EncodeToString(c.Root[:])}
		if !l.at.IsZero() {
			s.CosignedAt = wire.Time(l.at)
		}
		all[s.Origin] = s
	}
	paths, err := filesOf(filepath.Join(dir, forksDir), forkSuffix)
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		f, err := ReadFork(path)
		if err != nil {
			return nil, err
		}
		if all[f.Origin] == nil {
			all[f.Origin] = &Seen{Origin: f.Origin}
		}
		all[f.Origin].add(path, f)
	}
	list := make([]Seen, 0, len(all))
	for _, s := range all {
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b Seen) int { return strings.Compare(a.Origin, b.Origin) })
	return list, nil
}

func (s *Seen) add(path string, f Fork) {
	if f.Proven {
		s.Forks++
	} else {
		s.Unproven++
	}
	s.Files = append(s.Files, File{path, f.SeenAt, f.Proven, f.OldSize, f.NewSize})
}

// ReadFork reads a file of the directory forks and checks what it says of its two notes, but no signature. Everything
// else is ErrDamaged.
func ReadFork(path string) (f Fork, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	if err = json.Unmarshal(text, &f); err == nil {
		err = f.check()
	}
	if err != nil {
		return Fork{}, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	return f, nil
}

// Check checks that trusted keys of the ledger signed both notes, and that the notes and the proof show a fork. A fork
// that is not proven is evidence.ErrProof.
func (f Fork) Check(trusted ...evidence.PublicKey) error {
	for _, n := range []string{f.Kept, f.Refused} {
		if _, _, err := evidence.OpenCheckpoint([]byte(n), trusted...); err != nil {
			return err
		}
	}
	if err := f.check(); err != nil {
		return err
	}
	if !f.Proven {
		return fmt.Errorf("%w: the two notes and the hashes of the sender do not show a fork", evidence.ErrProof)
	}
	return nil
}

// check compares the fields with the notes.
func (f Fork) check() error {
	kept, err := evidence.ParseCheckpoint(textOf(f.Kept))
	if err != nil {
		return err
	}
	refused, err := evidence.ParseCheckpoint(textOf(f.Refused))
	if err != nil {
		return err
	}
	var proof [][32]byte
	for _, text := range f.Proof {
		h, err := hex.DecodeString(text)
		if err != nil || len(h) != 32 {
			return fmt.Errorf("%w: a hash of the proof", evidence.ErrFormat)
		}
		proof = append(proof, [32]byte(h))
	}
	if f.Format != forkFormat || f.Origin != kept.Origin || f.Origin != refused.Origin || f.OldSize != kept.Size ||
		f.NewSize != refused.Size || f.Proven != evidence.ProvesFork(kept, refused, proof) {
		return fmt.Errorf("%w: the notes say something else than the file", evidence.ErrFormat)
	}
	return nil
}
