package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/recount-ledger/recount/internal/durable"
)

// Raft's term and vote are in raft-boltdb, and a second time in the file votes beside it. bbolt does not check
// data pages, and falls back to an older root if the newer one is damaged, so one flipped bit could take back a
// vote. The database is written first and the file second, before Raft learns that either is durable. So the
// file always has what Raft was told. If the two differ after a crash or a flipped bit, the file is right.
//
// The file has two copies, written one after the other, each with its own fsync. A crash can tear only the copy
// that is being written, so one copy is always intact.
//
// A copy: magic "RCV1", sequence u64, current term u64, term of the last vote u64, length of the candidate u16,
// candidate, zeros, and in its last four bytes the CRC-32C of all that. Integers are big-endian.
const (
	stableMagic = "RCV1"
	stableCopy  = 4096
	stableName  = "raft.db"
	votesName   = "votes"

	maxCandidate = stableCopy - 34
)

var keyVoteCand = []byte("LastVoteCand")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errNotFound has the text that Raft expects of a stable store without the key.
var errNotFound = errors.New("not found")

// ballot is the state that Raft must never forget.
type ballot struct {
	seq, term, voteTerm uint64
	candidate           []byte // nil before the first vote
}

// stableStore implements raft.StableStore for the three keys that Raft uses.
type stableStore struct {
	mu   sync.Mutex
	bolt *raftboltdb.BoltStore
	f    votesFile
	now  ballot
}

// votesFile is the file votes. What is written there is durable after Sync only.
type votesFile interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
}

// openVotesFile opens the file of the votes, with the flags of os.OpenFile. Tests open it on a disk whose power can be
// cut.
type openVotesFile func(path string, flags int) (votesFile, error)

func votesOnDisk(path string, flags int) (votesFile, error) { return os.OpenFile(path, flags, 0o600) }

// openStable opens or creates database and file. It returns an error for a file without an intact copy, for
// copies that contradict each other in a way that no crash explains, and for a database with votes but no file.
func openStable(path string) (*stableStore, error) { return openStableWith(path, votesOnDisk) }

func openStableWith(path string, open openVotesFile) (*stableStore, error) {
	bolt, err := openBolt(path)
	if err != nil {
		return nil, err
	}
	s := &stableStore{bolt: bolt}
	if err := s.openVotes(filepath.Join(filepath.Dir(path), votesName), open); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// openBolt opens the database. bbolt panics at some kinds of damage.
func openBolt(path string) (s *raftboltdb.BoltStore, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = inconsistent("open %s: %v", path, p)
		}
	}()
	if s, err = raftboltdb.New(raftboltdb.Options{Path: path, MsgpackUseNewTimeFormat: true}); err != nil {
		return nil, fmt.Errorf("cluster: open %s: %w", path, err)
	}
	return s, nil
}

func (s *stableStore) openVotes(path string, open openVotesFile) error {
	f, err := open(path, os.O_RDWR)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cluster: %w", err)
	}
	fresh := err != nil
	if !fresh {
		s.f = f
		_, err := f.ReadAt(make([]byte, 1), 0)
		fresh = errors.Is(err, io.EOF) // empty: the process ended between creating it and the first write
	}
	term, err := s.boltUint64(keyTerm)
	if err != nil {
		return err
	}
	voted, err := s.boltUint64(keyVoteTerm)
	if err != nil {
		return err
	}
	if fresh && (term > 1 || voted > 0) { // an interrupted bootstrap has reached term 1 at most
		return fmt.Errorf("%w: %s is missing or empty beside %s: this node does not know any more how it voted; leave "+
			"it stopped and go on with the other nodes",
			ErrInconsistent, path, stableName)
	}
	if s.f == nil {
		if f, err = open(path, os.O_RDWR|os.O_CREATE); err != nil {
			return fmt.Errorf("cluster: open %s: %w", path, err)
		}
		s.f = f
	}
	if fresh {
		return errors.Join(s.write(ballot{term: term}), durable.SyncDir(nil, filepath.Dir(path)))
	}
	if err := s.load(path); err != nil {
		return err
	}
	return s.align(term, voted)
}

func (s *stableStore) boltUint64(key []byte) (n uint64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = inconsistent("%s: %v", stableName, p)
		}
	}()
	if n, err = s.bolt.GetUint64(key); err != nil && !errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return 0, fmt.Errorf("cluster: stable store: %w", err)
	}
	return n, nil
}

// align updates the database from the file where they differ.
func (s *stableStore) align(term, voted uint64) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = inconsistent("%s: %v", stableName, p)
		}
	}()
	var errs []error
	if term != s.now.term {
		errs = append(errs, s.bolt.SetUint64(keyTerm, s.now.term))
	}
	if voted != s.now.voteTerm {
		errs = append(errs, s.bolt.SetUint64(keyVoteTerm, s.now.voteTerm))
	}
	if candidate, err := s.bolt.Get(keyVoteCand); s.now.candidate != nil &&
		(err != nil || !bytes.Equal(candidate, s.now.candidate)) {
		errs = append(errs, s.bolt.Set(keyVoteCand, s.now.candidate))
	}
	return errors.Join(errs...)
}

