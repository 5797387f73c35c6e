package notary

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/osfile"
)

// Bounds of the history. The newest ones are all kept. Of older ones, the first of each minute stays for a day, the
// first of each hour for sixty days, and the first of each day for ten years.
const (
	keepNewest = 512
	syncEvery  = 10 * time.Second
	rewriteAt  = 16384 // records in the file
)

// Kept is a checkpoint that this node signed.
type Kept struct {
	evidence.Checkpoint
	At   time.Time
	Note []byte // with the cosignatures that were collected
}

// recordMark begins a record.
const recordMark = "checkpoint "

// history keeps checkpoints in a file: records that begin with a line "checkpoint SECONDS BYTES CRC32C", before
// the note. What was appended survives the end of the process, and a power loss all but the last ten seconds.
type history struct {
	path string
	keys func() []evidence.PublicKey // with which this node signs now

	mu      sync.Mutex
	file    *os.File
	list    []Kept // by size, of this origin
	records int
	synced  time.Time
	torn    bool // a write has failed; what it left in the file is not known
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openHistory reads the file. It cuts off a record that a crash has left unfinished, and reads on behind a damaged one.
// A file that was damaged is kept aside under the name path.damaged-1, or the next number that is free.
func openHistory(path, origin string, keys func() []evidence.PublicKey, logger *slog.Logger) (*history, error) {
	h := &history{path: path, keys: keys}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	whole, damaged := h.read(text, origin)
	if damaged {
		aside, err := keepAside(path, text)
		if err != nil {
			return nil, err
		}
		logger.Error("the history of checkpoints is damaged; the file is kept aside", "file", aside,
			"bytes_lost", len(text)-len(whole))
	}
	if len(whole) < len(text) {
		if err := osfile.Write(path, whole, 0o600); err != nil {
			return nil, err
		}
	}
	h.file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	return h, err
}

// read takes over the records of a file, and returns those that are whole. One that a crash has cut is no damage.
func (h *history) read(text []byte, origin string) (whole []byte, damaged bool) {
	for rest := text; len(rest) > 0; {
		k, n := parseKept(rest)
		if n > 0 {
			if h.records++; k.Origin == origin {
				h.put(k)
			}
			whole, rest = append(whole, rest[:n]...), rest[n:]
			continue
		}
		next := bytes.Index(rest[1:], []byte(recordMark))
		if next < 0 {
			return whole, damaged || !cut(rest)
		}
		damaged, rest = true, rest[1+next:]
	}
	return whole, damaged
}

// cut reports whether b is the beginning of a record.
func cut(b []byte) bool {
	line, rest, found := bytes.Cut(b, []byte("\n"))
	if !found {
		return bytes.HasPrefix(b, []byte(recordMark)) || bytes.HasPrefix([]byte(recordMark), b)
	}
	_, size, _, err := parseHead(line)
	return err == nil && size > len(rest)
}

// keepAside writes a damaged file under a name that is free.
func keepAside(path string, text []byte) (aside string, err error) {
	for n := 1; ; n++ {
		aside = fmt.Sprintf("%s.damaged-%d", path, n)
		if _, err = os.Lstat(aside); err != nil {
			break
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return aside, osfile.Write(aside, text, 0o600)
}

// parseKept reads one record and returns its length, 0 for none.
func parseKept(b []byte) (k Kept, n int) {
	line, rest, found := bytes.Cut(b, []byte("\n"))
	seconds, size, sum, err := parseHead(line)
	if err != nil || !found || size < 0 || size > len(rest) || crc32.Checksum(rest[:size], castagnoli) != sum {
		return k, 0
	}
	k = Kept{At: time.Unix(seconds, 0).UTC(), Note: bytes.Clone(rest[:size])}
	body, _, _ := strings.Cut(string(k.Note), "\n\n")
	if k.Checkpoint, err = evidence.ParseCheckpoint(body + "\n"); err != nil {
		return k, 0
	}
	return k, len(line) + 1 + size
}

// parseHead reads the line before a note.
func parseHead(line []byte) (seconds int64, size int, sum uint32, err error) {
	_, err = fmt.Sscanf(string(line), recordMark+"%d %d %x", &seconds, &size, &sum)
	return seconds, size, sum, err
}

func (k Kept) record() []byte {
	head := fmt.Sprintf(recordMark+"%d %d %08x\n", k.At.Unix(), len(k.Note), crc32.Checksum(k.Note, castagnoli))
	return append([]byte(head), k.Note...)
}

// signed returns nil for a note that a key of now signed, and evidence.ErrUnsigned for one that may be of an earlier
// key. Another error shows that this node did not write the note.
func (h *history) signed(k Kept) error {
	_, _, err := evidence.OpenCheckpoint(k.Note, h.keys()...)
	return err
}

// put adds a checkpoint to the list, in the place of one of the same size. One that a key of now did not sign never
// takes the place of one with another root that it did sign.
func (h *history) put(k Kept) {
	i, there := slices.BinarySearchFunc(h.list, k.Size, func(have Kept, size uint64) int {
		switch {
		case have.Size < size:
			return -1
		case have.Size > size:
			return 1
		}
		return 0
	})
	if there {
		if k.Root != h.list[i].Root && h.signed(h.list[i]) == nil && h.signed(k) != nil {
			return
		}
		k.At = h.list[i].At
		h.list[i] = k
		return
	}
	h.list = slices.Insert(h.list, i, k)
}

// add keeps a checkpoint.
func (h *history) add(k Kept) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.put(k)
	if h.records++; h.records > rewriteAt || h.torn {
		return h.rewrite(k.At)
	}
	_, err := h.file.Write(k.record())
	if err == nil && k.At.Sub(h.synced) >= syncEvery {
		h.synced, err = k.At, h.file.Sync()
	}
	h.torn = err != nil
	return err
}

// rewrite drops what need not be kept, from the list and the file.
func (h *history) rewrite(now time.Time) error {
	h.list = thin(h.list, now)
	var all []byte
	for _, k := range h.list {
		all = append(all, k.record()...)
	}
	if err := osfile.Write(h.path, all, 0o600); err != nil {
		return err
	}
	f, err := os.OpenFile(h.path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	err = h.file.Close()
	h.file, h.records, h.synced, h.torn = f, len(h.list), now, false
	return err
}

// thin returns what is kept of a list.
func thin(list []Kept, now time.Time) (kept []Kept) {
	var last time.Time
	for i, k := range list {
		step := 24 * time.Hour
		switch age := now.Sub(k.At); {
		case len(list)-i <= keepNewest:
			step = 0
		case age <= 24*time.Hour:
			step = time.Minute
		case age <= 60*24*time.Hour:
			step = time.Hour
		case age > 3650*24*time.Hour:
			continue
		}
		if step > 0 && len(kept) > 0 && !k.At.Truncate(step).After(last.Truncate(step)) {
			continue
		}
		kept, last = append(kept, k), k.At
	}
	return kept
}

// newest returns the checkpoint with the largest size that a key of now signed, or else an earlier key.
func (h *history) newest() (earlier Kept, found bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range slices.Backward(h.list) {
		err := h.signed(k)
		if err == nil {
			return k, true
		}
		if !found && errors.Is(err, evidence.ErrUnsigned) {
			earlier, found = k, true
		}
	}
	return earlier, found
}

// before returns at most limit checkpoints with a smaller size, the largest one first, and whether there are more.
func (h *history) before(size uint64, limit int) (out []Kept, more bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range slices.Backward(h.list) {
		if k.Size >= size {
			continue
		}
		if err := h.signed(k); err != nil && !errors.Is(err, evidence.ErrUnsigned) {
			continue
		}
		if len(out) == limit {
			return out, true
		}
		out = append(out, k)
	}
	return out, false
}

// close makes everything durable.
func (h *history) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return errors.Join(h.file.Sync(), h.file.Close())
}
