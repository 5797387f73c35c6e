package pcs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/recount-ledger/recount/nano"
)

// Profile is one reading of "sorted keys, no spaces, nine decimals" (testdata/PROFILES.md). Values are
// persisted and must never be renumbered.
type Profile uint8

// The profiles.
const (
	F9     Profile = iota + 1 // nine decimals
	Py                        // Python's repr
	ES                        // ECMAScript numbers
	Go                        // encoding/json
	GoFold                    // encoding/json, keys sorted ignoring letter case
	PyUTF8                    // Python, integers stay integers, raw UTF-8
	Ryu                       // Rust
	Bin                       // 200-byte struct
	PyBin                     // Python's round and json.dumps: integers stay integers, all non-ASCII escaped
)

// LastProfile is the profile with the highest number.
const LastProfile = PyBin

var profileNames = [...]string{
	F9:     "f9",
	Py:     "py",
	ES:     "es",
	Go:     "go",
	GoFold: "go-fold",
	PyUTF8: "py-utf8",
	Ryu:    "ryu",
	Bin:    "bin",
	PyBin:  "py-bin",
}

// Errors of profiles.
var (
	ErrUnknownProfile = errors.New("pcs: unknown profile")
	ErrNotInProfile   = errors.New("pcs: the record cannot be written in this profile")
)

// String returns the name in testdata/PROFILES.md, or "unknown" for other values.
func (p Profile) String() string {
	if p == 0 || int(p) >= len(profileNames) {
		return "unknown"
	}
	return profileNames[p]
}

// ParseProfile is the reverse of String.
func ParseProfile(s string) (Profile, error) {
	for p := F9; p <= LastProfile; p++ {
		if profileNames[p] == s {
			return p, nil
		}
	}
	return 0, fmt.Errorf("%w: %q", ErrUnknownProfile, s)
}

// ProfileSet is a set of profiles.
type ProfileSet uint16

// DefaultProfiles are enabled by default.
const DefaultProfiles = ProfileSet(1<<F9 | 1<<Py | 1<<ES | 1<<Go | 1<<GoFold | 1<<PyBin)

// AllProfiles are all profiles that exist.
const AllProfiles = ProfileSet(1<<(LastProfile+1) - 1<<F9)

// ProfilesOf returns a set of the given profiles.
func ProfilesOf(ps ...Profile) (s ProfileSet) {
	for _, p := range ps {
		s |= 1 << p
	}
	return s
}

// Has reports whether p is in the set.
func (s ProfileSet) Has(p Profile) bool { return p >= F9 && p <= LastProfile && s&(1<<p) != 0 }

// Slice lists the members in ascending order.
func (s ProfileSet) Slice() []Profile {
	out := make([]Profile, 0, bits.OnesCount16(uint16(s)))
	for p := F9; p <= LastProfile; p++ {
		if s.Has(p) {
			out = append(out, p)
		}
	}
	return out
}

// Tuple holds the signed values: the numbers on the wire, rounded to multiples of 1e-9 by the rule of a
// profile.
type Tuple struct{ DHat, CohStar, R, Budget nano.Nano }

// Tuple rounds the four numbers by the rule of p. The record must be Signable.
func (r *Record) Tuple(p Profile) Tuple {
	return Tuple{round(r.DHat.Double, p), round(r.CohStar.Double, p), round(r.R.Double, p), round(r.Budget.Double, p)}
}

var (
	byBytes = [...]string{"D_hat", "budget", "coh_star", "epoch", "merkle_root", "pcs_id", "r", "shard_id"}
	byFold  = [...]string{"budget", "coh_star", "D_hat", "epoch", "merkle_root", "pcs_id", "r", "shard_id"}
)

// AppendPayload appends the canonical bytes that a client of profile p signs. The record must be Signable. With
// Bin, a shard_id of more than 32 bytes or with NUL gives ErrNotInProfile.
func (r *Record) AppendPayload(dst []byte, p Profile) ([]byte, error) {
	switch {
	case p == Bin:
		return r.appendBin(dst)
	case p < F9 || p > LastProfile:
		return dst, fmt.Errorf("%w: %d", ErrUnknownProfile, p)
	}
	keys := &byBytes
	if p == GoFold {
		keys = &byFold
	}
	for i, k := range keys {
		dst = append(dst, "{,"[min(i, 1)], '"')
		dst = append(dst, k...)
		dst = append(dst, '"', ':')
		switch k {
		case "D_hat":
			dst = appendNumber(dst, r.DHat, p)
		case "budget":
			dst = appendNumber(dst, r.Budget, p)
		case "coh_star":
			dst = appendNumber(dst, r.CohStar, p)
		case "r":
			dst = appendNumber(dst, r.R, p)
		case "epoch":
			dst = strconv.AppendInt(dst, r.Epoch, 10)
		case "merkle_root":
			dst = appendString(dst, r.MerkleRoot, p)
		case "pcs_id":
			dst = appendString(dst, r.PCSID, p)
		case "shard_id":
			dst = appendString(dst, r.ShardID, p)
		}
	}
	return append(dst, '}'), nil
}

