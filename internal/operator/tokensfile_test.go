package operator

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// TestTokensFile: a file is taken as a whole or not at all, and the error names the line.
func TestTokensFile(t *testing.T) {
	id, digest := strings.Repeat("a", 16), strings.Repeat("0f", 32)
	dir := t.TempDir()
	read := func(text string, mode os.FileMode) (TokensFile, error) {
		path := filepath.Join(dir, "tokens")
		_ = os.Remove(path)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return ReadTokensFile(path)
	}
	f, err := read("# first\n\n"+id+" operator "+digest+" 2030-01-02T03:04:05Z alice # hers\n"+
		strings.Repeat("b", 16)+" metrics "+digest+" never\n", 0o640)
	if err != nil || len(f.rows) != 2 || f.rows[0].Name != "alice" || f.rows[0].Role != wire.RoleOperator ||
		f.rows[0].ExpiresAt == 0 || f.rows[1].Name != "metrics" || f.rows[1].ExpiresAt != 0 {
		t.Errorf("%+v %v", f, err)
	}
	line := id + " operator " + digest + " never"
	for text, part := range map[string]string{
		"x operator " + digest + " never":    "line 1: the id",
		id + " root " + digest + " never":    "root",
		id + " operator 00 never":            "sha256",
		id + " operator " + digest + " soon": "expiry",
		id + " operator":                     "want: id",
		line + " a/b":                        "name",
		line + "\n" + line:                   "line 2: the id is there twice",
	} {
		if _, err := read(text, 0o600); !errors.Is(err, errTokensFile) || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := read(line, 0o622); !errors.Is(err, errTokensFile) || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others can write: %v", err)
	}
	if _, err := ReadTokensFile(filepath.Join(dir, "absent")); !errors.Is(err, errTokensFile) {
		t.Error(err)
	}
}
