package operator

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/wire"
)

// errTokensFile means that the tokens file cannot be used.
var errTokensFile = errors.New("auth.tokens_file")

// TokensFile has the tokens that a node knows before the first one is in the log.
type TokensFile struct {
	rows []api.TokenRecord // in the order of the file
	byID map[string]int
}

// ReadTokensFile reads lines of "id role sha256 expiry [name]". # begins a comment, the expiry is RFC 3339 or
// never, and a missing name is the role. It refuses a file that others than its owner can change.
func ReadTokensFile(path string) (TokensFile, error) {
	f := TokensFile{byID: map[string]int{}}
	if path == "" {
		return f, nil
	}
	in, err := os.Open(path)
	if err != nil {
		return f, fmt.Errorf("%w: %w", errTokensFile, err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return f, fmt.Errorf("%w: %w", errTokensFile, err)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return f, fmt.Errorf("%w: %s has mode %#o: others could add tokens; chmod 600", errTokensFile, path, mode)
	}
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if strings.TrimSpace(text) == "" {
			continue
		}
		row, err := parseTokenLine(strings.Fields(text))
		if _, twice := f.byID[row.ID]; err == nil && twice {
			err = errors.New("the id is there twice")
		}
		if err != nil {
			return f, fmt.Errorf("%w: %s line %d: %w", errTokensFile, path, n, err)
		}
		f.byID[row.ID] = len(f.rows)
		f.rows = append(f.rows, row)
	}
	if err := lines.Err(); err != nil {
		return f, fmt.Errorf("%w: %w", errTokensFile, err)
	}
	return f, nil
}

func parseTokenLine(fields []string) (api.TokenRecord, error) {
	var t api.TokenRecord
	if len(fields) != 4 && len(fields) != 5 {
		return t, errors.New("want: id role sha256 expiry [name]")
	}
	t = api.TokenRecord{ID: fields[0], Role: wire.Role(fields[1]), Name: fields[1]}
	if len(fields) == 5 {
		t.Name = fields[4]
	}
	sum, err := hex.DecodeString(fields[2])
	switch {
	case !wire.ValidTokenID(t.ID):
		return t, errors.New("the id must be 16 characters of a-z and 2-7")
	case !t.Role.Valid():
		return t, fmt.Errorf("role %q is none of %v", t.Role, wire.Roles())
	case err != nil || len(sum) != 32:
		return t, errors.New("sha256 must be 64 hex digits, the digest of the whole token")
	case !wire.ValidActor(t.Name):
		return t, errors.New("the name must be 1 to 64 letters, digits, . _ @ -")
	}
	t.SHA256 = [32]byte(sum)
	if fields[3] != "never" {
		at, err := wire.ParseTime(fields[3])
		if err != nil {
			return t, fmt.Errorf("expiry %q is neither an RFC 3339 date-time nor never", fields[3])
		}
		t.ExpiresAt = at.UnixNano()
	}
	return t, nil
}

// Len returns the number of tokens in the file.
func (f TokensFile) Len() int { return len(f.rows) }
