package copies

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/recount-ledger/recount/internal/durable"
)

// sumsFile has the hashes of tables that earlier copies computed.
const sumsFile = "sums.json"

// knownSum is the hash of a table. A table never changes, and its links share size and time of change.
type knownSum struct {
	Size     int64  `json:"size"`
	Modified int64  `json:"modified"` // Unix nanoseconds
	SHA256   string `json:"sha256"`
}

// sums remembers the hashes of tables over restarts. A wrong one does no harm: whoever reads a file compares it.
type sums struct {
	path string

	mu    sync.Mutex
	known map[string]knownSum // by the name of the table
}

// openSums reads what is remembered. A file that cannot be read is forgotten, which costs time only.
func openSums(dir string) *sums {
	s := &sums{path: filepath.Join(dir, sumsFile)}
	if raw, err := os.ReadFile(s.path); err != nil || json.Unmarshal(raw, &s.known) != nil || s.known == nil {
		s.known = map[string]knownSum{}
	}
	return s
}

// immutable reports whether a file never changes under its name.
func immutable(name string) bool { return strings.HasSuffix(name, ".sst") }

func (s *sums) of(f *file) (sum string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.known[f.Name]
	return k.SHA256, ok && immutable(f.Name) && k.Size == f.Size && k.Modified == f.modified
}

// keep remembers the tables among files and forgets all others, then writes the file.
func (s *sums) keep(files []file) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = map[string]knownSum{}
	for _, f := range files {
		if immutable(f.Name) {
			s.known[f.Name] = knownSum{f.Size, f.modified, f.SHA256}
		}
	}
	raw, err := json.Marshal(s.known)
	if err != nil {
		return err
	}
	return durable.WriteFile(s.path, raw, 0o600)
}
