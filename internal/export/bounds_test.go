package export

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

// allocated is the memory that f takes in all, also what it gives back meanwhile: more than it ever holds.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestHostileDocuments: a text of very many small values, which would take hundreds of times its size, is refused
// before it is decoded.
func TestHostileDocuments(t *testing.T) {
	const size = 4 << 20
	dir := t.TempDir()
	fill := func(begin, piece, end string) []byte {
		return []byte(begin + strings.Repeat(piece, size/len(piece)) + end)
	}
	for name, text := range map[string][]byte{
		"empty objects":              fill("[{}", ",{}", "]\n"),
		"empty objects, on lines":    fill("[\n  {}", ",\n  {}", "\n]\n"),
		"empty lists in an object":   fill(`[{"scope":[""`, `,""`, "]}]\n"),
		"empty lists, on lines":      fill("[\n  {\n    \"scope\": [\n      \"\"", ",\n      \"\"", "\n    ]\n  }\n]\n"),
		"nested lists":               fill("", "[", "\n"),
		"nulls":                      fill("[null", ",null", "]\n"),
		"blanks":                     fill("[", " ", "]\n"),
		"members of an unknown name": fill(`[{"a":0`, `,"a":0`, "}]\n"),
	} {
		must(t, os.WriteFile(filepath.Join(dir, KeysFile), text, 0o600))
		var err error
		took := allocated(func() { _, err = readList[wire.KeyAnswer](&checker{dir: dir}, KeysFile) })
		if !errors.Is(err, ErrFormat) || took > 24*size {
			t.Errorf("%s: %v, and %d MiB for a file of %d", name, err, took>>20, size>>20)
		}
		took = allocated(func() { _, err = ParseManifest(text) })
		if !errors.Is(err, ErrFormat) || took > 24*size {
			t.Errorf("%s as a manifest: %v, and %d MiB for a file of %d", name, err, took>>20, size>>20)
		}
	}
	manifest := fill(`{"format":1,"files":[{}`, ",{}", "]}\n")
	var err error
	if took := allocated(func() { _, err = ParseManifest(manifest) }); !errors.Is(err, ErrFormat) || took > 24*size {
		t.Errorf("a manifest of empty files: %v, and %d MiB", err, took>>20)
	}
}

// TestTooLarge: what is larger than its bound is refused by its size alone. A sparse file takes no disk.
func TestTooLarge(t *testing.T) {
	for name, l := range map[string]struct {
		limit int64
		check string
	}{
		ManifestFile:    {maxManifest, CheckManifest},
		SumsFile:        {maxManifest, CheckManifest},
		KeysFile:        {maxList, CheckKeys},
		PoliciesFile:    {maxList, CheckPolicies},
		GenerationsFile: {maxList, CheckGenerations},
		PoliciesDir + "/95ca8b018ff1b3ceac843203158072b515e8415bba681ca767d8a8ba7aa266d4.json": {verify.MaxPolicyBytes,
			CheckPolicies},
	} {
		dir := filepath.Join(t.TempDir(), "copy")
		must(t, os.CopyFS(dir, os.DirFS(kept)))
		must(t, os.Truncate(filepath.Join(dir, name), l.limit+1))
		if name != ManifestFile && name != SumsFile {
			must(t, Reseal(dir, nil))
		}
		var r *Report
		var err error
		took := allocated(func() { r, err = Check(t.Context(), dir, CheckOptions{}) })
		if err != nil || r.OK || took > 32<<20 {
			t.Fatalf("%s: %+v %v, %d MiB", name, r, err, took>>20)
		}
		for _, line := range r.Checks {
			says := strings.Join(line.Faults, "\n")
			if line.Check == l.check && !strings.Contains(says, fmt.Sprintf("%d bytes, more than %d", l.limit+1, l.limit)) &&
				name != SumsFile {
				t.Errorf("%s: %+v", name, line)
			}
		}
	}
}

