package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/corpus"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

const corpusDir = "../../testdata"

// readCorpus reads the first n lines of a corpus file.
func readCorpus(t *testing.T, name string, n int) (lines []string, cases []corpus.Line) {
	t.Helper()
	f, err := os.Open(filepath.Join(corpusDir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 8<<20)
	for s.Scan() && len(lines) < n {
		var c corpus.Line
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		lines, cases = append(lines, s.Text()), append(cases, c)
	}
	return lines, cases
}

// makeKey runs keygen and returns the key file and the key as a node knows it.
func makeKey(t *testing.T, kind string) (string, verify.Key) {
	t.Helper()
	base := filepath.Join(t.TempDir(), "k")
	r := run(t, "", "keygen", kind, "--out", base, "-o", "json")
	var made newKey
	if err := json.Unmarshal([]byte(r.out), &made); err != nil || r.code != exitOK {
		t.Fatalf("%+v %v", r, err)
	}
	for _, name := range made.Files {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
	if again := run(t, "", "keygen", kind, "--out", base); again.code != exitUsage ||
		!strings.Contains(again.err, "--force") {
		t.Errorf("replaced a key: %+v", again)
	}
	var key verify.Key
	if kind == "hmac" {
		text, err := os.ReadFile(made.Environment["PCS_HMAC_KEY_FILE"])
		if err != nil {
			t.Fatal(err)
		}
		key, err = verify.NewHMACKey([]byte(strings.TrimSuffix(string(text), "\n")))
		if err != nil {
			t.Fatal(err)
		}
	} else {
		public, err := base64.StdEncoding.DecodeString(made.Environment["PCS_ED25519_PUB_B64"])
		if err != nil {
			t.Fatal(err)
		}
		if key, err = verify.NewEd25519Key(public); err != nil {
			t.Fatal(err)
		}
	}
	if key.ID != made.KeyID {
		t.Errorf("key id %s, node says %s", made.KeyID, key.ID)
	}
	return base + ".key", key
}

func TestSignedRecordsVerify(t *testing.T) {
	_, cases := readCorpus(t, "good-hmac.ndjson", 20)
	var records []string
	for _, c := range cases {
		records = append(records, *c.Body)
	}
	input := strings.Join(records, "\n")
	for _, kind := range []string{"hmac", "ed25519"} {
		file, key := makeKey(t, kind)
		keySet := verify.NewKeySet([]verify.Key{key})
		for p := pcs.F9; p <= pcs.LastProfile; p++ {
			for _, mode := range []string{"", "raw", "sha256"} {
				args := []string{"sign", "--key-file", file, "--profile", p.String()}
				if mode != "" {
					args = append(args, "--mode="+mode)
				}
				r := run(t, input, args...)
				if p == pcs.Bin && mode == "raw" {
					if r.code != exitUsage {
						t.Errorf("bin raw: %+v", r)
					}
					continue
				}
				signed := strings.Split(strings.TrimSpace(r.out), "\n")
				if r.code != exitOK || len(signed) != len(records) {
					t.Fatalf("%s %s %s: %+v", kind, p, mode, r)
				}
				for _, text := range signed {
					rec := pcs.Decode([]byte(text))
					f := keySet.Check(rec, verify.Facts{})
					exact := f
					exact.Profile = p
					if ok, _ := keySet.Recheck(rec, exact); !ok || mode != "" && f.Mode.String() != mode {
						t.Errorf("%s %s %s: %+v for %s", kind, p, mode, f, text)
					}
				}
			}
		}
	}
}

// TestSignGivesTheCorpusSignatures signs corpus records again under their own key, profile and mode.
func TestSignGivesTheCorpusSignatures(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "k"), testHMAC+"\n")
	lines, cases := readCorpus(t, "good-hmac.ndjson", 200)
	seen := 0
	for i, c := range cases {
		var how struct{ Key, Profile, Mode string }
		if err := json.Unmarshal([]byte(lines[i]), &how); err != nil {
			t.Fatal(err)
		}
		if how.Key != "hmac-current" {
			continue
		}
		want := pcs.Decode([]byte(*c.Body)).Sig
		r := run(t, *c.Body, "sign", "--key-file", file, "--profile", how.Profile, "--mode", how.Mode)
		if got := pcs.Decode([]byte(r.out)).Sig; r.code != exitOK || got != want {
			t.Errorf("%s: %s, want %s (%s)", c.ID, got, want, r.err)
		}
		seen++
	}
	if seen < 50 {
		t.Errorf("only %d records", seen)
	}
}

