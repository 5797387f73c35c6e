package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// The stable store is one file with two copies of Raft's term and vote. Both are written, one after the other and each with an
// fsync of its own, before a call returns: a crash can tear only the one being written, and a damaged copy has a whole twin.
//
// A copy: magic "RCV1", sequence u64, current term u64, term of the last vote u64, length of the candidate u16, candidate, zeros,
// and in its last four bytes the CRC-32C of all that; integers are big-endian.
const (
	stableMagic = "RCV1"
	stableCopy  = 4096
	stableName  = "votes"

	maxCandidate = stableCopy - 34
)

var keyVoteCand = []byte("LastVoteCand")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errNotFound has the text that Raft expects of a stable store without the key.
var errNotFound = errors.New("not found")

// ballot is what Raft must never forget.
type ballot struct {
	seq, term, voteTerm uint64
	candidate           []byte // nil before the first vote
}

// stableStore implements raft.StableStore for the three keys that Raft uses.
type stableStore struct {
	mu  sync.Mutex
	f   *os.File
	now ballot
}

// openStable opens or creates the file. A file with no sound copy, or whose copies contradict each other in a way that no crash
// explains, is refused.
func openStable(path string) (*stableStore, error) {
	_, err := os.Stat(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cluster: open %s: %w", path, err)
	}
	s := &stableStore{f: f}
	if fresh {
		err = errors.Join(s.write(ballot{}), syncDir(filepath.Dir(path)))
	} else {
		err = s.load(path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

func (s *stableStore) load(path string) error {
	var raw [2 * stableCopy]byte
	if n, _ := s.f.ReadAt(raw[:], 0); n == 0 {
		return s.write(ballot{}) // created, and the process ended before the first write
	}
	first, ok := parseBallot(raw[:stableCopy])
	second, ok2 := parseBallot(raw[stableCopy:])
	switch {
	case !ok && !ok2, ok && ok2 && first.seq != second.seq && first.seq != second.seq+1:
		return fmt.Errorf("%w: %s is damaged: this node does not know any more how it voted; leave it stopped and go on with the other nodes",
			ErrInconsistent, path)
	case !ok:
		first = second // torn before it was whole: the second copy is what Raft was told
	}
	return s.write(first)
}

func parseBallot(b []byte) (v ballot, ok bool) {
	end := len(b) - 4
	n := int(binary.BigEndian.Uint16(b[28:]))
	if string(b[:4]) != stableMagic || n > maxCandidate || crc32.Checksum(b[:end], castagnoli) != binary.BigEndian.Uint32(b[end:]) {
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
	b := make([]byte, stableCopy)
	copy(b, stableMagic)
	binary.BigEndian.PutUint64(b[4:], v.seq)
	binary.BigEndian.PutUint64(b[12:], v.term)
	binary.BigEndian.PutUint64(b[20:], v.voteTerm)
	binary.BigEndian.PutUint16(b[28:], uint16(len(v.candidate)))
	copy(b[30:], v.candidate)
	binary.BigEndian.PutUint32(b[stableCopy-4:], crc32.Checksum(b[:stableCopy-4], castagnoli))
	for _, at := range []int64{0, stableCopy} {
		if _, err := s.f.WriteAt(b, at); err != nil {
			return fmt.Errorf("cluster: stable store: %w", err)
		}
		if err := s.f.Sync(); err != nil {
			return fmt.Errorf("cluster: stable store: %w", err)
		}
	}
	s.now = v
	return nil
}

// Set stores the candidate of the last vote.
func (s *stableStore) Set(key, val []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if string(key) != string(keyVoteCand) {
		return fmt.Errorf("cluster: stable store: unknown key %q", key)
	}
	v := s.now
	v.candidate = append([]byte(nil), val...)
	return s.write(v)
}

// Get reads it.
func (s *stableStore) Get(key []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if string(key) != string(keyVoteCand) || s.now.candidate == nil {
		return nil, errNotFound
	}
	return append([]byte(nil), s.now.candidate...), nil
}

// SetUint64 stores the current term, or that of the last vote.
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
	return s.write(v)
}

// GetUint64 reads one of them; zero before it was stored.
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

// Close closes the file.
func (s *stableStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.f.Close()
}
