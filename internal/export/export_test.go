package export_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/export"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// TestExport plays one ledger and exports it in every way.
func TestExport(t *testing.T) {
	s := newScene(t)
	s.play()
	dir, m := s.write(export.Options{})
	t.Run("whole", func(t *testing.T) { testWhole(t, s, dir, m) })
	t.Run("files", func(t *testing.T) { testFiles(t, dir, m) })
	t.Run("bytes", func(t *testing.T) { testBytes(t, s, dir) })
	t.Run("answers", func(t *testing.T) { testAnswers(t, dir) })
	t.Run("hostile", func(t *testing.T) { testHostile(t, dir) })
	t.Run("flips", func(t *testing.T) { testFlips(t, dir) })
	t.Run("harm", func(t *testing.T) { testHarm(t, dir) })
	t.Run("lies", func(t *testing.T) { testLies(t, dir) })
	t.Run("stranger", func(t *testing.T) { testStranger(t, dir) })
	t.Run("part", func(t *testing.T) { testPart(t, s, m) })
	t.Run("times", func(t *testing.T) { testTimes(t, s) })
	t.Run("shard", func(t *testing.T) { testShard(t, s, m) })
	t.Run("refusals", func(t *testing.T) { testRefusals(t, s, dir, m) })
}

// testWhole: everything holds; what needs a secret is said, and checked with it.
func testWhole(t *testing.T, s *scene, dir string, m *export.Manifest) {
	lines := holds(t, dir, export.CheckOptions{}, export.CheckHMAC, export.CheckHistory)
	if l := lines[export.CheckEd25519]; l.Count != 3 {
		t.Errorf("%+v", l)
	}
	if l := lines[export.CheckHMAC]; l.Count != 5 || !strings.Contains(l.Says, "need the secret") {
		t.Errorf("%+v", l)
	}
	if l := lines[export.CheckHistory]; l.Count < 4 {
		t.Errorf("%+v", l)
	}
	secret, err := verify.NewHMACKey(trusted(t))
	must(t, err)
	holds(t, dir, export.CheckOptions{Secrets: []verify.Key{secret}, Sum: m.Sum}, export.CheckHistory)
	if l := holds(t, dir, export.CheckOptions{Secrets: []verify.Key{secret}, Recount: true})[export.CheckHistory]; l.Count != 11 {
		t.Errorf("%+v", l)
	}
	other, err := verify.NewHMACKey([]byte("another secret"))
	must(t, err)
	holds(t, dir, export.CheckOptions{Secrets: []verify.Key{other}}, export.CheckHMAC, export.CheckHistory)
	if r, _ := check(t, dir, export.CheckOptions{Sum: strings.Repeat("0", 64)}); r.OK {
		t.Error("the sum of another export is taken")
	}
	d, err := s.c.Client.Digest(s.ctx, m.Range.ToSeq)
	must(t, err)
	if m.End.Log != d.Log || m.End.State != d.State || m.Before != nil || m.Generation != 2 || m.Head != m.Range.ToSeq || m.Made.Actor != "test-auditor" {
		t.Errorf("%+v, %+v", m, d)
	}
	if c := m.Counts; c.Submissions != 11 || c.Operations != 9 || c.Policies != 3 || c.Keys != 2 || c.Generations != 2 || c.Outcomes["conflict"] != 1 {
		t.Errorf("%+v", c)
	}
}

func trusted(t *testing.T) []byte {
	t.Helper()
	var keys struct {
		HMAC map[string]struct{ Text string } `json:"hmac"`
	}
	text, err := os.ReadFile("../../testdata/keys.json")
	must(t, err)
	must(t, json.Unmarshal(text, &keys))
	return []byte(keys.HMAC["hmac-current"].Text)
}