// load reads both copies. If they differ, it repeats the write that a crash has interrupted, with the same sequence: a
// crash in this write leaves copies that differ by one write again.
func (s *stableStore) load(path string) error {
	var raw [2 * stableCopy]byte
	if _, err := s.f.ReadAt(raw[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("cluster: stable store: %w", err)
	}
	first, ok := parseBallot(raw[:stableCopy])
	second, ok2 := parseBallot(raw[stableCopy:])
	switch {
	case !ok && !ok2, ok && ok2 && first.seq != second.seq && first.seq != second.seq+1:
		return fmt.Errorf("%w: %s is damaged: this node does not know any more how it voted; leave it stopped "+
			"and go on with the other nodes",
			ErrInconsistent, path)
	case !ok: // the first copy is torn; the second is what Raft was told
		s.now = second
		return s.put(second, 0)
	case !ok2 || first.seq != second.seq:
		s.now = first
		return s.put(first, stableCopy)
	}
	s.now = first
	return nil
}

func parseBallot(b []byte) (v ballot, ok bool) {
	end := len(b) - 4
	n := int(binary.BigEndian.Uint16(b[28:]))
	if string(b[:4]) != stableMagic || n > maxCandidate ||
		crc32.Checksum(b[:end], castagnoli) != binary.BigEndian.Uint32(b[end:]) {
		return ballot{}, false
	}
	v = ballot{binary.BigEndian.Uint64(b[4:]), binary.BigEndian.Uint64(b[12:]), binary.BigEndian.Uint64(b[20:]), nil}
	if n > 0 {
		v.candidate = append(v.candidate, b[30:30+n]...)
	}
	return v, true
}

// write makes v durable in both copies.
func (s *stableStore) write(v ballot) error {
	if len(v.candidate) > maxCandidate {
		return fmt.Errorf("cluster: a candidate's name of %d bytes", len(v.candidate))
	}
	v.seq++
	for _, at := range []int64{0, stableCopy} {
		if err := s.put(v, at); err != nil {
			return err
		}
	}
	s.now = v
	return nil
}

// put makes one copy durable.
func (s *stableStore) put(v ballot, at int64) error {
	b := make([]byte, stableCopy)
	copy(b, stableMagic)
	binary.BigEndian.PutUint64(b[4:], v.seq)
	binary.BigEndian.PutUint64(b[12:], v.term)
	binary.BigEndian.PutUint64(b[20:], v.voteTerm)
	binary.BigEndian.PutUint16(b[28:], uint16(len(v.candidate)))
	copy(b[30:], v.candidate)
	binary.BigEndian.PutUint32(b[stableCopy-4:], crc32.Checksum(b[:stableCopy-4], castagnoli))
	if _, err := s.f.WriteAt(b, at); err != nil {
		return fmt.Errorf("cluster: stable store: %w", err)
	}
	if err := s.f.Sync(); err != nil {
		return fmt.Errorf("cluster: stable store: %w", err)
	}
	return nil
}

// Set stores the candidate of the last vote.
func (s *stableStore) Set(key, val []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if string(key) != string(keyVoteCand) {
		return fmt.Errorf("cluster: stable store: unknown key %q", key)
	}
	if err := s.bolt.Set(key, val); err != nil {
		return fmt.Errorf("cluster: stable store: %w", err)
	}
	v := s.now
	v.candidate = append([]byte(nil), val...)
	return s.write(v)
}

// Get returns the candidate of the last vote.
func (s *stableStore) Get(key []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if string(key) != string(keyVoteCand) || s.now.candidate == nil {
		return nil, errNotFound
	}
	return append([]byte(nil), s.now.candidate...), nil
}

// SetUint64 stores the current term, or the term of the last vote.
func (s *stableStore) SetUint64(key []byte, val uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.now
	switch string(key) {
	case string(keyTerm):
		v.term = val
	case string(keyVoteTerm):
		v.voteTerm = val
	default:
		return fmt.Errorf("cluster: stable store: unknown key %q", key)
	}
	if err := s.bolt.SetUint64(key, val); err != nil {
		return fmt.Errorf("cluster: stable store: %w", err)
	}
	return s.write(v)
}

// GetUint64 returns one of these terms, or zero before it was stored.
func (s *stableStore) GetUint64(key []byte) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch string(key) {
	case string(keyTerm):
		return s.now.term, nil
	case string(keyVoteTerm):
		return s.now.voteTerm, nil
	}
	return 0, errNotFound
}

// Close closes database and file.
func (s *stableStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.bolt.Close()
	if s.f != nil {
		err = errors.Join(err, s.f.Close())
	}
	return err
}
