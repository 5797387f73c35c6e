package export

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
