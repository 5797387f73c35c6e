package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/export"
	"github.com/recount-ledger/recount/internal/pgscript"
	"github.com/recount-ledger/recount/wire"
)

// TestExportErrors: each way in which an export fails has its code and its advice.
func TestExportErrors(t *testing.T) {
	interrupted := &client.Error{Endpoint: "https://n", Attempts: 1, Cause: context.Canceled}
	for name, c := range map[string]struct {
		err  error
		code int
		next string
	}{
		"there already":  {fmt.Errorf("%w: x", export.ErrExists), exitUsage, "a directory that is not there yet"},
		"no such range":  {fmt.Errorf("%w: x", export.ErrRange), exitNotFound, "recount digest"},
		"contradictions": {fmt.Errorf("%w: x", export.ErrDiffers), exitVerify, "Compare the nodes"},
		"a switch":       {fmt.Errorf("x: %w", client.ErrCursorGone), exitUnavailable, "start again"},
		"no parent":      {&fs.PathError{Err: fs.ErrNotExist}, exitUsage, "in one that is"},
		"not allowed":    {&fs.PathError{Err: fs.ErrPermission}, exitUsage, "in one that is"},
		"a file":         {&fs.PathError{Err: syscall.ENOTDIR}, exitUsage, "in one that is"},
		"interrupted":    {interrupted, exitCode(interrupted), "Begin again"},
		"a full disk":    {&fs.PathError{Err: syscall.ENOSPC}, exitFailed, ""},
		"something else": {errors.New("x"), exitFailed, ""},
		"nodes are away": {&client.Error{Endpoint: "https://n", Attempts: 3, Cause: syscall.ECONNREFUSED},
			exitUnavailable, "Check that the nodes run"},
		"not to be taken": {&client.Error{Status: 403, Problem: wire.NewProblem(wire.CodeForbidden, "")},
			exitRejected, "docs/roles.md"},
	} {
		err := exportError(c.err)
		if !errors.Is(err, c.err) || exitCode(err) != c.code {
			t.Errorf("%s: %v, code %d, want %d", name, err, exitCode(err), c.code)
		}
		if next := nextStep(err); !strings.Contains(next, c.next) || c.next == "" && next != "" {
			t.Errorf("%s: %q, want %q", name, next, c.next)
		}
		if name == "interrupted" && strings.Contains(nextStep(err)+nextStep(c.err), "Check that the nodes run") {
			t.Error("who interrupts an export is told that the nodes are to blame")
		}
	}
}

// TestExportInterrupted: an interrupt in the middle of an export is called one, and nothing is left behind.
func TestExportInterrupted(t *testing.T) {
	n := newNode(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	n.override = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/v1/events/") {
			interrupt()
			<-r.Context().Done()
			return true
		}
		return false
	}
	var out, errs strings.Builder
	a := &app{in: strings.NewReader(""), out: &out, err: &errs, env: func(string) string { return "" }}
	parent := t.TempDir()
	code := a.run(ctx, []string{"export", "dir", filepath.Join(parent, "x"), "--to-seq", "42", "--dev", dev(t, n)})
	if says := errs.String(); code == exitOK || !strings.Contains(says, "recount: interrupted\n") ||
		!strings.Contains(says, "nothing is left behind") || strings.Contains(says, "cluster status") {
		t.Errorf("exit %d: %s", code, says)
	}
	if left, err := filepath.Glob(filepath.Join(parent, "*")); err != nil || len(left) > 0 {
		t.Errorf("%q %v", left, err)
	}
}

// TestExportPostgresBeyond: a cursor beyond the end of the ledger is an error at once, which asks for the cluster, and
// not one of nodes that take too long.
func TestExportPostgresBeyond(t *testing.T) {
	n := newNode(t)
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/audit" {
			return false
		}
		if r.URL.Query().Has("min_seq") {
			t.Errorf("asked for %s, for which a node would wait", r.URL.RawQuery)
		}
		answer(w, wire.AuditPage{AppliedSeq: 42, Generation: 1})
		return true
	}
	r := run(t, "", "export", "postgres", "--after", "1|43", "--dev", dev(t, n))
	if r.code != exitNotFound || r.out != "" || !strings.Contains(r.err,
		"it is event 43, and the ledger ends with event 42") ||
		!strings.Contains(r.err, "recount whoami") {
		t.Errorf("%+v", r)
	}
	if err := feedError(context.DeadlineExceeded); !errors.Is(err,
		context.DeadlineExceeded) || exitCode(err) != exitFailed {
		t.Errorf("%v", err)
	}
	if err := feedError(fmt.Errorf("x: %w", pgscript.ErrSwitched)); exitCode(err) != exitFailed {
		t.Errorf("%v", err)
	}
}
