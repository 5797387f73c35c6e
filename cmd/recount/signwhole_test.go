package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/trial"
)

// wholeGolden is golden/signing_v2.json with the keys that its signatures were made with.
type wholeGolden struct {
	Cases, Unsignable          []struct{ Name, Record, HMAC, Ed25519 string }
	hmacFile, edFile, edPublic string
}

func readWhole(t *testing.T) (g wholeGolden) {
	t.Helper()
	var keys struct {
		HMAC    map[string]struct{ Text string }
		Ed25519 map[string]map[string]any
	}
	for name, into := range map[string]any{"golden/signing_v2.json": &g, "keys.json": &keys} {
		b, err := os.ReadFile(filepath.Join(corpusDir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	g.hmacFile = write(t, filepath.Join(dir, "hmac"), keys.HMAC["hmac-current"].Text+"\n")
	g.edFile = write(t, filepath.Join(dir, "ed"), keys.Ed25519["ed-main"]["seed_hex"].(string)+"\n")
	g.edPublic = write(t, filepath.Join(dir, "pub"), keys.Ed25519["ed-main"]["public_b64"].(string)+"\n")
	return g
}

// TestSignWhole: sign gives the published signatures, whether the record names the scheme or the flag does, and
// --verify finds them good.
func TestSignWhole(t *testing.T) {
	g := readWhole(t)
	for _, c := range g.Cases {
		for _, how := range []struct {
			args, check []string
			want        string
		}{
			{[]string{"--key-file", g.hmacFile}, []string{"--key-file", g.hmacFile}, c.HMAC},
			{[]string{"--key-file", g.edFile, "--alg", "ed25519"}, []string{"--ed25519-pub", g.edPublic}, c.Ed25519},
		} {
			named := run(t, c.Record, append([]string{"sign"}, how.args...)...)
			set := run(t, strings.Replace(c.Record, `"pcs/2"`, `"pcs/1"`, 1),
				append([]string{"sign", "--scheme", "pcs/2"}, how.args...)...)
			for _, r := range []ran{named, set} {
				if got := pcs.Decode([]byte(r.out)).Sig; r.code != exitOK || got != how.want {
					t.Errorf("%s: %s, want %s (%s)", c.Name, got, how.want, r.err)
				}
			}
			var checked []checkLine
			r := run(t, named.out, append([]string{"sign", "--verify", "-o", "json"}, how.check...)...)
			if err := json.Unmarshal([]byte(r.out), &checked); err != nil || r.code != exitOK ||
				len(checked) != 1 || !checked[0].Verifies || !checked[0].InputsSigned || checked[0].Scheme != "pcs/2" {
				t.Errorf("%s: %+v %v", c.Name, r, err)
			}
			r = run(t, strings.Replace(named.out, `"outbox_seq":1`, `"outbox_seq":2`, 1),
				append([]string{"sign", "--verify"}, how.check...)...)
			if r.code != exitVerify || !strings.Contains(r.err, "1 of 1 records") {
				t.Errorf("%s, changed: %+v", c.Name, r)
			}
		}
	}
	for _, c := range g.Unsignable {
		if r := run(t, c.Record, "sign", "--key-file", g.hmacFile); r.code != exitRejected || r.out != "" ||
			!strings.Contains(r.err, "no canonical form") {
			t.Errorf("%s: %+v", c.Name, r)
		}
	}
}

// TestSignBackToOne: a record that names pcs/2 is signed as pcs/1 only after its member says so.
func TestSignBackToOne(t *testing.T) {
	g := readWhole(t)
	r := run(t, g.Cases[0].Record, "sign", "--scheme", "pcs/1", "--key-file", g.hmacFile)
	if rec := pcs.Decode([]byte(r.out)); r.code != exitOK || rec.Scheme != pcs.PCS1 ||
		!strings.Contains(r.out, `"sig_scheme":"pcs/1"`) {
		t.Errorf("%+v", r)
	}
	if c := run(t, r.out, "sign", "--verify", "--key-file", g.hmacFile); c.code != exitOK ||
		!strings.Contains(c.out, "pcs/1") || !strings.Contains(c.out, "f9") {
		t.Errorf("%+v", c)
	}
	_, cases := readCorpus(t, "good-hmac.ndjson", 1)
	if r := run(t, *cases[0].Body, "sign", "--scheme", "pcs/1", "--key-file", g.hmacFile); r.code != exitOK ||
		strings.Contains(r.out, "sig_scheme") {
		t.Errorf("%+v", r)
	}
}

func TestSignWholeRefuses(t *testing.T) {
	g := readWhole(t)
	good := g.Cases[0].Record
	for _, args := range [][]string{
		{"--scheme", "pcs/3", "--key-file", g.hmacFile}, {"--scheme", "unknown", "--key-file", g.hmacFile},
		{"--scheme", "pcs/2", "--profile", "f9", "--key-file", g.hmacFile},
		{"--scheme", "pcs/2", "--mode", "raw", "--key-file", g.hmacFile},
		{"--profile", "py", "--key-file", g.hmacFile}, {"--mode", "whole", "--key-file", g.hmacFile},
		{"--ed25519-pub", g.edPublic, "--key-file", g.hmacFile}, {"--verify"},
		{"--verify", "--scheme", "pcs/2", "--key-file", g.hmacFile},
		{"--verify", "--mode", "raw", "--key-file", g.hmacFile},
		{"--verify", "--pcs-id", "--key-file", g.hmacFile}, {"--verify", "--ed25519-pub", g.hmacFile},
		{"--verify", "--ed25519-pub", "/nonexistent"},
	} {
		if r := run(t, good, append([]string{"sign"}, args...)...); r.code != exitUsage || r.out != "" {
			t.Errorf("%v: %+v", args, r)
		}
	}
	for _, in := range []string{"", "[1", `{"a":1,"a":2}`} {
		if r := run(t, in, "sign", "--verify", "--key-file", g.hmacFile); r.code != exitUsage {
			t.Errorf("%q: %+v", in, r)
		}
	}
	if r := run(t, strings.Replace(good, `"pcs/2"`, `"pcs/9"`, 1), "sign", "--key-file",
		g.hmacFile); r.code != exitRejected || !strings.Contains(r.err, "sig_scheme") {
		t.Errorf("%+v", r)
	}
}

// TestPolicyBySchemes: a trial tells what a policy that takes one scheme would refuse, with keys and without,
// and publishing says that it takes less than the one in force.
func TestPolicyBySchemes(t *testing.T) {
	g, dir := readWhole(t), t.TempDir()
	one := write(t, filepath.Join(dir, "one.yaml"), "signature: {schemes: [pcs/1]}\n")
	two := filepath.Join(corpusDir, "policies", "whole-records.yaml")
	var signed strings.Builder
	for _, c := range g.Cases {
		signed.WriteString(run(t, c.Record, "sign", "--key-file", g.hmacFile).out)
	}
	whole := write(t, filepath.Join(dir, "whole.ndjson"), signed.String())
	eight := filepath.Join(corpusDir, "good-hmac.ndjson")
	for _, c := range []struct {
		policy, records string
		refused         bool
	}{{two, eight, true}, {two, whole, false}, {one, eight, false}, {one, whole, true}} {
		for _, keys := range [][]string{nil, {"--hmac-key-file", g.hmacFile}} {
			r := run(t, "", append([]string{"policy", "test", c.policy, "-o", "json", "--records", c.records},
				keys...)...)
			var sums trial.Sums
			if err := json.Unmarshal([]byte(r.out), &sums); err != nil || r.code != exitOK || sums.Records == 0 {
				t.Fatalf("%+v: %v %+v", c, err, r)
			}
			if (sums.Changes["accepted->refused"] > 0) != c.refused || !c.refused && len(sums.Changes) > 0 {
				t.Errorf("%+v with %v: %+v", c, keys, sums)
			}
		}
	}
	n, _ := recountNode(t)
	if r := run(t, "", "policy", "publish", two, "--dev", dev(t, n)); r.code != exitOK ||
		!strings.Contains(r.err, "accepts scheme pcs/1, this one does not") ||
		strings.Contains(r.err, "scheme pcs/2,") {
		t.Errorf("%+v", r)
	}
}
