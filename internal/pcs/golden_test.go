package pcs

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const data = "../../testdata/"

func readJSON(t testing.TB, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(data + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

func number(t testing.TB, literal string) Number {
	t.Helper()
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		t.Fatal(err)
	}
	return Number{Literal: literal, Double: f}
}

func TestGoldenPayloads(t *testing.T) {
	var golden struct {
		Cases []struct {
			Name   string
			Fields struct {
				PCSID      string `json:"pcs_id"`
				MerkleRoot string `json:"merkle_root"`
				Epoch      int64
				ShardID    string `json:"shard_id"`
				DHat       string `json:"D_hat"`
				CohStar    string `json:"coh_star"`
				R, Budget  string
			}
			Profiles map[string]struct {
				Payload    *string
				PayloadHex string `json:"payload_hex"`
				SHA256     string
			}
		}
	}
	readJSON(t, "golden/signing_vectors.json", &golden)
	checked := 0
	for _, c := range golden.Cases {
		f := c.Fields
		r := &Record{PCSID: f.PCSID, MerkleRoot: f.MerkleRoot, Epoch: f.Epoch, ShardID: f.ShardID,
			DHat: number(t, f.DHat), CohStar: number(t, f.CohStar), R: number(t, f.R), Budget: number(t, f.Budget)}
		for name, want := range c.Profiles {
			p, err := ParseProfile(name)
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.AppendPayload(nil, p)
			if err != nil {
				if p != Bin || want.SHA256 != "" && len(f.ShardID) <= 32 && len(f.PCSID) == 64 && !strings.Contains(f.ShardID, "\x00") {
					t.Errorf("%s %s: %v", c.Name, name, err)
				}
				continue
			}
			if want.Payload != nil && string(got) != *want.Payload || want.Payload == nil && hex.EncodeToString(got) != want.PayloadHex {
				t.Errorf("%s %s:\n got %q\nwant %v %s", c.Name, name, got, want.Payload, want.PayloadHex)
			}
			if sum := sha256.Sum256(got); hex.EncodeToString(sum[:]) != want.SHA256 {
				t.Errorf("%s %s: hash", c.Name, name)
			}
			checked++
		}
	}
	if checked < 200 {
		t.Fatalf("only %d payloads", checked)
	}
}

func TestGoldenNumbers(t *testing.T) {
	var rows []struct {
		Literal   string
		Bits      string
		Rounded   map[string]string
		TextOfBin map[string]string `json:"text_of_bin"`
	}
	readJSON(t, "golden/number_format.json", &rows)
	rules := map[string]Profile{"dec": Py, "bin": F9, "mul": Go, "mulup": ES}
	for _, row := range rows {
		n := number(t, row.Literal)
		for rule, want := range row.Rounded {
			got := round(n.Double, rules[rule]).Fixed()
			if got != strings.TrimPrefix(want, "-") && got != want || got != want && strings.Trim(got, "-0.") != "" {
				t.Errorf("%s %s: %s, want %s", row.Literal, rule, got, want)
			}
		}
	}
	if len(rows) < 200 {
		t.Fatal("too few rows")
	}
}

func TestGoldenIDs(t *testing.T) {
	var rows []struct {
		MerkleRoot string `json:"merkle_root"`
		Epoch      int64
		ShardID    string `json:"shard_id"`
		PCSID      string `json:"pcs_id"`
	}
	readJSON(t, "golden/pcs_id.json", &rows)
	for _, row := range rows {
		if got := ID(row.MerkleRoot, row.Epoch, row.ShardID); got != row.PCSID {
			t.Errorf("%v: %s", row, got)
		}
	}
}

type corpusCase struct {
	ID, Rule, Method, Path string
	Body                   *string
	Parts                  []struct {
		Text, B64 string
		Count     int
	}
	Expect struct{ Class string }
}

func (c *corpusCase) bytes(t testing.TB) []byte {
	if c.Body != nil {
		return []byte(*c.Body)
	}
	var out []byte
	for _, p := range c.Parts {
		piece := []byte(p.Text)
		if p.B64 != "" {
			raw, err := base64.StdEncoding.DecodeString(p.B64)
			if err != nil {
				t.Fatal(err)
			}
			piece = raw
		}
		for range max(p.Count, 1) {
			out = append(out, piece...)
		}
	}
	return out
}

func lines(t testing.TB, name string, each func([]byte)) {
	t.Helper()
	f, err := os.Open(data + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 8<<20)
	for s.Scan() {
		each(s.Bytes())
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
}

// TestCorpora decodes every record: what the rules answer with 400 is a fault of the class that they name, all else is
// well-formed.
func TestCorpora(t *testing.T) {
	var rules []struct {
		Rule     string
		Statuses []int
	}
	readJSON(t, "rules.json", &rules)
	first := map[string]int{}
	for _, r := range rules {
		first[r.Rule] = r.Statuses[0]
	}
	n := 0
	for _, name := range []string{"good-hmac", "good-ed25519", "bad-input"} {
		lines(t, name+".ndjson", func(line []byte) {
			var c corpusCase
			if err := json.Unmarshal(line, &c); err != nil {
				t.Fatal(err)
			}
			n++
			if c.Method != "" || first[c.Rule] == 413 || c.Expect.Class == "http" {
				return
			}
			r := Decode(c.bytes(t))
			fault := r.Fault
			if fault == nil && c.Rule == "ID-MISMATCH" {
				fault = r.CheckID()
			}
			if fault == nil && c.Rule == "VERSION" {
				fault = r.CheckVersion([]string{DefaultVersion})
			}
			switch {
			case first[c.Rule] == 400 && fault == nil:
				t.Errorf("%s (%s): no fault", c.ID, c.Rule)
			case first[c.Rule] == 400 && string(fault.Class) != c.Expect.Class:
				t.Errorf("%s (%s): %v, want class %s", c.ID, c.Rule, fault, c.Expect.Class)
			case first[c.Rule] != 400 && fault != nil:
				t.Errorf("%s (%s): %v", c.ID, c.Rule, fault)
			case first[c.Rule] != 400 && !r.Signable:
				t.Errorf("%s (%s): not signable", c.ID, c.Rule)
			}
		})
	}
	if n < 1100 {
		t.Fatalf("only %d records", n)
	}
}

// TestJSONSuite runs nst/JSONTestSuite: what must not parse is malformed as a body and as a part of one.
func TestJSONSuite(t *testing.T) {
	head := goodBody(t)[:1]
	rest := goodBody(t)[1:]
	n := 0
	lines(t, "external/json-test-suite.ndjson", func(line []byte) {
		var c struct {
			Name, Expect, B64 string
			Parts             []struct {
				B64   string
				Count int
			}
		}
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		var body []byte
		if c.B64 != "" {
			body, _ = base64.StdEncoding.DecodeString(c.B64)
		}
		for _, p := range c.Parts {
			piece, _ := base64.StdEncoding.DecodeString(p.B64)
			for range p.Count {
				body = append(body, piece...)
			}
		}
		n++
		inside := append(append(append(append([]byte{}, head...), `"x":`...), body...), ',')
		inside = append(inside, rest...)
		switch r := Decode(body); c.Expect {
		case "n":
			if r.Fault == nil || r.Fault.Class != ClassMalformed {
				t.Errorf("%s: %v", c.Name, r.Fault)
			}
		case "y":
			repeated := strings.Contains(c.Name, "duplicated")
			if f := Decode(inside).Fault; (f == nil) == repeated {
				t.Errorf("%s inside a record: %v", c.Name, f)
			}
		}
	})
	if n < 300 {
		t.Fatalf("only %d files", n)
	}
}

var (
	firstBody     []byte
	findFirstBody sync.Once
)

// goodBody returns the first good record of the corpora. The caller owns it.
func goodBody(t testing.TB) []byte {
	findFirstBody.Do(func() {
		lines(t, "good-hmac.ndjson", func(line []byte) {
			var c corpusCase
			if firstBody == nil && json.Unmarshal(line, &c) == nil {
				firstBody = []byte(*c.Body)
			}
		})
	})
	return bytes.Clone(firstBody)
}

func BenchmarkDecode(b *testing.B) {
	body := goodBody(b)
	for _, c := range []struct {
		name   string
		decode func([]byte) *Record
	}{
		{"fast", Decode},
		{"slow", DecodeGeneral},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if r := c.decode(body); r.Fault != nil {
					b.Fatal(r.Fault)
				}
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(goodBody(f))
	lines(f, "bad-input.ndjson", func(line []byte) {
		var c corpusCase
		if json.Unmarshal(line, &c) == nil && c.Body != nil {
			f.Add([]byte(*c.Body))
		}
	})
	f.Fuzz(func(t *testing.T, body []byte) {
		r := Decode(body)
		if r.Fault != nil && r.Fault.Class == ClassMalformed && r.Signable {
			t.Fatal("malformed and signable")
		}
		if r.Fault == nil && !json.Valid(body) {
			t.Fatal("accepted what is not JSON")
		}
		if !r.Signable {
			return
		}
		for p := F9; p <= LastProfile; p++ {
			payload, err := r.AppendPayload(nil, p)
			if err != nil || p == Bin {
				continue
			}
			checkTuple(t, r, p, payload)
		}
	})
}

// checkTuple reads a payload as JSON and demands the tuple back: every JSON profile is injective on the signed values.
func checkTuple(t *testing.T, r *Record, p Profile, payload []byte) {
	t.Helper()
	var back struct {
		DHat       float64 `json:"D_hat"`
		Budget     float64 `json:"budget"`
		CohStar    float64 `json:"coh_star"`
		Epoch      int64   `json:"epoch"`
		MerkleRoot string  `json:"merkle_root"`
		PCSID      string  `json:"pcs_id"`
		R          float64 `json:"r"`
		ShardID    string  `json:"shard_id"`
	}
	if err := json.Unmarshal(payload, &back); err != nil {
		t.Fatalf("%s: %v: %s", p, err, payload)
	}
	got := Tuple{round(back.DHat, F9), round(back.CohStar, F9), round(back.R, F9), round(back.Budget, F9)}
	if got != r.Tuple(p) || back.Epoch != r.Epoch || back.MerkleRoot != r.MerkleRoot || back.PCSID != r.PCSID || back.ShardID != r.ShardID {
		t.Fatalf("%s: %s gives %+v, signed %+v", p, payload, got, r.Tuple(p))
	}
}