// TestOnLines: strings may hold anything, and outside of them each value begins a line.
func TestOnLines(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, "7": true, "[]": true, "{}": true, "[\n  1\n]\n": true, "[\n1,\n2\n]": true,
		"{\n  \"a,b\": \"[{,\",\n  \"c\": []\n}": true, `"\",[{"`: true, "{\n\"a\": \"\\\\\",\n\"b\": 1\n}": true,
		"[1]": false, "[[]]": false, "[{}]": false, "{\"a\": 1}": false, "[\n1, 2\n]": false, "[\n1,2\n]": false, "[": false,
		"{": false, "1,": false, "[}": false, "{]": false, `"\\",1`: false, "[\r\n]": false,
	} {
		if got := onLines([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	for _, name := range []string{ManifestFile, KeysFile, PoliciesFile, GenerationsFile} {
		if text, err := os.ReadFile(filepath.Join(fullExport, name)); err != nil || !onLines(text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReadList: the one text of a list is read, and no other text of the same value.
func TestReadList(t *testing.T) {
	type item struct {
		A string `json:"a"`
		B []int  `json:"b,omitempty"`
	}
	for _, c := range []struct {
		text string
		want string // of the items, "" for none
		ok   bool
	}{
		{"[]\n", "", true},
		{"null\n", "", true},
		{"[\n  {\n    \"a\": \"x\"\n  }\n]\n", "[{x []}]", true},
		{"[\n  {\n    \"a\": \"x\"\n  },\n  {\n    \"a\": \"\",\n    \"b\": [\n      1,\n      2\n    ]\n  }\n]\n", "[{x []} { [1 2]}]", true},
		{"[\n  {\n    \"a\": \"\\u003c\"\n  }\n]\n", "[{< []}]", true},
		{"[\n  {\n    \"a\": \"<\"\n  }\n]\n", "", false}, // the other escape
		{"[\n  {\n    \"A\": \"x\"\n  }\n]\n", "", false}, // in capitals
		{"[\n  {\n    \"a\": \"x\",\n    \"a\": \"y\"\n  }\n]\n", "", false},
		{"[\n  {\n    \"a\": \"x\",\n    \"c\": 1\n  }\n]\n", "", false},
		{"[\n  {\n    \"b\": [\n      1\n    ],\n    \"a\": \"x\"\n  }\n]\n", "", false}, // in another order
		{"[\n  {\n    \"a\": \"x\",\n    \"b\": []\n  }\n]\n", "", false},                // what is left out when empty
		{"[\n  {}\n]\n", "", false},
		{"[{\"a\":\"x\"}]\n", "", false},
		{"[\n  {\n    \"a\": \"x\"\n  }\n]", "", false},
		{"[\n  {\n    \"a\": \"x\"\n  }\n]\n\n", "", false},
		{"[\n  {\n    \"a\": \"x\"\n  }\n]\n[]\n", "", false},
		{" []\n", "", false},
		{"[ ]\n", "", false},
		{"{}\n", "", false},
		{"\"a\"\n", "", false},
		{"7\n", "", false},
		{"[\n  7\n]\n", "", false},
		{"[\n  null\n]\n", "", false},
		{"[\n  {\n    \"a\": \"x\"\n  },\n]\n", "", false},
		{"[\n  {\n    \"a\": \"x\"\n  }\n", "", false},
		{"", "", false},
		{"\ufeff[]\n", "", false},
		{"[\r\n]\r\n", "", false},
	} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "list.json"), []byte(c.text), 0o600))
		got, err := readList[item](&checker{dir: dir}, "list.json")
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", c.text, err)
		}
		if err == nil && c.want != "" && fmt.Sprint(got) != c.want {
			t.Errorf("%q: %v, want %s", c.text, got, c.want)
		}
	}
}

