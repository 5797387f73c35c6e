package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/notary"
)

// TestCheckpointKey: a key is made for one cluster, its file is one that a node reads, and its public key is printed.
func TestCheckpointKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoint.key")
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		_, err := execute(t.Context(), append([]string{"checkpoint-key"}, args...), &out)
		return out.String(), err
	}
	printed, err := run("create", "--cluster", "ledger", "--out", path)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := notary.ReadKeys(path, "recount/ledger")
	if err != nil || len(keys) != 1 || printed != keys[0].Public().String()+"\n" {
		t.Fatalf("%q, %v, %v", printed, keys, err)
	}
	if shown, err := run("show", path); err != nil || shown != printed {
		t.Errorf("%q, %v", shown, err)
	}
	var list publicKeys
	if text, err := run("show", path, "-o", "json"); err != nil || json.Unmarshal([]byte(text), &list) != nil ||
		list.File != path || len(list.Keys) != 1 || list.Keys[0]+"\n" != printed {
		t.Errorf("%s, %v", text, err)
	}
	secret, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var usage *usageError
	for _, args := range [][]string{{"create", "--cluster", "ledger"}, {"create", "--out", path + "2"},
		{"create", "--cluster", "a/b", "--out", path + "2"}, {"create", "--cluster", "ledger", "--out", path},
		{"show"}, {"show", path + "2"}} {
		if _, err := run(args...); !errors.As(err, &usage) {
			t.Errorf("%v: %v", args, err)
		}
	}
	if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, secret) {
		t.Errorf("the file was changed: %v", err)
	}
	if err := os.WriteFile(path, append(secret, "\x00 no key\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = run("show", path)
	if !errors.Is(err, evidence.ErrFormat) || strings.Contains(err.Error(), string(secret[40:60])) {
		t.Errorf("a damaged file: %v", err)
	}
}