func TestSignKeepsTheRestOfTheRecord(t *testing.T) {
	file, _ := makeKey(t, "hmac")
	_, cases := readCorpus(t, "good-hmac.ndjson", 1)
	body := strings.Replace(*cases[0].Body, `"pcs_id":"654f`, `"x":{"ü":1.00e0, "a" : [1 ,2]},"pcs_id":"0000`, 1)
	if r := run(t, body, "sign", "--key-file", file); r.code != exitRejected || !strings.Contains(r.err, "--pcs-id") {
		t.Errorf("%+v", r)
	}
	r := run(t, body, "sign", "--key-file", file, "--pcs-id")
	want := strings.Replace(*cases[0].Body, `"pcs_id":"654f`, `"x":{"ü":1.00e0,"a":[1,2]},"pcs_id":"654f`, 1)
	cut := func(s string) string { before, _, _ := strings.Cut(s, `"sig":`); return before }
	if r.code != exitOK || cut(r.out) != cut(want) {
		t.Errorf("%+v\nwant %s", r, want)
	}
}

func TestSignRefuses(t *testing.T) {
	file, _ := makeKey(t, "hmac")
	private, _ := makeKey(t, "ed25519")
	short := write(t, filepath.Join(t.TempDir(), "short"), "abc")
	empty := write(t, filepath.Join(t.TempDir(), "empty"), "\n")
	_, cases := readCorpus(t, "good-hmac.ndjson", 1)
	good := *cases[0].Body
	for _, x := range []struct {
		code int
		in   string
		args []string
	}{
		{exitUsage, good, nil},
		{exitUsage, good, []string{"--key-file", "/nonexistent"}},
		{exitUsage, good, []string{"--key-file", empty}},
		{exitUsage, good, []string{"--key-file", short, "--alg", "ed25519"}},
		{exitUsage, good, []string{"--key-file", private, "--alg", "hmac"}},
		{exitUsage, good, []string{"--key-file", file, "--profile", "none"}},
		{exitUsage, good, []string{"--key-file", file, "--mode", "none"}},
		{exitUsage, good, []string{"--key-file", file, "--alg", "rsa"}},
		{exitUsage, "", []string{"--key-file", file}},
		{exitUsage, "[1]", []string{"--key-file", file}},
		{exitUsage, `{"a":1,"a":2}`, []string{"--key-file", file}},
		{exitRejected, `{}`, []string{"--key-file", file}},
		{exitRejected, `{"epoch":"x"}`, []string{"--key-file", file, "--pcs-id"}},
	} {
		if r := run(t, x.in, append([]string{"sign"}, x.args...)...); r.code != x.code || r.out != "" {
			t.Errorf("%v %.20s: %+v", x.args, x.in, r)
		}
	}
}

func TestSeedsAreKeysToo(t *testing.T) {
	seed := strings.Repeat("07", ed25519.SeedSize)
	file := write(t, filepath.Join(t.TempDir(), "seed"), seed+"\n")
	_, cases := readCorpus(t, "good-ed25519.ndjson", 1)
	r := run(t, *cases[0].Body, "sign", "--key-file", file, "--alg", "ed25519")
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	key, err := verify.NewEd25519Key(private.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	if f := verify.NewKeySet([]verify.Key{key}).Check(pcs.Decode([]byte(r.out)),
		verify.Facts{}); f.Mode != verify.SHA256 || f.Profile != pcs.F9 {
		t.Errorf("%+v %+v", f, r)
	}
}

// TestKeygenWritesAllOrNothing: no file of a pair is written when one of them is there already, or the
// directory is not.
func TestKeygenWritesAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	public := write(t, filepath.Join(dir, "me.pub"), "mine")
	for _, args := range [][]string{{"ed25519", "--out", filepath.Join(dir, "me")},
		{"hmac", "--out", filepath.Join(dir, "missing", "k")}} {
		if r := run(t, "", append([]string{"keygen"}, args...)...); r.code != exitUsage || r.out != "" ||
			!strings.Contains(r.err, "--out: ") {
			t.Errorf("%v: %+v", args, r)
		}
	}
	there, err := os.ReadDir(dir)
	if text, readErr := os.ReadFile(public); err != nil || readErr != nil || len(there) != 1 || string(text) != "mine" {
		t.Errorf("%v %v, %q %v", there, err, text, readErr)
	}
	if r := run(t, "", "keygen", "ed25519", "--out", filepath.Join(dir, "me"), "--force"); r.code != exitOK {
		t.Errorf("%+v", r)
	}
}
