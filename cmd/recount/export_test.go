package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/export"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// kept is an export of the first format.
const kept = "../../internal/export/testdata/format-1"

// harmed is a copy of it with one changed byte.
func harmed(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(kept)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, export.EventsFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.Replace(string(text), `"term":2`, `"term":3`, 1))
	return dir
}

// TestExportVerify: a person sees which check failed and why, a script the exit code and one document.
func TestExportVerify(t *testing.T) {
	r := run(t, "", "export", "verify", kept)
	for _, want := range []string{"log digest           ok", "ed25519 signatures   ok",
		"hmac signatures      not checked"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in\n%s", want, r.out)
		}
	}
	if r.code != exitOK || !strings.HasPrefix(r.err, "All checks hold: events 1 to ") {
		t.Errorf("%+v", r)
	}
	var report export.Report
	r = run(t, "", "export", "verify", kept, "-o", "json")
	if err := json.Unmarshal([]byte(r.out), &report); err != nil || !report.OK || len(report.Checks) != 18 ||
		r.err != "" {
		t.Errorf("%+v %v", r, err)
	}
	dir := harmed(t)
	r = run(t, "", "export", "verify", dir)
	if r.code != exitVerify || !strings.Contains(r.out, "\nfiles:\n  events.ndjson was changed: SHA-256 ") ||
		!strings.Contains(r.out, "an earlier check failed") || !strings.Contains(r.err, "1 of 18 checks failed") {
		t.Errorf("%+v", r)
	}
	r = run(t, "", "export", "verify", dir, "-o", "json")
	if err := json.Unmarshal([]byte(r.out), &report); err != nil || report.OK || r.code != exitVerify {
		t.Errorf("%+v %v", r, err)
	}
	secret := write(t, filepath.Join(t.TempDir(), "key"), testHMAC)
	for args, want := range map[string]struct {
		code int
		says string
	}{
		"verify nowhere":               {exitUsage, "recount export dir"},
		"verify":                       {exitUsage, "needs DIR"},
		"verify " + kept + " --sum 12": {exitUsage, "64 hex digits"},
		"verify " + kept + " --hmac-key-file nowhere":          {exitUsage, "no such file"},
		"verify " + kept + " --hmac-key-file " + secret:        {exitOK, "hmac signatures      ok"},
		"verify " + kept + " --sum " + report.Sum:              {exitOK, "manifest             ok"},
		"verify " + kept + " --sum " + strings.Repeat("0", 64): {exitVerify, "this is another export"},
		"verify " + t.TempDir():                                {exitVerify, "manifest.json is missing"},
	} {
		if r := run(t, "", append([]string{"export"}, strings.Fields(args)...)...); r.code != want.code ||
			!strings.Contains(r.out+r.err, want.says) {
			t.Errorf("%s: %+v", args, r)
		}
	}
}

// TestExportDirRefuses: what cannot be exported is said before anything is written.
func TestExportDirRefuses(t *testing.T) {
	n := newNode(t)
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v1/digest" || r.URL.Path == "/v1/whoami" {
			answer(w, wire.NewProblem(wire.CodeForbidden, "who are you?"))
			return true
		}
		if strings.HasPrefix(r.URL.Path, "/v1/events/") {
			answer(w, wire.EventAnswer{LogTime: "2026-01-02T03:04:05Z"})
			return true
		}
		return false
	}
	dir := dev(t, n)
	t.Chdir(t.TempDir())
	full := t.TempDir()
	write(t, filepath.Join(full, "mine"), "")
	for args, want := range map[string]struct {
		code int
		says string
	}{
		"dir":                                    {exitUsage, "needs DIR"},
		"dir " + full:                            {exitUsage, "is not empty"},
		"dir x --from-seq 9 --to-seq 8":          {exitUsage, "below"},
		"dir x --since today --until 2026-01-01": {exitUsage, "nothing can be between"},
		"dir x --since 2200-01-01":               {exitUsage, "future"},
		"dir x --to-seq 43":                      {exitNotFound, "the ledger ends with event 42"},
		"dir x --to-seq 42":                      {exitRejected, "recount token create"},
		"dir none/x --to-seq 42":                 {exitUsage, "no such file"},
	} {
		if r := run(t, "", append(append([]string{"export"}, strings.Fields(args)...), "--dev",
			dir)...); r.code != want.code || !strings.Contains(r.err, want.says) {
			t.Errorf("%s: %+v", args, r)
		}
	}
	if made, err := filepath.Glob("*"); err != nil || len(made) > 0 {
		t.Errorf("%q %v", made, err)
	}
	if err := exportError(client.ErrCursorGone); exitCode(err) != exitUnavailable {
		t.Error(err)
	}
}

// TestPace: rate and time to go, and none before there is one.
func TestPace(t *testing.T) {
	for want, p := range map[string]pace{
		"-/s, - to go":        {0, 100, time.Second},
		"50/s, 1s to go":      {50, 100, time.Second},
		"100/s, 0s to go":     {100, 100, time.Second},
		"7/s":                 {7, 0, time.Second},
		"1000/s, 17m0s to go": {10_000, 1_030_000, 10 * time.Second},
	} {
		if got := p.String(); got != want {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
}

// TestExportOfAShard: an export that holds no submission of the shard that was named says so, and one that
// holds some does not.
func TestExportOfAShard(t *testing.T) {
	c := nodetest.Start(t, 1)
	if _, err := c.Client.Submit(t.Context(),
		nodetest.NewRecords(t).Sign(nodetest.Record{Shard: "lab-7", Epoch: 1, Root: "r"})); err != nil {
		t.Fatal(err)
	}
	flags := clusterFlags(t, c, wire.RoleAuditor)
	for shard, told := range map[string]bool{"lab-7": false, "lab-77": true} {
		r := run(t, "", append([]string{"export", "dir", filepath.Join(t.TempDir(), "out"), "--shard", shard},
			flags...)...)
		if r.code != exitOK || strings.Contains(r.err, "no submission in this range names shard") != told {
			t.Errorf("%s: %+v", shard, r)
		}
	}
}
