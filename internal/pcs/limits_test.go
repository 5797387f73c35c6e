package pcs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// memberOf returns the position of a member in a body.
func memberOf(t testing.TB, body []byte, name string) (from, to int) {
	t.Helper()
	name = `"` + name + `":`
	if from = bytes.Index(body, []byte(name)); from < 0 {
		t.Fatalf("no %s in the body", name)
	}
	var value json.RawMessage
	d := json.NewDecoder(bytes.NewReader(body[from+len(name):]))
	if err := d.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return from, from + len(name) + int(d.InputOffset())
}

// with is the good body with a member of another value.
func with(t testing.TB, name, value string) []byte {
	t.Helper()
	body := goodBody(t)
	from, to := memberOf(t, body, name)
	return []byte(string(body[:from]) + `"` + name + `":` + value + string(body[to:]))
}

// times repeats a text with commas between.
func times(n int, text string) string { return strings.TrimSuffix(strings.Repeat(text+",", n), ",") }

// named has n members of different names.
func named(n int, value string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%d":%s,`, i+1, value)
	}
	return "{" + strings.TrimSuffix(b.String(), ",") + "}"
}

// TestLimits takes every member to both sides of each of its limits.
func TestLimits(t *testing.T) {
	hex := strings.Repeat("0123456789abcdef", 4)
	quoted := func(s string) string { return strconv.Quote(s) }
	const good = Class("")
	const most, beyond = "9223372036854775807", "9223372036854775808"
	for _, c := range []struct {
		member, value string
		class         Class
	}{
		{"pcs_id", quoted(hex), good},
		{"pcs_id", quoted(strings.ToUpper(hex)), good},
		{"pcs_id", quoted(hex[:63]), ClassSchema},
		{"pcs_id", quoted(hex + "0"), ClassSchema},
		{"pcs_id", quoted(hex[:63] + "g"), ClassSchema},
		{"pcs_id", quoted(hex[:63] + "/"), ClassSchema}, // beside 0
		{"pcs_id", quoted(hex[:63] + ":"), ClassSchema}, // beside 9
		{"pcs_id", quoted(hex[:63] + "@"), ClassSchema}, // beside A
		{"pcs_id", quoted(hex[:63] + "G"), ClassSchema},
		{"pcs_id", quoted(hex[:63] + "`"), ClassSchema}, // beside a
		{"pcs_id", quoted("0x" + hex[:62]), ClassSchema},
		{"pcs_id", quoted(hex[:62] + "é"), ClassSchema},
		{"pcs_id", `""`, ClassSchema},
		{"pcs_id", "null", ClassSchema},
		{"pcs_id", "7", ClassSchema},
		{"merkle_root", quoted(hex), good},
		{"merkle_root", quoted(hex[1:]), ClassSchema},
		{"merkle_root", "[" + quoted(hex) + "]", ClassSchema},

		{"epoch", "0", good},
		{"epoch", most, good},
		{"epoch", beyond, ClassSchema},
		{"epoch", "-1", ClassSchema},
		{"epoch", "-0", good},
		{"epoch", "1.0", ClassSchema},
		{"epoch", "1e2", ClassSchema},
		{"epoch", "01", ClassMalformed},
		{"epoch", "+1", ClassMalformed},
		{"epoch", `"1"`, ClassSchema},
		{"epoch", "true", ClassSchema},
		{"epoch", "1e999", ClassMalformed},
		{"seed", most, good},
		{"seed", "-" + beyond, good},
		{"seed", "-9223372036854775809", ClassSchema},
		{"attempt", "-1", good},
		{"attempt", "0.5", ClassSchema},

		{"shard_id", `"x"`, good},
		{"shard_id", quoted(strings.Repeat("x", MaxShardID)), good},
		{"shard_id", quoted(strings.Repeat("x", MaxShardID+1)), ClassSchema},
		{"shard_id", `"` + strings.Repeat("é", MaxShardID/2) + `"`, good},
		{"shard_id", `"` + strings.Repeat("é", MaxShardID/2+1) + `"`, ClassSchema}, // bytes, not letters
		{"shard_id", `"` + strings.Repeat(`\u0041`, MaxShardID) + `"`, good},       // as read, not as written
		{"shard_id", `""`, ClassSchema},
		{"shard_id", `" "`, good},
		{"shard_id", `"a\u001fb"`, ClassSchema},
		{"shard_id", `"a\u0020b"`, good},
		{"shard_id", `"a\u007eb"`, good},
		{"shard_id", `"a\u007fb"`, ClassSchema},
		{"shard_id", `"a\u009fb"`, ClassSchema},
		{"shard_id", `"a\u00a0b"`, good},
		{"shard_id", `"a\u0000b"`, ClassSchema},
		{"shard_id", `"\ud800"`, ClassMalformed}, // half of a character
		{"shard_id", `"\ud83d\ude00"`, good},
		{"shard_id", "\"\xff\"", ClassMalformed},

		{"D_hat", "1000000", good},
		{"D_hat", "-1000000", good},
		{"D_hat", "1e6", good},
		{"D_hat", "1000000.0000001", ClassSchema},
		{"D_hat", "-1000000.0000001", ClassSchema},
		{"D_hat", "1e308", ClassSchema},
		{"D_hat", "1e309", ClassMalformed},
		{"D_hat", "-1e309", ClassMalformed},
		{"D_hat", "1e-400", good}, // becomes 0
		{"D_hat", "-0.0", good},
		{"D_hat", ".5", ClassMalformed},
		{"D_hat", "5.", ClassMalformed},
		{"D_hat", "NaN", ClassMalformed},
		{"D_hat", "Infinity", ClassMalformed},
		{"D_hat", "null", ClassSchema},
		{"coh_star", "1000001", ClassSchema},
		{"r", "1000001", ClassSchema},
		{"budget", "-1000001", ClassSchema},
		{"budget", `"0.5"`, ClassSchema},

		{"schema", `"fractal-lba-kakeya"`, good},
		{"schema", `"fractal-lba-kakeya "`, ClassSchema},
		{"schema", `"Fractal-lba-kakeya"`, ClassSchema},
		{"version", `""`, good},
		{"version", "0.1", ClassSchema},
		{"regime", `"sticky"`, good},
		{"regime", `"mixed"`, good},
		{"regime", `"non_sticky"`, good},
		{"regime", `"Sticky"`, ClassSchema},
		{"regime", `"non-sticky"`, ClassSchema},
		{"regime", `""`, ClassSchema},

		{"scales", "[1]", good},
		{"scales", "[]", ClassSchema},
		{"scales", "[0]", ClassSchema},
		{"scales", "[-1]", ClassSchema},
		{"scales", "[" + most + "]", good},
		{"scales", "[" + beyond + "]", ClassSchema},
		{"scales", "[2,2.0]", ClassSchema},
		{"scales", "[" + times(MaxScales, "2") + "]", good},
		{"scales", "[" + times(MaxScales+1, "2") + "]", ClassSchema},
		{"scales", "[null]", ClassSchema},
		{"scales", "2", ClassSchema},
		{"scales", "{}", ClassSchema},
		{"scales", "[2,]", ClassMalformed},

		{"N_j", "{}", good},
		{"N_j", named(MaxCounts, "1"), good},
		{"N_j", named(MaxCounts+1, "1"), ClassSchema},
		{"N_j", `{"":1}`, good},
		{"N_j", `{"x":-1}`, good}, // keys and counts are the kernel's to judge
		{"N_j", `{"2":1.5}`, ClassSchema},
		{"N_j", `{"2":` + beyond + `}`, ClassSchema},
		{"N_j", `{"2":1,"2":1}`, ClassMalformed},
		{"N_j", `{"2":1,"\u0032":1}`, ClassMalformed},
		{"N_j", "[]", ClassSchema},
		{"N_j", "null", ClassSchema},

		{"v_star", "null", good},
		{"v_star", "[]", good},
		{"v_star", "[1e308]", good},
		{"v_star", "[1e309]", ClassMalformed},
		{"v_star", `["1"]`, ClassSchema},
		{"v_star", "[null]", ClassSchema},
		{"v_star", "{}", ClassSchema},

		{"degraded", "true", good},
		{"degraded", "false", good},
		{"degraded", "0", ClassSchema},
		{"degraded", `"true"`, ClassSchema},
		{"degraded", "null", ClassSchema},
		{"fallbacks", "null", good},
		{"fallbacks", "[]", good},
		{"fallbacks", `["a",""]`, good},
		{"fallbacks", "[1]", ClassSchema},
		{"fallbacks", `"a"`, ClassSchema},
		{"outbox_seq", "-" + beyond, good},
		{"outbox_seq", beyond, ClassSchema},
		{"clock_skew_ms", "0.0", ClassSchema},
		{"ft", "null", ClassSchema},
		{"ft", "[]", ClassSchema},
		{"ft", "{}", ClassSchema},

		{"sent_at", `"2026-01-02T03:04:05Z"`, good},
		{"sent_at", `"2026-01-02T03:04:60Z"`, ClassSchema},
		{"sent_at", `"2026-01-02"`, ClassSchema},
		{"sent_at", `""`, ClassSchema},
		{"sent_at", "1767323045", ClassSchema},
		{"sig", `"not base64"`, good}, // the signature's own checks read it
		{"sig", "7", ClassSchema},
	} {
		body := with(t, c.member, c.value)
		checkSame(t, body)
		f := Decode(body).Fault
		var got Class
		if f != nil {
			got = f.Class
		}
		if (f != nil) != (c.class != good) || got != c.class {
			t.Errorf("%s: %.60s: %v, want class %q", c.member, c.value, f, c.class)
		}
		if f != nil && f.Class == ClassSchema && !strings.Contains("."+f.Field+".", "."+c.member+".") &&
			!strings.HasPrefix(f.Field, c.member+".") {
			t.Errorf("%s: %.60s: the fault is of %q", c.member, c.value, f.Field)
		}
	}
}

