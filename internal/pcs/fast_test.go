package pcs

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// sameRecord compares everything in two records, and doubles by their bits.
func sameRecord(a, b *Record) bool {
	bits := func(r *Record) (out []uint64) {
		for _, x := range append([]float64{r.DHat.Double, r.CohStar.Double, r.R.Double, r.Budget.Double}, r.VStar...) {
			out = append(out, math.Float64bits(x))
		}
		return out
	}
	return reflect.DeepEqual(a, b) && reflect.DeepEqual(bits(a), bits(b))
}

// used has held other records before.
var used Memory

// checkSame demands the same record from both decoders. It reports whether the fast path took the body.
func checkSame(t testing.TB, body []byte) bool {
	t.Helper()
	want := DecodeGeneral(body)
	own := bytes.Clone(body)
	got := Decode(own)
	clear(own) // the caller may use its bytes again
	if !sameRecord(got, want) {
		t.Fatalf("%.2000q\ndecodes as %+v, fault %v\nwant       %+v, fault %v", body, got, got.Fault, want, want.Fault)
	}
	if got := DecodeIn(&used, body); !sameRecord(got, want) {
		t.Fatalf("%.2000q\nin used memory %+v, fault %v\nwant           %+v, fault %v", body, got, got.Fault, want, want.Fault)
	}
	if len(body) > shortBody {
		return false
	}
	r := decodePlain(string(body), new(plainRecord))
	if r != nil && !sameRecord(r, want) {
		t.Fatalf("%.2000q\nis plain   %+v\nwant       %+v, fault %v", body, r, want, want.Fault)
	}
	return r != nil
}

// everyText calls each with a JSON text, all values and strings in it, and what the strings encode in base64.
func everyText(text []byte, each func([]byte)) {
	each(text)
	var s string
	var list []json.RawMessage
	var object map[string]json.RawMessage
	switch {
	case json.Unmarshal(text, &s) == nil:
		each([]byte(s))
		if b, err := base64.StdEncoding.DecodeString(s); err == nil {
			each(b)
		}
	case json.Unmarshal(text, &list) == nil:
		for _, v := range list {
			everyText(v, each)
		}
	case json.Unmarshal(text, &object) == nil:
		for _, v := range object {
			everyText(v, each)
		}
	}
}

// TestFastSameTestdata compares the decoders on everything below testdata that could be a body.
func TestFastSameTestdata(t *testing.T) {
	all, taken := 0, 0
	each := func(body []byte) {
		all++
		if checkSame(t, body) {
			taken++
		}
	}
	err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".ndjson") {
			for line := range bytes.Lines(b) {
				everyText(line, each)
				var c corpusCase
				if json.Unmarshal(line, &c) == nil {
					each(c.bytes(t))
				}
			}
		} else {
			everyText(b, each)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if all < 20_000 || taken < 2000 {
		t.Errorf("%d texts, of them %d plain: the walk misses some", all, taken)
	}
}

// TestFastTakesRealRecords: the fast path reads all records that agents of the corpora sent under pcs/1.
func TestFastTakesRealRecords(t *testing.T) {
	for name, records := range map[string]int{"good-hmac": 717, "good-ed25519": 299} {
		taken := 0
		lines(t, name+".ndjson", func(line []byte) {
			var c corpusCase
			if err := json.Unmarshal(line, &c); err != nil {
				t.Fatal(err)
			}
			if decodePlain(string(c.bytes(t)), new(plainRecord)) != nil {
				taken++
			}
		})
		if taken != records {
			t.Errorf("%s: the fast path takes %d records of %d", name, taken, records)
		}
	}
}

// realRecords are records of different clients, and one with spaces and line feeds.
func realRecords(t testing.TB) (out [][]byte) {
	picked := map[string]bool{"h-00000": true, "e-00000": true}
	for _, name := range []string{"good-hmac", "good-ed25519"} {
		lines(t, name+".ndjson", func(line []byte) {
			var c corpusCase
			if json.Unmarshal(line, &c) == nil && picked[c.ID] {
				out = append(out, c.bytes(t))
			}
		})
	}
	spaced, err := os.ReadFile(data + "record.json")
	if err != nil {
		t.Fatal(err)
	}
	out = append(out, bytes.Replace(spaced, []byte("pcs/2"), []byte("pcs/1"), 1))
	for _, body := range out {
		if !checkSame(t, body) {
			t.Fatalf("not plain: %s", body)
		}
	}
	if len(out) != 3 {
		t.Fatalf("%d records", len(out))
	}
	return out
}

