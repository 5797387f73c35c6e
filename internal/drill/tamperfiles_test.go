package drill

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/export"
	"github.com/recount-ledger/recount/internal/nodetest"
)

// TestLiesOfExports: an export with an edited outcome, or with swapped events, is whole by every sum of it. What the
// events say gives it away.
func TestLiesOfExports(t *testing.T) {
	c, records := nodetest.Start(t, 1), nodetest.NewRecords(t)
	for i := range int64(8) {
		body := records.Sign(nodetest.Record{Shard: "a", Epoch: i + 1, Root: "r"})
		if _, err := c.Client.Submit(t.Context(), body); err != nil {
			t.Fatal(err)
		}
	}
	honest := filepath.Join(t.TempDir(), "export")
	_, err := export.Write(t.Context(), c.Client, export.Options{Dir: honest, Timeout: 10 * time.Second, At: time.Now(),
		Tool: "test"})
	if err != nil {
		t.Fatal(err)
	}
	for name, lie := range map[string]struct {
		tell  func(dir string) error
		check string
	}{
		"outcome": {editOutcome, export.CheckJudged},
		"events":  {func(dir string) error { return swapEvents(t.Context(), dir) }, export.CheckAnswers},
	} {
		dir := filepath.Join(t.TempDir(), "copy")
		if err := copyTree(honest, dir, func(string) bool { return false }); err != nil {
			t.Fatal(err)
		}
		if r := checked(t, dir); !r.OK {
			t.Fatalf("%s: the copy has faults: %+v", name, r.Checks)
		}
		if err := lie.tell(dir); err != nil {
			t.Fatal(err)
		}
		faults := map[string]bool{}
		for _, c := range checked(t, dir).Checks {
			if len(c.Faults) > 0 {
				faults[c.Check] = true
				t.Log(name, c.Check, c.Faults)
			}
		}
		for _, sum := range []string{export.CheckManifest, export.CheckFiles, export.CheckEvents, export.CheckDigest} {
			if faults[sum] {
				t.Errorf("%s: a sum gives it away: %s", name, sum)
			}
		}
		if !faults[lie.check] {
			t.Errorf("%s: faults in %v, not in %s", name, faults, lie.check)
		}
	}
}

func checked(t *testing.T, dir string) *export.Report {
	t.Helper()
	r, err := export.Check(t.Context(), dir, export.CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestTamperedFiles: a copy has the modes of what was copied, and a change is in the part of a file that is used.
func TestTamperedFiles(t *testing.T) {
	from := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(from, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(from, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("a/key", "secret", 0o600)
	write("a/1.log", "12345678"+strings.Repeat("\x00", 100), 0o644)
	write("a/2.log", "12", 0o644)
	write("skipped/x", "x", 0o644)
	to := filepath.Join(t.TempDir(), "to")
	if err := copyTree(from, to, func(rel string) bool { return rel == "skipped" }); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(to, "a", "key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := os.Stat(filepath.Join(to, "skipped")); !os.IsNotExist(err) {
		t.Error(err)
	}
	for _, c := range []struct {
		do   func(string) error
		want string
	}{{flipByte, "1234\xca678"}, {cutEnd, "1234"}} {
		if err := c.do(filepath.Join(to, "a", "*.log")); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(to, "a", "1.log"))
		if err != nil || !bytes.Equal(got, []byte(c.want)) {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := flipByte(filepath.Join(to, "*.sst")); err == nil {
		t.Error("there is no such file")
	}
}
