package main

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

// TestWrongArguments: whatever is wrong with a command line is wrong usage, exit code 2, says what to do, and nothing happens.
func TestWrongArguments(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, line := range []string{
		"bogus", "bogus --help=maybe", "--bogus", "dev", "dev --dir", "dev --dir d --nodes 2", "dev --dir d --nodes x", "dev --dir d more",
		"serve more", "serve --bogus", "config bogus", "config check more", "config view more", "certs bogus", "certs create-ca",
		"certs create-ca a b", "certs create-ca a --output xml", "certs create-node more", "certs create-client more",
		"config check --config none.yaml", "config view --config none.yaml", "serve --config none.yaml",
	} {
		var usage *usageError
		if _, err := execute(t.Context(), strings.Fields(line), io.Discard); !errors.As(err, &usage) {
			t.Errorf("%s: %v", line, err)
		}
	}
	for _, line := range []string{"", "--help", "config", "certs", "help dev"} {
		if _, err := execute(t.Context(), append([]string{}, strings.Fields(line)...), io.Discard); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if made, err := os.ReadDir("."); err != nil || len(made) != 0 {
		t.Errorf("something was made: %v %v", made, err)
	}
}