// TestFastSameMutated cuts real records at every byte, and deletes, repeats and replaces every byte.
func TestFastSameMutated(t *testing.T) {
	const others = "\"\\,:{}[] \n\t\x00\x1f\x7f\x80+-.eE0129aFt"
	for _, body := range realRecords(t) {
		for i, c := range body {
			head, tail := body[:i:i], body[i+1:]
			checkSame(t, head)
			checkSame(t, append(head, tail...))
			checkSame(t, append(append(head, c, c), tail...))
			for _, other := range []byte(others) {
				checkSame(t, append(append(head, other), tail...))
			}
		}
	}
}

// TestFastSameMembers takes every member of a real record away, replaces and repeats it, and writes its name in other
// letters.
func TestFastSameMembers(t *testing.T) {
	for _, body := range realRecords(t) {
		for _, name := range append(memberNames[:], ftNames[:]...) {
			if !bytes.Contains(body, []byte(`"`+name+`":`)) {
				continue
			}
			from, to := memberOf(t, body, name)
			before, member, after := string(body[:from]), string(body[from:to]), string(body[to:])
			gone := strings.TrimRight(before, ", \n") + after // the last member, or
			if next := strings.TrimLeft(after, " \n"); next[0] == ',' {
				gone = before + next[1:]
			}
			if checkSame(t, []byte(gone)) != strings.HasPrefix(name, "sig") {
				t.Errorf("without %s: only sig and sig_scheme may be missing in a plain record: %s", name, gone)
			}
			if checkSame(t, []byte(before+`"version":"0.1"`+after)) && name != "version" {
				t.Errorf("plain with two versions, instead of %s", name)
			}
			if checkSame(t, []byte(before+member+","+member+after)) {
				t.Errorf("plain with two members %s", name)
			}
			if checkSame(t, []byte(before+strings.Replace(member, name, swapCase(name), 1)+after)) {
				t.Errorf("plain with %s", swapCase(name))
			}
			checkSame(t, []byte(before+`"attempt":1`+after))
		}
	}
}

// swapCase writes a name in upper case, or in lower case if it has upper case.
func swapCase(name string) string {
	if strings.ToLower(name) != name {
		return strings.ToLower(name)
	}
	return strings.ToUpper(name)
}

// TestPlain names what the fast path takes and what it leaves to the general decoder.
func TestPlain(t *testing.T) {
	for _, c := range []struct {
		name, old, new string
		plain          bool
	}{
		{"as it is", `{`, `{`, true},
		{"space around", `{`, " \t\r\n{ ", true},
		{"scheme pcs/1", `{`, `{"sig_scheme":"pcs/1",`, true},
		{"scheme pcs/2", `{`, `{"sig_scheme":"pcs/2",`, false},
		{"no scheme", `{`, `{"sig_scheme":"",`, false},
		{"unknown member", `{`, `{"x":1,`, false},
		{"member twice", `{`, `{"epoch":1,`, false},
		{"scheme twice", `{`, `{"sig_scheme":"pcs/1","sig_scheme":"pcs/1",`, false},
		{"escape in a name", `"epoch"`, `"\u0065poch"`, false},
		{"escape in a value", `"shard-`, `"\u0073hard-`, false},
		{"no ASCII", `"shard-`, `"é-`, false},
		{"DEL", `"0.1"`, "\"\x7f\"", false},
		{"line feed in a string", `"0.1"`, "\"0.\n1\"", false},
		{"last printable", `"0.1"`, `"~"`, true},
		{"empty version", `"0.1"`, `""`, true},
		{"two objects", `{`, `{}{`, false},
		{"comma first", `{`, `{,`, false},
		{"comma twice", `,`, `,,`, false},
		{"leading zero", `"attempt":1`, `"attempt":01`, false},
		{"minus zero", `"attempt":1`, `"attempt":-0`, true},
		{"minus alone", `"attempt":1`, `"attempt":-`, false},
		{"minus and zero", `"attempt":1`, `"attempt":-01`, false},
		{"plus", `"attempt":1`, `"attempt":+1`, false},
		{"integer with a point", `"attempt":1`, `"attempt":1.0`, false},
		{"integer with an exponent", `"attempt":1`, `"attempt":1e0`, false},
		{"hexadecimal", `"attempt":1`, `"attempt":0x1`, false},
		{"underscore", `"attempt":1`, `"attempt":1_0`, false},
		{"18 digits", `"attempt":1`, `"attempt":999999999999999999`, true},
		{"largest", `"attempt":1`, `"attempt":9223372036854775807`, true},
		{"beyond", `"attempt":1`, `"attempt":9223372036854775808`, false},
		{"smallest", `"attempt":1`, `"attempt":-9223372036854775808`, true},
		{"below", `"attempt":1`, `"attempt":-9223372036854775809`, false},
		{"20 digits", `"attempt":1`, `"attempt":18446744073709551617`, false},
		{"negative epoch", `"epoch":`, `"epoch":-`, false},
		{"repeated count", `"N_j":{`, `"N_j":{"8":1,`, false},
		{"count with a leading zero", `"N_j":{`, `"N_j":{"x":01,`, false},
		{"another count", `"N_j":{`, `"N_j":{"08":1,`, true},
		{"unknown member of ft", `"ft":{`, `"ft":{"x":1,`, false},
		{"repeated member of ft", `"ft":{`, `"ft":{"degraded":true,`, false},
		{"three fallbacks", `"fallbacks":[`, `"fallbacks":["a","b",`, true},
	} {
		if got := checkSame(t, edit(t, c.old, c.new)); got != c.plain {
			t.Errorf("%s: plain %v", c.name, got)
		}
	}
	for _, c := range []struct {
		member, value string
		plain         bool
	}{
		{"sig", `""`, true},
		{"sig", `null`, false},
		{"pcs_id", `"` + strings.Repeat("A", 64) + `"`, true},
		{"pcs_id", `"` + strings.Repeat("a", 63) + `"`, false},
		{"shard_id", `" "`, true},
		{"shard_id", `""`, false},
		{"v_star", "null", true},
		{"v_star", "[]", true},
		{"v_star", "[1,2,3,4,5,6,7]", true},
		{"fallbacks", "null", true},
		{"scales", "[1,2,3,4,5,6,7,8,9,10]", true},
		{"scales", "[1,]", false},
		{"N_j", "{}", true},
		{"D_hat", "1000000.0000001", false},
		{"r", "1.5E-3", true},
	} {
		if got := checkSame(t, with(t, c.member, c.value)); got != c.plain {
			t.Errorf("%s %s: plain %v", c.member, c.value, got)
		}
	}
	for _, after := range []string{"x", "{}", ",", "}", "\x00", "\v", "0", "\ufeff"} {
		if checkSame(t, append(goodBody(t), after...)) {
			t.Errorf("plain with %q behind", after)
		}
	}
	if !checkSame(t, append(goodBody(t), " \r\n\t"...)) {
		t.Error("not plain with space behind")
	}
}

