package pcs

import (
	stdjson "encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// edit replaces the first occurrence of old in a good body and demands that there is one.
func edit(t testing.TB, old, new string) []byte {
	t.Helper()
	body := string(goodBody(t))
	if !strings.Contains(body, old) {
		t.Fatalf("no %s in the body", old)
	}
	return []byte(strings.Replace(body, old, new, 1))
}

// TestNames refuses repeated names as malformed, wherever and however they are spelt, and other letter cases as schema.
func TestNames(t *testing.T) {
	for _, c := range []struct {
		name, old, new string
		class          Class
	}{
		{"repeated", `{`, `{"epoch":1,`, ClassMalformed},
		{"repeated with an escape", `{`, `{"\u0065poch":1,`, ClassMalformed},
		{"repeated unknown", `{`, `{"x":1,"x":1,`, ClassMalformed},
		{"repeated in an unknown member", `{`, `{"x":[{"a":1,"\u0061":2}],`, ClassMalformed},
		{"repeated count", `"N_j":{`, `"N_j":{"7":1,"7":1,`, ClassMalformed},
		{"repeated in ft", `"ft":{`, `"ft":{"degraded":true,`, ClassMalformed},
		{"lower case", `"D_hat"`, `"d_hat"`, ClassSchema},
		{"lower case beside", `{`, `{"d_hat":1,`, ClassSchema},
		{"long s", `{`, `{"ſeed":1,`, ClassSchema},
		{"kelvin sign", `"ft":{`, `"ft":{"clocK_skew_ms":1,`, ClassSchema},
		{"case in ft", `"ft":{`, `"ft":{"Degraded":true,`, ClassSchema},
	} {
		if f := Decode(edit(t, c.old, c.new)).Fault; f == nil || f.Class != c.class {
			t.Errorf("%s: %v", c.name, f)
		}
	}
	for _, c := range [][3]string{
		{"escaped known name", `"epoch"`, `"\u0065poch"`},
		{"case variant inside an unknown member", `{`, `{"x":{"d_hat":1,"D_hat":2},`},
		{"same name in two objects", `{`, `{"x":{"a":1},"y":{"a":1},`},
	} {
		if f := Decode(edit(t, c[1], c[2])).Fault; f != nil {
			t.Errorf("%s: %v", c[0], f)
		}
	}
}

// TestSignableBesideFault: a schema fault outside the signed members leaves the signature checkable.
func TestSignableBesideFault(t *testing.T) {
	for _, c := range []struct {
		old, new string
		signable bool
	}{
		{`"regime":"`, `"regime":"x`, true},
		{`"sent_at":"`, `"sent_at":"x`, true},
		{`{`, `{"d_hat":1,`, true},
		{`"D_hat":`, `"D_hat":1e7,"x":`, false},
		{`"D_hat":`, `"D_hat":null,"x":`, false},
		{`"epoch":`, `"epoch":-`, false},
		{`"epoch":`, `"epoch":7.0,"x":`, false},
		{`"epoch":`, `"epoch":9223372036854775808,"x":`, false},
		{`"D_hat":`, `"D_hat":1e400,"x":`, false},
	} {
		r := Decode(edit(t, c.old, c.new))
		if r.Fault == nil || r.Signable != c.signable {
			t.Errorf("%s: signable %v, fault %v", c.new, r.Signable, r.Fault)
		}
	}
}

// TestRequired takes away one member at a time; only sig may be missing, and sig_scheme, which the published records lack.
func TestRequired(t *testing.T) {
	for _, name := range memberNames {
		if name == "sig_scheme" {
			continue
		}
		r := Decode(edit(t, `"`+name+`":`, `"other":`))
		if name == "sig" {
			if r.Fault != nil || r.HasSig {
				t.Errorf("without sig: %v, HasSig %v", r.Fault, r.HasSig)
			}
		} else if r.Fault == nil || r.Fault.Class != ClassSchema || r.Fault.Field != name {
			t.Errorf("without %s: %v", name, r.Fault)
		}
	}
	for _, name := range ftNames {
		if f := Decode(edit(t, `"`+name+`":`, `"other":`)).Fault; f == nil || f.Field != "ft."+name {
			t.Errorf("without ft.%s: %v", name, f)
		}
	}
}

// TestDepth: the record is the first of MaxDepth levels.
func TestDepth(t *testing.T) {
	nest := func(n int) []byte {
		return edit(t, `{`, `{"x":`+strings.Repeat("[", n)+strings.Repeat("]", n)+`,`)
	}
	if f := Decode(nest(MaxDepth - 1)).Fault; f != nil {
		t.Error(f)
	}
	if f := Decode(nest(MaxDepth)).Fault; f == nil || f.Class != ClassMalformed {
		t.Error(f)
	}
}

// mirror is a record as the general decoder reads it.
type mirror struct {
	PCSID      string           `json:"pcs_id"`
	MerkleRoot string           `json:"merkle_root"`
	ShardID    string           `json:"shard_id"`
	Epoch      int64            `json:"epoch"`
	DHat       float64          `json:"D_hat"`
	CohStar    float64          `json:"coh_star"`
	R          float64          `json:"r"`
	Budget     float64          `json:"budget"`
	Schema     string           `json:"schema"`
	Version    string           `json:"version"`
	Regime     string           `json:"regime"`
	Scales     []int64          `json:"scales"`
	NJ         map[string]int64 `json:"N_j"`
	VStar      []float64        `json:"v_star"`
	Seed       int64            `json:"seed"`
	Attempt    int64            `json:"attempt"`
	SentAt     string           `json:"sent_at"`
	Sig        string           `json:"sig"`
	FT         struct {
		OutboxSeq   int64    `json:"outbox_seq"`
		Degraded    bool     `json:"degraded"`
		Fallbacks   []string `json:"fallbacks"`
		ClockSkewMS int64    `json:"clock_skew_ms"`
	} `json:"ft"`
}

// mirrorOf puts a record into that form.
func mirrorOf(r *Record) mirror {
	m := mirror{PCSID: r.PCSID, MerkleRoot: r.MerkleRoot, ShardID: r.ShardID, Epoch: r.Epoch, DHat: r.DHat.Double,
		CohStar: r.CohStar.Double, R: r.R.Double, Budget: r.Budget.Double, Schema: r.Schema, Version: r.Version, Regime: r.Regime,
		Scales: r.Scales, NJ: map[string]int64{}, VStar: r.VStar, Seed: r.Seed, Attempt: r.Attempt, SentAt: r.SentAt, Sig: r.Sig}
	for _, c := range r.NJ {
		m.NJ[c.Key] = c.N
	}
	m.FT.OutboxSeq, m.FT.Degraded, m.FT.Fallbacks, m.FT.ClockSkewMS = r.OutboxSeq, r.Degraded, r.Fallbacks, r.ClockSkewMS
	return m
}

// checkStrict compares Decode with the general decoder in its strict default mode.
func checkStrict(t *testing.T, body []byte) {
	t.Helper()
	r := Decode(body)
	value := jsontext.Value(body)
	object := value.IsValid() && value.Kind() == '{'
	if f := r.Fault; f != nil {
		excused := strings.Contains(f.Reason, "nested deeper") || strings.Contains(f.Reason, "range of a double")
		if (f.Class == ClassMalformed) == object && !excused {
			t.Fatalf("jsontext says object %v, Decode says %v", object, f)
		}
		return
	}
	var m mirror
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatalf("accepted, but json v2 says %v", err)
	}
	// Empty and absent lists are one to the comparison.
	got := mirrorOf(r)
	for _, x := range []*mirror{&got, &m} {
		if len(x.VStar) == 0 {
			x.VStar = nil
		}
		if len(x.FT.Fallbacks) == 0 {
			x.FT.Fallbacks = nil
		}
		if len(x.NJ) == 0 {
			x.NJ = nil
		}
	}
	if !reflect.DeepEqual(got, m) {
		t.Fatalf("json v2 reads\n%+v, Decode\n%+v", m, got)
	}
	compact := value.Clone()
	if err := compact.Compact(); err != nil {
		t.Fatal(err)
	}
	if again := Decode(compact); !reflect.DeepEqual(again, r) {
		t.Fatalf("without spaces: %+v, with: %+v", again, r)
	}
}