// TestLines: a line is the one text of its value, and the number of the line is in the error.
func TestLines(t *testing.T) {
	type item struct {
		A string `json:"a"`
		B uint64 `json:"b,omitempty"`
	}
	for text, want := range map[string]string{
		"":                                           "",
		"{\"a\":\"x\"}\n":                            "x",
		"{\"a\":\"x\"}":                              "x",
		"{\"a\":\"<&>\"}\n":                          "<&>",
		"{\"a\":\"\\u003c\"}\n":                      "line 1",
		"{\"a\":\"1\"}\n{\"a\":2}":                   "1 line 2",
		"{\"a\":\"1\"}\n\n":                          "1 line 2",
		"\n{\"a\":\"1\"}\n":                          "line 1",
		"{\"a\":\"1\"}\n{\"a\":\"2\",\"b\":1}\n":     "1 2",
		"{\"a\":\"1\",\"b\":0}\n":                    "line 1",
		"{\"a\":\"1\",\"a\":\"2\"}\n":                "line 1",
		"{\"A\":\"1\"}\n":                            "line 1",
		"{\"a\":\"1\",\"c\":2}\n":                    "line 1",
		"{\"a\":\"1\"}{\"a\":\"2\"}\n":               "line 1",
		"{\"a\": \"1\"}\n":                           "line 1",
		"{\"a\":\"1\"} \n":                           "line 1",
		"{\"a\":\"1\"}\r\n":                          "1", // bufio.ScanLines takes a carriage return away
		"{\"a\":\"\xff\"}\n":                         "line 1",
		"{\"a\":\"1\",\"b\":1e0}\n":                  "line 1",
		"{\"a\":\"1\",\"b\":-1}\n":                   "line 1",
		"{\"a\":\"1\",\"b\":18446744073709551616}\n": "line 1",
		"{\"a\":\"1\",\"b\":18446744073709551615}\n": "1",
		"null\n":         "line 1",
		"[]\n":           "line 1",
		"{}\n":           "line 1",
		"{\"a\":\"1\"\n": "line 1",
	} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "x.ndjson"), []byte(text), 0o600))
		r, err := openLines[item](dir, "x.ndjson")
		must(t, err)
		var got []string
		for {
			v, err := r.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "x.ndjson, line ") {
					t.Errorf("%q: %v", text, err)
				}
				got = append(got, fmt.Sprintf("line %d", r.line))
				break
			}
			got = append(got, v.A)
		}
		r.file.Close()
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if _, err := openLines[item](t.TempDir(), "x.ndjson"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestEmptyLine: behind an empty line there may be lies, so it is no end of a file.
func TestEmptyLine(t *testing.T) {
	for _, name := range []string{EventsFile, VerdictsFile, OperationsFile} {
		dir := filepath.Join(t.TempDir(), "copy")
		must(t, os.CopyFS(dir, os.DirFS(kept)))
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		must(t, err)
		last := text[bytes.LastIndexByte(text[:len(text)-1], '\n')+1:]
		must(t, os.WriteFile(path, append(append(text, '\n'), last...), 0o600))
		must(t, Reseal(dir, nil))
		r, err := Check(t.Context(), dir, CheckOptions{})
		if err != nil || r.OK {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
}

// TestLongLine: a line is read up to the bound, and not beyond it.
func TestLongLine(t *testing.T) {
	type item struct {
		A string `json:"a"`
	}
	for _, size := range []int{maxLine - 1, maxLine, maxLine + 1} {
		dir := t.TempDir()
		text := `{"a":"` + strings.Repeat("x", size-len(`{"a":""}`)) + `"}`
		must(t, os.WriteFile(filepath.Join(dir, "x.ndjson"), []byte(text+"\n"), 0o600))
		r, err := openLines[item](dir, "x.ndjson")
		must(t, err)
		_, err = r.next()
		r.file.Close()
		if size < maxLine && err != nil || size > maxLine && (!errors.Is(err, ErrFormat) ||
			!strings.Contains(err.Error(), "line 1 is longer than")) {
			t.Errorf("%d bytes: %.100v", size, err)
		}
	}
}

// TestManifestText: a manifest is one text, and every change of it is seen, whatever it is.
func TestManifestText(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(kept, ManifestFile))
	must(t, err)
	if _, err := ParseManifest(text); err != nil {
		t.Fatal(err)
	}
	swap := func(old, replacement string) []byte {
		if !bytes.Contains(text, []byte(old)) {
			t.Fatalf("no %q", old)
		}
		return bytes.Replace(text, []byte(old), []byte(replacement), 1)
	}
	for name, c := range map[string]struct {
		text []byte
		says string
	}{
		"a member twice":   {swap("  \"head\": 24,\n", "  \"head\": 24,\n  \"head\": 24,\n"), "was changed"},
		"two readers":      {swap("  \"head\": 24,\n", "  \"head\": 99,\n  \"head\": 24,\n"), "was changed"},
		"in capitals":      {swap(`"head"`, `"HEAD"`), "was changed"},
		"a member more":    {swap("  \"head\": 24,\n", "  \"head\": 24,\n  \"more\": 1,\n"), "unknown field"},
		"a member less":    {swap("  \"head\": 24,\n", ""), "was changed"},
		"another value":    {swap(`"head": 24`, `"head": 25`), "was changed"},
		"another order":    {swap("  \"format\": 1,\n  \"cluster_id\": \"nodetest\",\n", "  \"cluster_id\": \"nodetest\",\n  \"format\": 1,\n"), "was changed"},
		"another indent":   {swap("  \"head\"", "   \"head\""), "was changed"},
		"one line":         {bytes.ReplaceAll(text, []byte("\n"), nil), "on lines of their own"},
		"a line feed more": {append(bytes.Clone(text), '\n'), "was changed"},
		"no line feed":     {bytes.TrimSuffix(text, []byte("\n")), "was changed"},
		"two documents":    {append(bytes.Clone(text), text...), "was changed"},
		"half of it":       {text[:len(text)/2], "unexpected EOF"},
		"nothing":          {nil, "EOF"},
		"another sum":      {swap(`"sum": "cab5`, `"sum": "cab6`), "was changed"},
		"a later format":   {swap(`"format": 1`, `"format": 2`), "format 2; this program reads format 1"},
		"format 0":         {swap(`"format": 1`, `"format": 0`), "format 0; this program reads format 1"},
		"a later format with more members": {swap(`"format": 1`, "\"format\": 7,\n  \"new\": true"),
			"format 7; this program reads format 1"},
	} {
		if _, err := ParseManifest(c.text); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// TestSums: SHA256SUMS is sorted by name, with the manifest among the others.
func TestSums(t *testing.T) {
	m := &Manifest{Files: []File{{"acts.ndjson", 1, strings.Repeat("a", 64)}, {"records.csv", 2, strings.Repeat("b", 64)}}}
	want := strings.Repeat("a", 64) + "  acts.ndjson\n" + sumOf([]byte("x")) + "  manifest.json\n" +
		strings.Repeat("b", 64) + "  records.csv\n"
	if got := string(m.Sums([]byte("x"))); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestKnownFile: an export has these files, and a manifest that lists another one is none.
func TestKnownFile(t *testing.T) {
	id := strings.Repeat("0af9", 16)
	for name, want := range map[string]bool{
		EventsFile: true, PageFile: true, KeysFile: true,
		ManifestFile: false, SumsFile: false, "": false, "x": false, "../keys.json": false, "/keys.json": false,
		"policies": false, "policies/": false, "policies/.json": false, "policies/x.json": false,
		"policies/" + id + ".json": true, "policies/" + id + ".yaml": true,
		"policies/" + id:                            false,
		"policies/" + id + ".yml":                   false,
		"policies/" + id + ".json~":                 false,
		"policies/" + strings.ToUpper(id) + ".json": false,
		"policies/" + id[1:] + ".json":              false,
		"policies/../" + id + ".json":               false,
		"other/" + id + ".json":                     false,
		id + ".json":                                false,
		"policies/" + id + "/x.json":                false,
		"policies\\" + id + ".json":                 false,
	} {
		if got := knownFile(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// TestTree: the growing tree has the hash and the subtrees of the definition at every size, also when it begins at an
// edge.
func TestTree(t *testing.T) {
	var leaves [][32]byte
	grown := &tree{}
	for n := range 67 {
		root := rootOf(leaves)
		if got := grown.root(); !bytes.Equal(got, root[:]) || grown.size != uint64(n) {
			t.Fatalf("%d leaves: %x of %d, want %x", n, got, grown.size, root)
		}
		var edge []string
		for _, r := range grown.roots {
			edge = append(edge, hex.EncodeToString(r[:]))
		}
		if want := edgeOf(leaves); strings.Join(edge, " ") != strings.Join(want, " ") || len(want) != bits.OnesCount(uint(n)) {
			t.Fatalf("%d leaves: subtrees %q, want %q", n, edge, want)
		}
		again, err := treeAt(&Edge{Seq: uint64(n), Log: hex.EncodeToString(root[:]), Subtrees: edge})
		must(t, err)
		for i := range 5 {
			again.add(sumBytes([]byte{byte(n + i)}))
		}
		longer := append([][32]byte{}, leaves...)
		for i := range 5 {
			longer = append(longer, sumBytes([]byte{byte(n + i)}))
		}
		if want := rootOf(longer); !bytes.Equal(again.root(), want[:]) {
			t.Fatalf("five more leaves behind %d: %x, want %x", n, again.root(), want)
		}
		leaf := sumBytes([]byte{byte(n)})
		leaves = append(leaves, leaf)
		grown.add(leaf)
	}
}

// TestTreeAt: an edge that does not fit its number or its digest is refused.
func TestTreeAt(t *testing.T) {
	leaves := [][32]byte{sumBytes([]byte("a")), sumBytes([]byte("b")), sumBytes([]byte("c"))}
	root := rootOf(leaves)
	edge := edgeOf(leaves)
	log := hex.EncodeToString(root[:])
	for name, e := range map[string]*Edge{
		"another number":          {Seq: 5, Log: log, Subtrees: edge},
		"fewer bits":              {Seq: 4, Log: log, Subtrees: edge},
		"a root less":             {Seq: 3, Log: log, Subtrees: edge[:1]},
		"a root more":             {Seq: 3, Log: log, Subtrees: append(append([]string{}, edge...), edge[0])},
		"roots that change place": {Seq: 3, Log: log, Subtrees: []string{edge[1], edge[0]}},
		"another digest":          {Seq: 3, Log: edge[0], Subtrees: edge},
		"no digest":               {Seq: 3, Subtrees: edge},
		"capitals":                {Seq: 3, Log: log, Subtrees: []string{strings.ToUpper(edge[0]), edge[1]}},
		"half a hash":             {Seq: 3, Log: log, Subtrees: []string{edge[0][:32], edge[1]}},
	} {
		_, err := treeAt(e)
		if name == "another number" { // two bits too, but the roots hash to the digest of three
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := treeAt(nil); err != nil {
		t.Error(err)
	}
}

// TestRecent: the digests of the last events are known, and those before them, behind them, and of events that were
// never added, are not.
func TestRecent(t *testing.T) {
	var r recent
	tr := &tree{}
	if _, ok := r.at(0); ok {
		t.Error("there is a digest before anything")
	}
	roots := map[uint64][]byte{}
	const first = 7 // the range begins later
	for seq := uint64(first); seq < first+recentRoots+3; seq++ {
		tr.add(sumBytes([]byte{byte(seq), byte(seq >> 8)}))
		r.add(seq, tr)
		roots[seq] = tr.root()
		if seq == first+2 {
			for at, want := range map[uint64]bool{0: false, first - 1: false, first: true, first + 2: true, first + 3: false} {
				if _, ok := r.at(at); ok != want {
					t.Errorf("event %d: %v", at, ok)
				}
			}
		}
	}
	last := uint64(first + recentRoots + 2)
	for at, want := range map[uint64]bool{first: false, first + 2: false, first + 3: true, last - 1: true, last: true,
		last + 1: false, ^uint64(0): false} {
		got, ok := r.at(at)
		if ok != want || ok && !bytes.Equal(got, roots[at]) {
			t.Errorf("event %d: %x %v", at, got, ok)
		}
	}
}

// TestRecordsTable: every column of a full row, and of one that has only what every row has.
func TestRecordsTable(t *testing.T) {
	claimed, computed := nano.Nano(-1_500_000_000), nano.Nano(2_250_000_000)
	var b bytes.Buffer
	table := newRecords(&b)
	for _, v := range []wire.AuditItem{
		{Seq: 7, LogTime: "T1", ReceivedAt: "T2", Node: "n1", Remote: "10.0.0.1", RequestID: "R", ShardID: "=cmd", Epoch: -3,
			PCSID: "p", KeyID: "k", Status: 202, Outcome: "escalated", Accepted: true, ReasonCode: "c", Reasons: []string{"c", "d"},
			Reason: "why, \"so\"", DHat: &claimed, RecomputedDHat: &computed, RecomputedBudget: 10_000_000, Policy: "pol",
			Replayed: true, Reverified: true, InputsSigned: true, Evidence: true, FirstSeq: 3, Generation: 4,
			Was: wire.AuditAnswer{Generation: 1, Outcome: "accepted", Accepted: true, ReasonCode: "ok", Policy: "old"},
			Now: &wire.AuditAnswer{Generation: 5, Outcome: "refused", ReasonCode: "r", Policy: "new"}},
		{Seq: 18446744073709551615},
	} {
		must(t, table.add(&v))
	}
	must(t, table.flush())
	want := strings.Join(recordColumns, ",") + "\n" +
		"7,T1,T2,n1,10.0.0.1,R,'=cmd,'-3,p,k,accepted,true,ok,old,1,escalated,true,202,c,c d,\"why, \"\"so\"\"\",pol,4," +
		"refused,false,r,new,5,-1.5,2.25,0.01,true,true,true,true,3\n" +
		"18446744073709551615,,,,,,,0,,,,false,,,0,,false,0,,,,,0,,,,,,,,0,false,false,false,false,\n"
	if got := b.String(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestBoard: a report has every check in its order, at most ten faults of each, and the number of the others.
func TestBoard(t *testing.T) {
	b := newBoard()
	b.begin(CheckEvents, "fine")
	b.not(CheckHMAC, "need the secret")
	b.begin(CheckKeys, "fine")
	for n := range mostFaults + 3 {
		b.fault(CheckKeys, "fault %d", n)
	}
	b.looked(CheckEvents)
	b.looked(CheckEvents)
	r := b.into(&Report{})
	if r.OK || len(r.Checks) != len(checkOrder) || !b.failed(CheckKeys) || b.failed(CheckEvents) {
		t.Errorf("%+v", r)
	}
	for i, l := range r.Checks {
		want := Line{Check: checkOrder[i], Result: ResultNot, Says: "an earlier check failed"}
		switch l.Check {
		case CheckEvents:
			want.Result, want.Says, want.Count = ResultOK, "fine", 2
		case CheckHMAC:
			want.Says = "need the secret"
		case CheckKeys:
			if l.Result != ResultFailed || len(l.Faults) != mostFaults || l.More != 3 || l.Faults[9] != "fault 9" {
				t.Errorf("%+v", l)
			}
			continue
		}
		if fmt.Sprint(l) != fmt.Sprint(want) {
			t.Errorf("%+v, want %+v", l, want)
		}
	}
	if r := newBoard().into(&Report{}); !r.OK {
		t.Error("nothing was checked, and that failed")
	}
}

// TestPageBounds: the page lists the first operations and the largest shards, counts the others, and shows no more.
func TestPageBounds(t *testing.T) {
	var p pageData
	for i := range pageShards + 5 {
		for range 1 + i%3 {
			p.count(&wire.AuditItem{ShardID: fmt.Sprintf("s%04d", i), Outcome: wire.OutcomeAccepted, ReasonCode: "ok"})
		}
	}
	for _, outcome := range []string{wire.OutcomeEscalated, wire.OutcomeRefused, wire.OutcomeConflict, "of a later release"} {
		p.count(&wire.AuditItem{ShardID: "s0000", Outcome: outcome, ReasonCode: "x"})
	}
	shards := p.Shards()
	if len(shards) != pageShards || p.MoreShards() != 5 || shards[0].Shard != "s0000" || shards[0].All != 5 ||
		shards[1].Shard != "s0002" || shards[1].All != 3 {
		t.Errorf("%d shards, %d more, %+v %+v", len(shards), p.MoreShards(), shards[0], shards[1])
	}
	if s := *shards[0]; s != (shardCounts{"s0000", 5, 1, 1, 1, 1}) {
		t.Errorf("%+v", s)
	}
	if got := fmt.Sprint(p.Reasons()[0]); got != fmt.Sprint([3]string{"accepted", "ok", number(2010)}) || len(p.Reasons()) != 5 {
		t.Errorf("%v", p.Reasons())
	}
	for i := range pageOperations + 2 {
		p.operation(&wire.OperationItem{Seq: uint64(i)})
	}
	if len(p.Operations) != pageOperations || p.MoreOperations != 2 || p.Operations[pageOperations-1].Seq != pageOperations-1 {
		t.Errorf("%d operations, %d more", len(p.Operations), p.MoreOperations)
	}
	for i := range mostShards {
		p.count(&wire.AuditItem{ShardID: fmt.Sprint(i)})
	}
	if len(p.shards) != mostShards || p.Others != pageShards+5 {
		t.Errorf("%d shards, %d others", len(p.shards), p.Others)
	}
}

// TestAbout: an operation is told by its members that are not empty, in their order.
func TestAbout(t *testing.T) {
	for want, members := range map[string]map[string]any{
		"":                              nil,
		"alg 2, owner lab, scope [a b]": {"scope": []any{"a", "b"}, "owner": "lab", "alg": float64(2), "comment": "", "node": "0"},
		"on true":                       {"on": true, "off": false, "none": []any{}},
		"list [0]":                      {"list": []any{float64(0)}},
	} {
		if got := about(wire.OperationItem{About: members}); got != want {
			t.Errorf("%v: %q, want %q", members, got, want)
		}
	}
}

// TestPlace: a finished export takes the place of an empty directory, and of nothing else.
func TestPlace(t *testing.T) {
	for name, c := range map[string]struct {
		before func(dir string) error
		want   error
	}{
		"nothing":            {func(string) error { return nil }, nil},
		"an empty directory": {func(dir string) error { return os.Mkdir(dir, 0o700) }, nil},
		"a full directory": {func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600))
		}, ErrExists},
	} {
		parent := t.TempDir()
		dir, made := filepath.Join(parent, "out"), filepath.Join(parent, ".part")
		must(t, errors.Join(c.before(dir), os.Mkdir(made, 0o700), os.WriteFile(filepath.Join(made, "x"), []byte("y"), 0o600)))
		if err := place(made, dir); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "x")); (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if err := free(file); err == nil || errors.Is(err, ErrExists) {
		t.Errorf("a file is a free directory: %v", err)
	}
}

// TestWriteFileOnce: no file of an export is written twice.
func TestWriteFileOnce(t *testing.T) {
	dir := t.TempDir()
	f, err := writeFile(dir, "x", []byte("text"))
	must(t, err)
	if f != (File{"x", 4, sumOf([]byte("text"))}) {
		t.Errorf("%+v", f)
	}
	if size, sum, err := sumFile(filepath.Join(dir, "x")); err != nil || size != f.Size || sum != f.SHA256 {
		t.Errorf("%d %s %v", size, sum, err)
	}
	if _, err := writeFile(dir, "x", []byte("other")); !errors.Is(err, os.ErrExist) {
		t.Errorf("%v", err)
	}
	if _, err := writeFile(dir, "none/x", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
