package witness

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/osfile"
	"github.com/recount-ledger/recount/wire"
)

// maxForks bounds the forks that are kept of one ledger. The first ones prove as much as more would.
const maxForks = 100

// maxUnproven bounds the others. Anybody can send a public checkpoint with wrong hashes.
const maxUnproven = 10

// unprovenMark is in the names of their files.
const unprovenMark = "unproven-"

// Names in the directory of a witness.
const (
	ledgersDir = "ledgers"
	forksDir   = "forks"
	noteSuffix = ".note"
	forkSuffix = ".json"
)

// ErrLocked means that a witness has the directory open.
var ErrLocked = errors.New("witness: another witness uses this directory")

// ErrDamaged means that a file of the directory is not one that a witness wrote.
var ErrDamaged = errors.New("witness: damaged")

// store is the directory of a witness.
type store struct {
	dir  string
	lock *os.File
}

func openStore(dir string) (*store, error) {
	s, err := made(dir)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := osfile.Lock(f); err != nil {
		_ = f.Close()
		if errors.Is(err, osfile.ErrLocked) {
			return nil, fmt.Errorf("%w: %s", ErrLocked, dir)
		}
		return nil, err
	}
	if err := renameOld(dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s.lock = f
	return s, nil
}

// held makes sure that the lock file is still the one of this process. When it was removed, another witness may
// have made a new one, and cosigned what this one does not know. An audit, which keeps notes in a directory of its
// own, has no lock here.
func (s *store) held() error {
	if s.lock == nil {
		return nil
	}
	own, err := s.lock.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(s.lock.Name())
	if err == nil && os.SameFile(own, there) {
		return nil
	}
	return fmt.Errorf("%w: the lock file of this witness in %s was removed or replaced; restart this witness",
		ErrLocked, s.dir)
}

// Close gives up the lock.
func (s *store) Close() error { return s.lock.Close() }

// idOf names the files of a ledger: its origin can hold bytes that no name of a file can.
func idOf(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return hex.EncodeToString(sum[:])
}

// putLedger makes the newest checkpoint of a ledger durable.
func (s *store) putLedger(l seen) error {
	if err := s.held(); err != nil {
		return err
	}
	return osfile.Write(filepath.Join(s.dir, ledgersDir, idOf(l.checkpoint.Origin)+noteSuffix), l.note, 0o600)
}

// readLedgers reads the newest checkpoints of all ledgers. With keys, one of them must have cosigned each.
func readLedgers(dir string, keys []evidence.WitnessKey) (list []seen, err error) {
	names, err := ledgerFiles(filepath.Join(dir, ledgersDir))
	if err != nil {
		return nil, err
	}
	for _, path := range names {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		l, err := readLedger(text, keys)
		if err == nil && !isLedger(path, l.checkpoint.Origin) {
			err = errors.New("it is that of another ledger")
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
		}
		list = append(list, l)
	}
	return list, nil
}

func readLedger(text []byte, keys []evidence.WitnessKey) (l seen, err error) {
	body, _, _ := strings.Cut(string(text), "\n\n")
	if l.checkpoint, err = evidence.ParseCheckpoint(body + "\n"); err != nil || keys == nil {
		l.note = text
		return l, err
	}
	list, err := evidence.Cosignatures(text, keys...)
	if err != nil {
		return l, err
	}
	if len(list) == 0 {
		return l, errors.New("no key of this witness cosigned it; a witness with a new key alone needs a new directory")
	}
	return seen{checkpoint: l.checkpoint, note: text, at: list[0].Time}, nil
}

// Fork is a file about two checkpoints that one ledger signed and that contradict each other.
type Fork struct {
	Format  string `json:"format"` // recount/fork@v1
	Origin  string `json:"origin"`
	SeenAt  string `json:"seen_at"` // by the clock of the witness
	Proven  bool   `json:"proven"`
	OldSize uint64 `json:"old_size"`
	NewSize uint64 `json:"new_size"`
	Kept    string `json:"kept"`    // the note that the witness had cosigned
	Refused string `json:"refused"` // the note that it refused
	// Proof holds the hashes of the sender, in hex, from the size of the kept note to that of the refused one.
	Proof []string `json:"proof,omitempty"`
}

const forkFormat = "recount/fork@v1"

func newFork(l *seen, r Request, proven bool, at time.Time) Fork {
	f := Fork{Format: forkFormat, Origin: l.checkpoint.Origin, SeenAt: wire.Time(at.UTC()), Proven: proven,
		OldSize: l.checkpoint.Size, Kept: string(l.note), Refused: string(r.Note)}
	for _, h := range r.Proof {
		f.Proof = append(f.Proof, hex.EncodeToString(h[:]))
	}
	if c, err := evidence.ParseCheckpoint(textOf(f.Refused)); err == nil {
		f.NewSize = c.Size
	}
	return f
}

// textOf returns the text of a note, without its signatures.
func textOf(note string) string {
	text, _, _ := strings.Cut(note, "\n\n")
	return text + "\n"
}

// putFork makes a fork durable. One that is there already, and one beyond the bound of its kind, is not made again.
func (s *store) putFork(f Fork) (made bool, err error) {
	bound := maxForks
	if !f.Proven {
		bound = maxUnproven
	}
	path, prefix := s.forkFile(f)
	if _, err := os.Stat(path); err == nil {
		return false, nil
	}
	names, err := filesOf(filepath.Dir(path), forkSuffix)
	if err != nil {
		return false, err
	}
	n := 0
	for _, name := range names {
		if rest, ok := strings.CutPrefix(filepath.Base(name), prefix); ok && !strings.HasPrefix(rest, unprovenMark) {
			n++
		}
	}
	if n >= bound {
		return false, nil
	}
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return false, err
	}
	return true, osfile.Write(path, append(text, '\n'), 0o600)
}

// forkFile returns the file of a fork, and how the names of all files of its ledger and kind begin.
func (s *store) forkFile(f Fork) (path, prefix string) {
	sum := sha256.Sum256([]byte(textOf(f.Kept) + textOf(f.Refused)))
	if prefix = idOf(f.Origin) + "-"; !f.Proven {
		prefix += unprovenMark
	}
	return filepath.Join(s.dir, forksDir, prefix+hex.EncodeToString(sum[:8])+forkSuffix), prefix
}

// filesOf lists the files of a directory by the end of their names. A directory that is not there has none.
func filesOf(dir, suffix string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, err
}
