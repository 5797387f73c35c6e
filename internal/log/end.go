package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The file "end" beside Pebble's files holds a lower bound for the end of the log. When Pebble meets a damaged
// write-ahead log, it treats the damage as the end of the log. The bound tells such damage apart from a crash.
// The file has two slots, each in a sector of its own, which are written alternately.
//
// A slot: magic "RCE1", sequence u64, index u64, term u64, checksum of the entry u32, CRC-32C of all this u32,
// big-endian.
const (
	endName     = "end"
	endMagic    = "RCE1"
	endSlot     = 40 // bytes of a slot
	endDistance = 512
	endSync     = time.Second // how often the bound is made durable
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// mark identifies an entry. The zero mark is the end of an empty log.
type mark struct {
	index, term uint64
	sum         uint32
}

func markOf(r *record) mark { return mark{r.Index, r.Term, r.sum()} }

// endFile maintains the lower bound.
type endFile struct {
	f vfs.File

	syncing sync.Mutex // serializes syncs; a caller that waits returns after the sync it waited for

	mu    sync.Mutex
	seq   uint64
	at    mark
	dirty bool // written, not synced yet
}

// openEnd reads the bound of the log in dir. If the directory has no files, openEnd creates a bound for an
// empty log.
func openEnd(fs vfs.FS, dir string) (*endFile, error) {
	path := fs.PathJoin(dir, endName)
	if _, err := fs.Stat(path); err != nil {
		names, lerr := fs.List(dir)
		if lerr != nil {
			return nil, lerr
		}
		names = slices.DeleteFunc(names, func(n string) bool { return n == endName+".new" })
		if len(names) > 0 {
			return nil,
				fmt.Errorf("%w: the file %s, which says how long the log was, is not in %s, but %d other files are: %s",
					ErrCorrupt, endName, dir, len(names), damagedAdvice)
		}
		return writeEnd(fs, dir, mark{})
	}
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	e := &endFile{f: f}
	if err := e.read(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return e, nil
}

func (e *endFile) read() error {
	buf := make([]byte, endDistance+endSlot)
	if n, err := e.f.ReadAt(buf, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	} else if n < len(buf) {
		clear(buf[n:])
	}
	for _, b := range [][]byte{buf[:endSlot], buf[endDistance:]} {
		sound := string(b[:4]) == endMagic && crc32.Checksum(b[:36], castagnoli) == binary.BigEndian.Uint32(b[36:])
		if seq := binary.BigEndian.Uint64(b[4:]); sound && seq > e.seq {
			e.seq = seq
			e.at = mark{binary.BigEndian.Uint64(b[12:]), binary.BigEndian.Uint64(b[20:]),
				binary.BigEndian.Uint32(b[28:])}
		}
	}
	if e.seq == 0 {
		return fmt.Errorf("%w: the file %s, which says how long the log was, is damaged: %s", ErrCorrupt, endName,
			damagedAdvice)
	}
	return nil
}

// put writes the bound into the older slot without syncing it.
func (e *endFile) put(at mark) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.write(at)
}

func (e *endFile) write(at mark) error {
	var b [endSlot]byte
	copy(b[:], endMagic)
	binary.BigEndian.PutUint64(b[4:], e.seq+1)
	binary.BigEndian.PutUint64(b[12:], at.index)
	binary.BigEndian.PutUint64(b[20:], at.term)
	binary.BigEndian.PutUint32(b[28:], at.sum)
	binary.BigEndian.PutUint32(b[36:], crc32.Checksum(b[:36], castagnoli))
	if _, err := e.f.WriteAt(b[:], int64((e.seq+1)%2)*endDistance); err != nil {
		return fmt.Errorf("log: write %s: %w", endName, err)
	}
	e.seq, e.at, e.dirty = e.seq+1, at, true
	return nil
}

// set writes both slots and syncs them. Afterwards no older bound is left that could contradict a shorter log.
func (e *endFile) set(at mark) error {
	e.mu.Lock()
	err := errors.Join(e.write(at), e.write(at))
	e.mu.Unlock()
	if err != nil {
		return err
	}
	return e.flush()
}

// flush syncs what put has written. Other puts may go on meanwhile.
func (e *endFile) flush() error {
	e.syncing.Lock()
	defer e.syncing.Unlock()
	e.mu.Lock()
	dirty := e.dirty
	e.dirty = false
	e.mu.Unlock()
	if !dirty {
		return nil
	}
	if err := e.f.SyncData(); err != nil {
		e.mu.Lock()
		e.dirty = true
		e.mu.Unlock()
		return fmt.Errorf("log: sync %s: %w", endName, err)
	}
	return nil
}

func (e *endFile) close() error { return errors.Join(e.flush(), e.f.Close()) }

// damagedAdvice ends every error about a damaged log.
const damagedAdvice = "the files of this node were damaged, cut or exchanged. It must not vote with what is left: " +
	"leave it stopped, keep its directory, and get the log of the other nodes with recount-node repair"

// checkEnd compares the end that Pebble found with the bound.
func (s *Store) checkEnd() error {
	at := s.bound.at
	if s.last < at.index {
		return fmt.Errorf("%w: the log ends at entry %d, but entries up to %d were stored durably: %s", ErrCorrupt,
			s.last, at.index, damagedAdvice)
	}
	if at.index == 0 {
		return nil
	}
	rs, err := s.scan(at.index, at.index, 1, 1)
	if err != nil {
		return fmt.Errorf("%w: entry %d: %w: %s", ErrCorrupt, at.index, err, damagedAdvice)
	}
	if got := markOf(&rs[0]); got != at {
		return fmt.Errorf("%w: entry %d has term %d and checksum %08x, stored was term %d and %08x: %s",
			ErrCorrupt, at.index, got.term, got.sum, at.term, at.sum, damagedAdvice)
	}
	return nil
}

// keepEnd syncs the bound once a second, so that appends do not have to.
func (s *Store) keepEnd() {
	tick := time.NewTicker(endSync)
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			return
		case <-tick.C:
			if err := s.bound.flush(); err != nil {
				_ = s.fail(err)
				return
			}
		}
	}
}

// lowerEnd moves the bound down to index before the entries behind it are deleted.
func (s *Store) lowerEnd(index uint64) error {
	if index == 0 {
		return s.bound.set(mark{})
	}
	r, err := s.lookup(index)
	if err != nil {
		return err
	}
	return s.bound.set(markOf(&r))
}