// TestStrictness runs checkStrict over the corpora.
func TestStrictness(t *testing.T) {
	for _, name := range []string{"good-hmac", "good-ed25519", "bad-input"} {
		lines(t, name+".ndjson", func(line []byte) {
			var c corpusCase
			if err := stdjson.Unmarshal(line, &c); err != nil {
				t.Fatal(err)
			}
			checkStrict(t, c.bytes(t))
		})
	}
}

func FuzzStrict(f *testing.F) {
	f.Add(goodBody(f))
	lines(f, "bad-input.ndjson", func(line []byte) {
		var c corpusCase
		if stdjson.Unmarshal(line, &c) == nil && c.Body != nil {
			f.Add([]byte(*c.Body))
		}
	})
	f.Fuzz(checkStrict)
}

// FuzzTuple: the payload of every JSON profile, read back as JSON, gives the signed values back.
func FuzzTuple(f *testing.F) {
	f.Add(1.412345679, 0.73456789, 0.871234568, 0.421234568, int64(1), "shard-001")
	f.Add(0.1234567885, 0.2600031005, -0.0000000005, 5e-324, int64(math.MaxInt64), "a<b>&c\u2028\U0001f9ee\"\\/")
	f.Add(math.Copysign(0, -1), 1e6, -1e6, 1e-9, int64(0), "\u007f\ufffd")
	f.Fuzz(func(t *testing.T, d, c, r, b float64, epoch int64, shard string) {
		for _, x := range []float64{d, c, r, b} {
			if !(math.Abs(x) <= MaxMagnitude) {
				return
			}
		}
		if !utf8.ValidString(shard) {
			return
		}
		num := func(x float64) Number { return Number{Literal: strconv.FormatFloat(x, 'g', -1, 64), Double: x} }
		rec := &Record{MerkleRoot: strings.Repeat("0f", 32), ShardID: shard, Epoch: epoch,
			DHat: num(d), CohStar: num(c), R: num(r), Budget: num(b)}
		rec.PCSID = ID(rec.MerkleRoot, epoch, shard)
		for _, p := range (AllProfiles &^ ProfilesOf(Bin)).Slice() {
			payload, err := rec.AppendPayload(nil, p)
			if err != nil {
				t.Fatal(err)
			}
			checkTuple(t, rec, p, payload)
		}
	})
}
