package main

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/pgscript"
	"github.com/recount-ledger/recount/wire"
)

// TestExportPostgres: the schema asks no node, the script goes on where it is told, and what does not fit
// together is refused before a node is asked.
func TestExportPostgres(t *testing.T) {
	if r := run(t, "", "export", "postgres", "--print-schema"); r.code != exitOK || r.out != pgscript.Schema {
		t.Errorf("%+v", r)
	}
	dir := dev(t, newNode(t))
	if r := run(t, "", "export", "postgres", "--after", "", "--dev", dir); r.code != exitUsage {
		t.Errorf("an empty cursor: %+v", r)
	}
	for args, says := range map[string]string{
		"--after x":                  "the generation and the seq of recount_cursor",
		"--after 0|7":                "the generation and the seq",
		"--print-schema --follow":    "--print-schema",
		"--print-schema --after 1|2": "--print-schema",
		"-o json":                    "leave -o out",
		"-o wide":                    "leave -o out",
		"--follow --every 0s":        "--every",
	} {
		if r := run(t, "", append([]string{"export", "postgres", "--dev", dir},
			strings.Fields(args)...)...); r.code != exitUsage || !strings.Contains(r.err, says) || r.out != "" {
			t.Errorf("%s: %+v", args, r)
		}
	}
}

// TestExportPostgresFollows: it writes a batch for what is new, nothing when nothing is, goes on when the nodes
// are away for a moment, and an interrupt is its usual end.
func TestExportPostgresFollows(t *testing.T) {
	n := newNode(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	asked := 0
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		switch r.URL.Path {
		case "/v1/known-shards":
			answer(w, wire.KnownShardsPage{Items: []wire.KnownShardsAnswer{{Patterns: []string{"lab-*"}}}})
			return true
		case "/v1/audit":
		default:
			return false
		}
		switch asked++; asked {
		case 1: // two rows, up to event 42
			at := "2026-01-02T03:04:05.123456789Z"
			answer(w, wire.AuditPage{
				AppliedSeq: 42,
				Generation: 1,
				Items: []wire.AuditItem{{Seq: 40, LogTime: at, ReceivedAt: at},
					{Seq: 41, LogTime: at, ReceivedAt: at}},
			})
		case 2:
			<-r.Context().Done() // the node is away until the time is up
		case 3:
			if q := r.URL.Query(); q.Get("from_seq") != "43" || q.Get("min_seq") != "42" ||
				q.Get("consistency") != wire.ConsistencyLinearizable {
				t.Errorf("asked for %s", r.URL.RawQuery)
			}
			answer(w, wire.AuditPage{AppliedSeq: 43, Generation: 1})
		default:
			interrupt()
			<-r.Context().Done()
		}
		return true
	}
	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, err: &errs, env: func(string) string { return "" }}
	code := a.run(ctx, []string{"export", "postgres", "--follow", "--every", "10ms", "--timeout", "2s", "--dev",
		dev(t, n)})
	if batches := strings.Count(out.String(), "DO $recount$"); code != exitOK || batches != 1 ||
		!strings.Contains(out.String(), "\t0\t0\t1\t42\t2\t1\n") || !strings.Contains(errs.String(), "trying again") {
		t.Errorf("exit %d, %d batches: %s%s", code, batches, out.String(), errs.String())
	}
}
