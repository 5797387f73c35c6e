package main

import (
	"strings"
	"testing"
)

// TestOldSpellings runs each name of an earlier build beside the name of today: both print the same, and no help
// lists the old one.
func TestOldSpellings(t *testing.T) {
	dir := dev(t, newNode(t))
	for old, today := range map[string]string{
		"keys list":                       "key list",
		"keys show hmac-0123456789abcdef": "key show hmac-0123456789abcdef",
		"shards":                          "shard list",
		"shards -o json shard-002":        "shard show -o json shard-002",
		"shards a b":                      "shard show a b",
		"freezes -o json":                 "freeze list -o json",
		"known-shards list":               "shard known list",
		"acts --last 2":                   "operations --last 2",
	} {
		was := run(t, "", append(strings.Fields(old), "--dev", dir)...)
		is := run(t, "", append(strings.Fields(today), "--dev", dir)...)
		if was.code != is.code || was.out != is.out || is.code == exitOK && is.out == "" {
			t.Errorf("%s: exit %d: %s%s\n%s: exit %d: %s%s", old, was.code, was.out, was.err,
				today, is.code, is.out, is.err)
		}
	}
	help := run(t, "", "--help").out
	for _, old := range []string{"keys", "shards", "freezes", "known-shards", "acts"} {
		if strings.Contains(help, "\n  "+old+" ") {
			t.Errorf("the help lists %s", old)
		}
	}
}
