package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/operator"
	"github.com/recount-ledger/recount/wire"
)

// TestMint: the first token of a cluster is made without a node, and its line is one that a node reads.
func TestMint(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "root.token")
	var line bytes.Buffer
	if _, err := execute(t.Context(), []string{"token", "mint", "--role", "operator", "--name", "root", "--expires", "90d", "--out", out}, &line); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	role, id, err := wire.ParseToken(strings.TrimSpace(string(text)))
	if err != nil || role != wire.RoleOperator || !strings.HasPrefix(line.String(), id+" operator "+wire.TokenDigest(strings.TrimSpace(string(text)))+" 2") {
		t.Errorf("%v: %s", err, line.String())
	}
	tokens := filepath.Join(dir, "tokens")
	if err := os.WriteFile(tokens, line.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := operator.ReadTokensFile(tokens); f.Len() != 1 || err != nil {
		t.Errorf("a node reads %d tokens: %v", f.Len(), err)
	}
	var usage *usageError
	if _, err := execute(t.Context(), []string{"token", "mint", "--role", "operator", "--name", "root", "--out", out}, &line); !errors.As(err, &usage) {
		t.Errorf("a file that exists: %v", err)
	}
	if again, err := os.ReadFile(out); err != nil || !bytes.Equal(again, text) {
		t.Errorf("it was changed: %v", err)
	}
}

func TestMintOnTheTerminal(t *testing.T) {
	var out bytes.Buffer
	if _, err := execute(t.Context(), []string{"token", "mint", "--role", "metrics", "--name", "prometheus", "--expires", "never", "-o", "json"}, &out); err != nil {
		t.Fatal(err)
	}
	var made minted
	if err := json.Unmarshal(out.Bytes(), &made); err != nil || made.Line != made.ID+" metrics "+wire.TokenDigest(made.Token)+" never prometheus" {
		t.Errorf("%v: %+v", err, made)
	}
	var usage *usageError
	_, err := execute(t.Context(), []string{"token", "mint", "--name", "a b", "--expires", "0d"}, &out)
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), "--role") || !strings.Contains(err.Error(), "--name") || !strings.Contains(err.Error(), "--expires") {
		t.Errorf("all mistakes at once: %v", err)
	}
}

// TestMintRefusesARole: a role that does not exist is refused with those that do.
func TestMintRefusesARole(t *testing.T) {
	var usage *usageError
	_, err := execute(t.Context(), []string{"token", "mint", "--role", "root", "--name", "root"}, &bytes.Buffer{})
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), "responder") {
		t.Errorf("%v", err)
	}
}