// TestFastCounts takes N_j to the limit of the fast path.
func TestFastCounts(t *testing.T) {
	for n := range 2 * maxPlainCounts {
		if got := checkSame(t, with(t, "N_j", named(n, "7"))); got != (n <= maxPlainCounts) {
			t.Errorf("%d counts: plain %v", n, got)
		}
	}
}

// TestDecodeAllocations bounds what a record costs: the copy of the body and the record with its lists.
func TestDecodeAllocations(t *testing.T) {
	for _, body := range realRecords(t) {
		if n := testing.AllocsPerRun(100, func() { Decode(body) }); n > 2 {
			t.Errorf("%v allocations for %s", n, body)
		}
	}
}

// plainNumbers are numbers at the edges of the short computation.
var plainNumbers = []string{"0", "-0", "-0.0", "0.1", "1.0", "0.30000000000000004", "9007199254740992",
	"9007199254740993", "900719925474099.3", "0.9007199254740993", "0.0000000000000000000001", "4.35", "1e22", "1e23",
	"0.00000000000000000000001", "123456789012345678", "1234567890123456789", "12345678901234567890", "1e6", "1e-7",
	"5e-324", "2.2250738585072014e-308", "1E+5", "1.e5", "1e", "1e+", ".5", "5.", "00", "-00.1", "1e309", "-1e309",
	"1000000.0000001", "18446744073709551616", "18446744073709551617.5", "0x1p-2", "1_000.5", "+1", "- 1", "1 2"}

// checkNumber compares the decoders on a text in every place of a number.
func checkNumber(t *testing.T, text string) {
	for _, member := range []string{"D_hat", "budget", "epoch", "seed", "outbox_seq"} {
		checkSame(t, with(t, member, text))
	}
	for member, value := range map[string]string{"v_star": "[-" + text + "]", "scales": "[2," + text + "]",
		"N_j": `{"2":` + text + `}`} {
		checkSame(t, with(t, member, value))
	}
}

func TestFastNumbers(t *testing.T) {
	for _, text := range plainNumbers {
		checkNumber(t, text)
	}
}

// FuzzFastNumber searches for a number that the decoders read differently.
func FuzzFastNumber(f *testing.F) {
	for _, text := range plainNumbers {
		f.Add(text)
	}
	f.Fuzz(checkNumber)
}

// FuzzFastSame searches for a body that the decoders read differently.
func FuzzFastSame(f *testing.F) {
	for _, body := range realRecords(f) {
		f.Add(body)
	}
	lines(f, "bad-input.ndjson", func(line []byte) {
		var c corpusCase
		if json.Unmarshal(line, &c) == nil && c.Body != nil {
			f.Add([]byte(*c.Body))
		}
	})
	f.Fuzz(func(t *testing.T, body []byte) { checkSame(t, body) })
}