// testFiles: the files are those that the format names, and no secret is in any of them.
func testFiles(t *testing.T, dir string, m *export.Manifest) {
	var got []string
	for _, name := range files(t, dir) {
		if !strings.HasPrefix(name, "policies/") {
			got = append(got, name)
		}
	}
	want := []string{"SHA256SUMS", "acts.ndjson", "events.ndjson", "generations.json", "index.html", "keys.json", "manifest.json", "policies.json", "records.csv", "verdicts.ndjson"}
	if !slices.Equal(got, want) || len(files(t, dir)) != len(want)+2*3 || len(m.Files) != len(want)-2+2*3 {
		t.Errorf("%q", files(t, dir))
	}
	for _, name := range files(t, dir) {
		text, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		if bytes.Contains(text, trusted(t)) || bytes.Contains(text, []byte("rct_")) {
			t.Errorf("%s has a secret", name)
		}
	}
}

// files lists a directory tree.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	must(t, fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	}))
	return names
}

// lines reads an NDJSON file.
func lines[T any](t *testing.T, dir, name string) (all []T) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, name))
	must(t, err)
	defer f.Close()
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		var v T
		must(t, json.Unmarshal(scan.Bytes(), &v))
		all = append(all, v)
	}
	return all
}

// testBytes: every event is there as the log holds it.
func testBytes(t *testing.T, s *scene, dir string) {
	events := lines[export.Event](t, dir, export.EventsFile)
	for i, e := range events {
		got, err := s.c.Client.Event(s.ctx, uint64(i+1), client.Read{})
		must(t, err)
		if e.Seq != got.Seq || !bytes.Equal(e.Payload, got.Payload) || e.LeafHash != got.LeafHash || e.LogTime != got.LogTime {
			t.Errorf("event %d: %+v", i+1, e)
		}
	}
}

// testAnswers: an answer is there as it was given first and as it stood at the end of the range.
func testAnswers(t *testing.T, dir string) {
	recounted := 0
	for _, v := range lines[wire.AuditItem](t, dir, export.VerdictsFile) {
		if v.ReasonCode == "seen_before" {
			recounted++
			if v.Was.Outcome != "accepted" || v.Was.Generation != 1 || v.Outcome != "refused" || v.Generation != 2 || v.Was.Policy == v.Policy {
				t.Errorf("%+v", v)
			}
		}
	}
	if recounted != 1 {
		t.Errorf("%d records were recounted", recounted)
	}
}

