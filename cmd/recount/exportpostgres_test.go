package main

import (
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/pgscript"
)

// TestExportPostgres: the schema asks no node, the script goes on where it is told, and what does not fit together is refused
// before a node is asked.
func TestExportPostgres(t *testing.T) {
	if r := run(t, "", "export", "postgres", "--print-schema"); r.code != exitOK || r.out != pgscript.Schema {
		t.Errorf("%+v", r)
	}
	dir := dev(t, newNode(t))
	if r := run(t, "", "export", "postgres", "--after", "", "--dev", dir); r.code != exitUsage {
		t.Errorf("an empty cursor: %+v", r)
	}
	for args, says := range map[string]string{"--after x": "the generation and the seq of recount_cursor", "--after 0|7": "the generation and the seq", "--print-schema --follow": "--print-schema",
		"--print-schema --after 1|2": "--print-schema", "-o json": "leave -o out", "-o wide": "leave -o out", "--follow --every 0s": "--every"} {
		if r := run(t, "", append([]string{"export", "postgres", "--dev", dir}, strings.Fields(args)...)...); r.code != exitUsage || !strings.Contains(r.err, says) || r.out != "" {
			t.Errorf("%s: %+v", args, r)
		}
	}
}