func (r *Record) appendBin(dst []byte) ([]byte, error) {
	if len(r.ShardID) > 32 || strings.IndexByte(r.ShardID, 0) >= 0 || len(r.PCSID) != 64 || len(r.MerkleRoot) != 64 {
		return dst, fmt.Errorf("%w: bin needs 64-byte ids and at most 32 bytes of shard_id without NUL",
			ErrNotInProfile)
	}
	t := r.Tuple(Bin)
	dst = append(append(dst, r.PCSID...), r.MerkleRoot...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Epoch))
	var shard [32]byte
	copy(shard[:], r.ShardID)
	dst = append(dst, shard[:]...)
	for _, n := range []nano.Nano{t.DHat, t.CohStar, t.R, t.Budget} {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(n))
	}
	return dst, nil
}

// appendNumber appends the rounded double in the number style of p.
func appendNumber(dst []byte, n Number, p Profile) []byte {
	if p == F9 {
		return appendFixed(dst, n.Double)
	}
	if (p == PyUTF8 || p == PyBin) && !strings.ContainsAny(n.Literal, ".eE") {
		if n.Literal == "-0" {
			return append(dst, '0')
		}
		return append(dst, n.Literal...)
	}
	v := float64(float64(round(n.Double, p)) / 1e9)
	if v == 0 && math.Signbit(n.Double) {
		v = math.Copysign(0, -1)
	}
	switch p {
	case Py, PyUTF8, PyBin:
		return appendPy(dst, v)
	case Ryu:
		return appendRyu(dst, v)
	case ES:
		if v == 0 {
			return append(dst, '0')
		}
	}
	return appendES(dst, v)
}

// appendES formats like ECMAScript's Number::toString, which encoding/json follows too (except for -0).
func appendES(dst []byte, v float64) []byte {
	abs := math.Abs(v)
	if abs == 0 || abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(dst, v, 'f', -1, 64)
	}
	return appendExp(dst, v, 1)
}

// appendPy formats like Python's repr: fixed from 1e-4 to below 1e16, always with a point, and exponents with
// at least two digits.
func appendPy(dst []byte, v float64) []byte {
	if abs := math.Abs(v); abs != 0 && (abs < 1e-4 || abs >= 1e16) {
		return appendExp(dst, v, 2)
	}
	return appendPoint(strconv.AppendFloat(dst, v, 'f', -1, 64), len(dst))
}

// appendRyu formats like the pretty form of Rust's ryu: fixed from 1e-5 to below 1e16, always with a point.
func appendRyu(dst []byte, v float64) []byte {
	if abs := math.Abs(v); abs != 0 && (abs < 1e-5 || abs >= 1e16) {
		return appendExp(dst, v, 1)
	}
	return appendPoint(strconv.AppendFloat(dst, v, 'f', -1, 64), len(dst))
}

func appendPoint(dst []byte, from int) []byte {
	for _, c := range dst[from:] {
		if c == '.' {
			return dst
		}
	}
	return append(dst, '.', '0')
}

// appendExp appends the shortest digits with an exponent of at least digits digits.
func appendExp(dst []byte, v float64, digits int) []byte {
	text := strconv.FormatFloat(v, 'e', -1, 64) // d.ddde-07
	mantissa, exp, _ := strings.Cut(text, "e")
	dst = append(append(dst, mantissa...), 'e')
	if exp[0] == '-' || digits == 2 {
		dst = append(dst, exp[0])
	}
	exp = exp[1:]
	for len(exp) > digits && exp[0] == '0' {
		exp = exp[1:]
	}
	return append(dst, exp...)
}

const hexDigits = "0123456789abcdef"

func appendU(dst []byte, c rune) []byte {
	return append(dst, '\\', 'u', hexDigits[c>>12&15], hexDigits[c>>8&15], hexDigits[c>>4&15], hexDigits[c&15])
}

// appendString appends a JSON string in the escape style of p.
func appendString(dst []byte, s string, p Profile) []byte {
	dst = append(dst, '"')
	if plainRun(s) == len(s) && (p != Go && p != GoFold || !strings.ContainsAny(s, "<>&")) {
		return append(append(dst, s...), '"')
	}
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', byte(c))
		case c < 0x20:
			dst = appendControl(dst, c)
		case (p == Py || p == PyBin) && c > 0xffff:
			c -= 0x10000
			dst = appendU(appendU(dst, 0xd800+c>>10), 0xdc00+c&0x3ff)
		case (p == Py || p == PyBin) && c >= 0x7f:
			dst = appendU(dst, c)
		case (p == Go || p == GoFold) && (c == '<' || c == '>' || c == '&' || c == 0x2028 || c == 0x2029):
			dst = appendU(dst, c)
		default:
			dst = utf8.AppendRune(dst, c)
		}
	}
	return append(dst, '"')
}

func appendControl(dst []byte, c rune) []byte {
	if i := strings.IndexRune("\b\t\n\f\r", c); i >= 0 {
		return append(dst, '\\', "btnfr"[i])
	}
	return appendU(dst, c)
}