// TestDates takes the date-time to the edges of each of its parts.
func TestDates(t *testing.T) {
	for text, want := range map[string]bool{
		"0000-01-01T00:00:00Z": true, "9999-12-31T23:59:59Z": true,
		"2026-00-10T00:00:00Z": false, "2026-01-10T00:00:00Z": true, "2026-12-10T00:00:00Z": true,
		"2026-13-10T00:00:00Z": false, "2026-01-00T00:00:00Z": false, "2026-01-31T00:00:00Z": true,
		"2026-01-32T00:00:00Z": false, "2026-04-30T00:00:00Z": true, "2026-04-31T00:00:00Z": false,
		"2026-06-31T00:00:00Z": false, "2026-09-31T00:00:00Z": false, "2026-11-31T00:00:00Z": false,
		"2026-02-28T00:00:00Z": true, "2026-02-29T00:00:00Z": false, "2024-02-29T00:00:00Z": true,
		"2024-02-30T00:00:00Z": false, "1900-02-29T00:00:00Z": false, "2000-02-29T00:00:00Z": true,
		"2100-02-29T00:00:00Z": false, "0000-02-29T00:00:00Z": true,
		"2026-01-02T23:00:00Z": true, "2026-01-02T24:00:00Z": false, "2026-01-02T00:59:00Z": true,
		"2026-01-02T00:60:00Z": false, "2026-01-02T00:00:59Z": true, "2026-01-02T00:00:60Z": false,
		"2026-01-02t00:00:00z": true, "2026-01-02 00:00:00Z": false, "2026/01/02T00:00:00Z": false,
		"2026-01-02T00.00.00Z": false, "2026-01-02T00:00:00": false, "2026-01-02T00:00:00.Z": false,
		"2026-01-02T00:00:00.0Z": true, "2026-01-02T00:00:00.123456789012345678Z": true,
		"2026-01-02T00:00:00,5Z": false, "2026-01-02T00:00:00.5": false, "2026-01-02T00:00:00.5x": false,
		"2026-01-02T00:00:00+00:00": true, "2026-01-02T00:00:00-23:59": true, "2026-01-02T00:00:00+24:00": false,
		"2026-01-02T00:00:00+00:60": false, "2026-01-02T00:00:00+0000": false, "2026-01-02T00:00:00+00": false,
		"2026-01-02T00:00:00.5+01:00": true, "2026-01-02T00:00:00ZZ": false, "2026-01-02T00:00:00Z ": false,
		" 2026-01-02T00:00:00Z": false, "+2026-01-02T00:00:00Z": false, "2026-1-02T00:00:00Z": false,
		"２026-01-02T00:00:00Z": false, "": false, "Z": false,
	} {
		if got := isRFC3339(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TestShortBodies: a record that keeps its body alive and one that does not are the same record.
func TestShortBodies(t *testing.T) {
	short := goodBody(t)
	for _, length := range []int{shortBody - 1, shortBody, shortBody + 1, 4 * shortBody} {
		long := append([]byte(strings.Repeat(" ", length-len(short))), short...)
		a, b := Decode(short), Decode(long)
		for i := range long {
			long[i] = 'x' // the caller may use its bytes again
		}
		if got, want := fmt.Sprintf("%+v", b), fmt.Sprintf("%+v", a); got != want {
			t.Errorf("a body of %d bytes is read as\n%s\nwant\n%s", length, got, want)
		}
	}
}

// TestCauses: what is no record at all is malformed, with a reason in words of this package.
func TestCauses(t *testing.T) {
	good := string(goodBody(t))
	for body, says := range map[string]string{
		"":                                       "it ends too early",
		" \n":                                    "it ends too early",
		"{":                                      "it ends too early",
		good[:len(good)-1]:                       "it ends too early",
		good[:len(good)/2]:                       "too early",
		"[]":                                     "not a JSON object",
		"null":                                   "not a JSON object",
		"7":                                      "not a JSON object",
		`"x"`:                                    "not a JSON object",
		good + "{}":                              "something follows",
		good + "x":                               "something follows",
		good + ",":                               "something follows",
		"{7:1}":                                  "syntax error at byte 1",
		"{null:1}":                               "syntax error at byte 1",
		"{'a':1}":                                "syntax error at byte 1",
		"{\"a\" 1}":                              "syntax error",
		"\ufeff" + good:                          "syntax error at byte 0",
		"{\"a\":1,}":                             "syntax error at byte 6",
		"{\"a\":tru}":                            "syntax error",
		"{\"a\":1,\"a\":1}":                      "a name is repeated",
		"{\"a\":\"\x01\"}":                       "syntax error",
		"// a remark\n" + good:                   "syntax error at byte 0",
		"{\"x\":" + strings.Repeat("[", 100_000): "nested deeper than",
	} {
		f := Decode([]byte(body)).Fault
		if f == nil || f.Class != ClassMalformed || !strings.Contains(f.Reason, says) {
			t.Errorf("%.40q: %v, want %q", body, f, says)
		}
		if r := Decode([]byte(body)); r.Signable || r.PCSID != "" || r.ShardID != "" || len(r.NJ) > 0 {
			t.Errorf("%.40q: %+v can be used", body, r)
		}
	}
}
