package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// goWords are words of the Go library that say nothing to who reads an error.
var goWords = []string{"strconv", "jsontext", " json: ", "illegal base64", "invalid syntax",
	"unexpected end of JSON", "tls: "}

// plainly reports whether an error is in words that are not those of the Go library.
func plainly(text string) bool {
	for _, word := range goWords {
		if strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// TestFilesOfNoUse gives every command that reads a file one that is not there, a directory, an empty file and
// other bytes. It is wrong usage, or rejected when a policy is no policy. The file is named, nothing is
// printed, no node is asked.
func TestFilesOfNoUse(t *testing.T) {
	n := newNode(t)
	n.override = func(_ http.ResponseWriter, r *http.Request) bool {
		t.Errorf("a node was asked: %s %s", r.Method, r.URL)
		return false
	}
	dir := dev(t, n)
	good, err := os.ReadFile("../../testdata/policies/tighter-tolerance.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	t.Setenv("RECOUNT_CONFIG", filepath.Join(t.TempDir(), "config.yaml"))
	write(t, "my.key", testHMAC)
	write(t, "empty", "")
	write(t, "bytes", "\x00\x01\xff")
	write(t, "good.yaml", string(good))
	write(t, "record.json", "{}\n")
	if err := os.Mkdir("folder", 0o700); err != nil {
		t.Fatal(err)
	}
	dev := []string{"--dev", dir}
	plain := []string{"--endpoint", n.server.URL}
	cases := []struct {
		line   string // FILE stands for the file
		where  []string
		policy bool // an empty file and other bytes are rejected
	}{
		{"submit FILE", dev, false}, {"sign --key-file my.key FILE", nil, false},
		{"sign --key-file FILE record.json", nil, false},
		{"sign --verify --ed25519-pub FILE record.json", nil, false},
		{"sign --verify --key-file FILE record.json", nil, false},
		{"policy test good.yaml --records FILE", nil, false},
		{"policy test good.yaml --records record.json --hmac-key-file FILE", nil, false},
		{"policy test good.yaml --records record.json --ed25519-pub FILE", nil, false},
		{"policy test --records record.json FILE", nil, true}, {"policy publish FILE", dev, true},
		{"policy diff FILE good.yaml", dev, true}, {"policy new --from FILE", dev, true},
		{"key add --ed25519-pub FILE", dev, false}, {"key add --hmac-key-file FILE", dev, false},
		{"whoami --token-file FILE", dev, false}, {"whoami --ca FILE", plain, false},
		{"whoami --cert FILE --cert-key FILE", dev, false}, {"whoami --dev FILE", nil, false},
		{"context add a --dev FILE", nil, false}, {"context add b --ca FILE", plain, false},
		{"check FILE", dev, false}, {"export verify FILE", nil, false},
		{"export verify folder --hmac-key-file FILE", nil, false},
		{"incident bypass --reason x --yes --fix FILE", dev, true},
	}
	for _, c := range cases {
		for _, file := range []string{"missing", "folder", "empty", "bytes"} {
			args := append(strings.Fields(strings.ReplaceAll(c.line, "FILE", file)), c.where...)
			r, want := run(t, "", args...), exitUsage
			switch {
			case c.line == "export verify FILE" && file == "folder": // checked, and found wanting
				continue
			case (strings.HasPrefix(c.line, "submit") || strings.HasPrefix(c.line, "check")) && file == "empty",
				strings.HasSuffix(c.line, "--records FILE") && file == "empty":
				want = exitOK // an outbox with nothing in it
			case c.policy && (file == "empty" || file == "bytes"):
				want = exitRejected
			}
			names := strings.Contains(r.err, file) || want == exitRejected || want == exitOK || file == "empty" ||
				file == "bytes"
			if r.code != want || !names || !plainly(r.err) || r.out != "" && want != exitOK {
				t.Errorf("%q: exit %d, not %d\n%s%s", args, r.code, want, r.out, r.err)
			}
		}
	}
	if r := run(t, "", "policy", "diff", "missing", "good.yaml", "--dev",
		dir); !strings.Contains(r.err, `"missing" is no file, and no id of a policy`) {
		t.Errorf("neither a file nor an id: %+v", r)
	}
	if r := run(t, "", "submit", "empty", "--dev", dir); r.out != "" ||
		!strings.Contains(r.err, "0 records: the input holds none") {
		t.Errorf("nothing to submit: %+v", r)
	}
}

// told calls a function once, when a text was written.
type told struct {
	bytes.Buffer
	text string
	then func()
}

func (w *told) Write(p []byte) (int, error) {
	if w.then != nil && strings.Contains(string(p), w.text) {
		w.then()
		w.then = nil
	}
	return w.Buffer.Write(p)
}

// TestRecordsUnderWay: when one record gets no answer, those under way are waited for. Their outcome is known,
// and the error names a record that ended as it says.
func TestRecordsUnderWay(t *testing.T) {
	n := newNode(t)
	var calls atomic.Int32
	stopped := make(chan struct{})
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		if calls.Add(1) == 4 { // the others are under way
			answer(w, wire.NewProblem(wire.CodeFrozen, "event 7 froze submissions").WithRetry(time.Hour))
			return true
		}
		<-stopped
		return false
	}
	var in, errs strings.Builder
	for _, shard := range []string{"a", "b", "c", "d"} {
		fmt.Fprintf(&in, "{\"shard_id\":%q}\n", shard)
	}
	out := &told{text: "event 7 froze", then: func() { close(stopped) }}
	a := &app{in: strings.NewReader(in.String()), out: out, err: &errs, env: noEnv}
	code := a.run(t.Context(), []string{"submit", "-", "--dev", dev(t, n), "--concurrency", "4", "-o", "ndjson"})
	text := errs.String()
	if code != exitUnavailable || strings.Contains(out.String(), "outcome_unknown") ||
		!strings.Contains(text, "1 records could not be submitted; first line") ||
		!strings.Contains(text, "event 7 froze submissions") || !strings.Contains(text, "recount freeze list") {
		t.Errorf("exit %d\n%s%s", code, out, text)
	}
}
