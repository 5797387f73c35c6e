package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSubmitTakesWhatPeopleHave: one document on many lines, an array, objects without line feeds between them,
// and one a line are the same records, and each goes out as it stands.
func TestSubmitTakesWhatPeopleHave(t *testing.T) {
	one := func(i int) string { return fmt.Sprintf(`{"pcs_id":"%064x","shard_id":"s","epoch":%d}`, i, i) }
	pretty := "{\n  \"pcs_id\": \"" + strings.Repeat("a", 64) +
		"\",\n  \"shard_id\": \"s\",\n  \"N_j\": {\n    \"2\": 3\n  }\n}"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"a document on many lines": {pretty + "\n", []string{pretty}},
		"two of them":              {pretty + "\n\n" + pretty, []string{pretty, pretty}},
		"an array":                 {" [" + one(1) + ",\n" + pretty + "\n]\n", []string{one(1), pretty}},
		"one a line":               {one(1) + "\r\n" + one(2) + "\n\n" + one(3), []string{one(1), one(2), one(3)}},
		"no line feeds":            {one(1) + one(2), []string{one(1), one(2)}},
		"nothing":                  {" \n", nil},
	} {
		var got []string
		if err := readRequests(strings.NewReader(c.text), "sent", func(j request) error {
			got = append(got, string(j.http.Body))
			return nil
		}); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v %q", name, err, got)
		}
	}
}

// TestSubmitRefusesWhatIsNoJSON: a file of something else is refused before anything is sent, and the message
// names the line.
func TestSubmitRefusesWhatIsNoJSON(t *testing.T) {
	n := newNode(t)
	dir := dev(t, n)
	for text, says := range map[string]string{
		"root:x:0:0:root:/root:/bin/bash\n": "line 1: this is no JSON object",
		"\n\n\"a text\"\n":                  "line 3: this is no JSON object",
		"[1, 2]":                            "line 1: this is no JSON object",
		`{"pcs_id":`:                        "line 1: this is no JSON object",
		`[{"pcs_id":`:                       "line 1: this is no JSON object",
	} {
		file := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r := run(t, "", "submit", "--dev", dir, file)
		if r.code != exitUsage || !strings.Contains(r.err, says) ||
			!strings.Contains(r.err, "one JSON document, an array") {
			t.Errorf("%q: exit %d: %s", text, r.code, r.err)
		}
	}
}

// TestSubmitOfOneRecord prints the answer and no tally.
func TestSubmitOfOneRecord(t *testing.T) {
	n := newNode(t)
	_, cases := readCorpus(t, "good-hmac.ndjson", 1)
	r := run(t, *cases[0].Body, "submit", "--dev", dev(t, n), "-")
	for _, want := range []string{"outcome", "accepted", "seq", "pcs_id"} {
		if r.code != 0 || !strings.Contains(r.out, want) || strings.Contains(r.out, "RECORDS") {
			t.Errorf("no %s: %+v", want, r)
		}
	}
}