// testHostile: names and reasons do nothing to whoever opens the table or the page.
func testHostile(t *testing.T, dir string) {
	f, err := os.Open(filepath.Join(dir, export.RecordsFile))
	must(t, err)
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	must(t, err)
	if len(rows) != 12 || !slices.ContainsFunc(rows, func(r []string) bool { return slices.Contains(r, "'"+formulaShard) }) {
		t.Errorf("%q", rows)
	}
	for _, row := range rows {
		for i, cell := range row {
			if strings.ContainsAny(cell[:min(1, len(cell))], "=+-@\t\r") && !strings.HasSuffix(rows[0][i], "_hat") {
				t.Errorf("%q begins a formula", cell)
			}
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, export.PageFile))
	must(t, err)
	for _, bad := range []string{"<script", "<img", "\u202e", "=\"http", " onerror=alert(1)>"} {
		if strings.Contains(string(page), bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	for _, good := range []string{"&lt;script&gt;alert(1)", `\u202e`, "@media print", "recount export verify", "stolen", "key_revoked", "epoch_equivocation", "<td>activated<td>"} {
		if !strings.Contains(string(page), good) {
			t.Errorf("the page has no %q", good)
		}
	}
}

// TestDefused: no cell is a formula, also where lines are split at semicolons.
func TestDefused(t *testing.T) {
	for in, want := range map[string]string{"alpha": "alpha", "": "", "=1": "'=1", "  +1": "  '+1", "-x": "'-x", "@x": "'@x", "a=b": "a=b", "x;=1": "x;'=1", "x; @a": "x; '@a",
		"\t=1": ".'=1", "a\r\n=1": "a..'=1", "\uff1dcmd": "'\uff1dcmd", "a|-b": "a|'-b", "\u202e=1": "\\u202e=1", "-1": "'-1", "2026-01-02": "2026-01-02"} {
		if got := export.Defused(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// testFlips: one changed bit anywhere is seen.
func testFlips(t *testing.T, dir string) {
	to := copied(t, dir)
	for _, name := range files(t, dir) {
		path := filepath.Join(to, name)
		text, err := os.ReadFile(path)
		must(t, err)
		for _, at := range []int{0, len(text) / 3, len(text) / 2, len(text) - 1} {
			for bit := range 8 {
				text[at] ^= 1 << bit
				must(t, os.WriteFile(path, text, 0o600))
				if r, err := export.Check(t.Context(), to, export.CheckOptions{}); err != nil || r.OK {
					t.Errorf("%s: bit %d of byte %d: %v", name, bit, at, err)
				}
				text[at] ^= 1 << bit
			}
		}
		must(t, os.WriteFile(path, text, 0o600))
	}
	holds(t, to, export.CheckOptions{}, export.CheckHMAC, export.CheckHistory)
}

// testHarm: what is cut, missing or too much is seen.
func testHarm(t *testing.T, dir string) {
	for name, harm := range map[string]func(to string) error{
		"an extra file":      func(to string) error { return os.WriteFile(filepath.Join(to, "more.txt"), nil, 0o600) },
		"an extra directory": func(to string) error { return os.Mkdir(filepath.Join(to, "more"), 0o700) },
		"an extra policy":    func(to string) error { return os.WriteFile(filepath.Join(to, "policies", "x.json"), nil, 0o600) },
		"a link": func(to string) error {
			elsewhere := filepath.Join(t.TempDir(), "keys.json")
			return errors.Join(os.Rename(filepath.Join(to, export.KeysFile), elsewhere), os.Symlink(elsewhere, filepath.Join(to, export.KeysFile)))
		},
		"a directory for a file": func(to string) error {
			return errors.Join(os.Remove(filepath.Join(to, export.KeysFile)), os.Mkdir(filepath.Join(to, export.KeysFile), 0o700))
		},
	} {
		to := copied(t, dir)
		must(t, harm(to))
		if r, err := export.Check(t.Context(), to, export.CheckOptions{}); err != nil || r.OK {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
	for _, name := range files(t, dir) {
		to := copied(t, dir)
		path := filepath.Join(to, name)
		info, err := os.Stat(path)
		must(t, err)
		must(t, os.Truncate(path, info.Size()/2))
		if r, err := export.Check(t.Context(), to, export.CheckOptions{}); err != nil || r.OK {
			t.Errorf("half of %s: %v", name, err)
		}
		must(t, os.Remove(path))
		if r, err := export.Check(t.Context(), to, export.CheckOptions{}); err != nil || r.OK {
			t.Errorf("without %s: %v", name, err)
		}
	}
	if _, err := export.Check(t.Context(), filepath.Join(dir, "nowhere"), export.CheckOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// testPart: a range that begins later is checked against the digest before it.
func testPart(t *testing.T, s *scene, whole *export.Manifest) {
	for _, from := range []uint64{2, 5, 8, 11} {
		dir, m := s.write(export.Options{FromSeq: from, ToSeq: whole.Head - 1})
		if m.Before == nil || m.Before.Seq != from-1 || m.Counts.Events != whole.Head-from {
			t.Errorf("%+v", m)
		}
		holds(t, dir, export.CheckOptions{Recount: true}, export.CheckHMAC, export.CheckHistory)
		must(t, export.Reseal(dir, func(m *export.Manifest) { m.Before.Subtrees[0] = strings.Repeat("0", 64) }))
		if _, lines := check(t, dir, export.CheckOptions{}); lines[export.CheckDigest].Result != export.ResultFailed {
			t.Errorf("%+v", lines)
		}
	}
	dir, _ := s.write(export.Options{FromSeq: 4})
	must(t, export.Reseal(dir, func(m *export.Manifest) { m.End.Log = strings.Repeat("0", 64) }))
	if _, lines := check(t, dir, export.CheckOptions{}); lines[export.CheckDigest].Result != export.ResultFailed {
		t.Errorf("%+v", lines)
	}
	early, m := s.write(export.Options{ToSeq: 9}) // before the recount
	if m.Generation != 1 {
		t.Errorf("%+v", m)
	}
	holds(t, early, export.CheckOptions{Recount: true}, export.CheckHMAC)
	for _, v := range lines[wire.AuditItem](t, early, export.VerdictsFile) {
		if v.Generation != 1 || v.Now == nil || v.Now.Generation != 2 {
			t.Errorf("%+v", v)
		}
	}
}

// testTimes: times choose the events from the first bound on and before the second.
func testTimes(t *testing.T, s *scene) {
	at := func(seq uint64) time.Time {
		e, err := s.c.Client.Event(s.ctx, seq, client.Read{})
		must(t, err)
		when, err := wire.ParseTime(e.LogTime)
		must(t, err)
		return when
	}
	_, m := s.write(export.Options{Since: at(5), Until: at(9)})
	for seq := uint64(1); seq <= m.Head; seq++ {
		inside := !at(seq).Before(at(5)) && at(seq).Before(at(9))
		if inside != (seq >= m.Range.FromSeq && seq <= m.Range.ToSeq) {
			t.Errorf("event %d of %s: %+v", seq, at(seq), m.Range)
		}
	}
	_, m = s.write(export.Options{Since: at(5).Add(time.Nanosecond), FromSeq: 2})
	if at(m.Range.FromSeq).Equal(at(5)) || m.Range.ToSeq != m.Head {
		t.Errorf("%+v", m.Range)
	}
}

// testShard: of one shard there is what names it, refused or not, and nothing else.
func testShard(t *testing.T, s *scene, whole *export.Manifest) {
	dir, m := s.write(export.Options{Shard: "alpha"})
	holds(t, dir, export.CheckOptions{}, export.CheckHMAC, export.CheckHistory, export.CheckDigest, export.CheckRecorded, export.CheckOperations)
	if m.Counts.Submissions != 6 || m.Counts.Events != 6 || m.Counts.Operations != whole.Counts.Operations {
		t.Errorf("%+v", m.Counts)
	}
	for _, v := range lines[wire.AuditItem](t, dir, export.VerdictsFile) {
		if v.ShardID != "alpha" {
			t.Errorf("%+v", v)
		}
	}
}

// testRefusals: what cannot be done changes nothing.
func testRefusals(t *testing.T, s *scene, dir string, m *export.Manifest) {
	parent := t.TempDir()
	full := filepath.Join(parent, "full")
	must(t, os.Mkdir(full, 0o700))
	must(t, os.WriteFile(filepath.Join(full, "mine"), nil, 0o600))
	gone, cancel := context.WithCancel(s.ctx)
	cancel()
	options := func(o export.Options) export.Options {
		o.Tool, o.At, o.Timeout = "test", time.Now(), 20*time.Second
		if o.Dir == "" {
			o.Dir = filepath.Join(parent, "new")
		}
		return o
	}
	for want, o := range map[error]export.Options{
		export.ErrExists: {Dir: full}, export.ErrRange: {ToSeq: m.Head + 1000}, fmt.Errorf("x"): {FromSeq: m.Head + 1000}, errors.New("y"): {Until: time.Unix(1, 0)},
	} {
		if _, err := export.Write(s.ctx, s.auditor, options(o)); err == nil || !errors.Is(err, want) && !errors.Is(err, export.ErrRange) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := export.Write(gone, s.auditor, options(export.Options{})); err == nil {
		t.Error("an interrupt is no error")
	}
	stop, interrupt := context.WithCancel(s.ctx)
	if _, err := export.Write(stop, s.auditor, options(export.Options{Progress: func(string, uint64, uint64) { interrupt() }})); err == nil {
		t.Error("an interrupt in between is no error")
	}
	if entries, err := os.ReadDir(parent); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v %v", entries, err)
	}
	empty := filepath.Join(parent, "empty")
	must(t, os.Mkdir(empty, 0o700))
	if _, err := export.Write(s.ctx, s.auditor, options(export.Options{Dir: empty})); err != nil {
		t.Error(err)
	}
	holds(t, empty, export.CheckOptions{}, export.CheckHMAC, export.CheckHistory)
}
