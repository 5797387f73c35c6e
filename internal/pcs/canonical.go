package pcs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Scheme determines the part of a record that its signature covers. The member sig_scheme of a record names it.
type Scheme uint8

// The schemes. A record without the member is of scheme PCS1.
const (
	PCS1          Scheme = iota // the eight signed members, in a profile
	PCS2                        // every member except sig
	UnknownScheme               // the member names no known scheme, so no signature can be checked
)

var schemeNames = [...]string{PCS1: "pcs/1", PCS2: "pcs/2", UnknownScheme: "unknown"}

// String returns the value of sig_scheme, or "unknown" for other values.
func (s Scheme) String() string { return schemeNames[min(s, UnknownScheme)] }

// ErrUnknownScheme is wrapped by ParseScheme.
var ErrUnknownScheme = errors.New("pcs: unknown signature scheme")

// ParseScheme is the reverse of String.
func ParseScheme(s string) (Scheme, error) {
	if v := schemeOf(s); v != UnknownScheme {
		return v, nil
	}
	return UnknownScheme, fmt.Errorf("%w: %q", ErrUnknownScheme, s)
}

func schemeOf(s string) Scheme {
	for v := PCS1; v < UnknownScheme; v++ {
		if schemeNames[v] == s {
			return v
		}
	}
	return UnknownScheme
}

// SchemeSet is a set of schemes.
type SchemeSet uint8

// AllSchemes are enabled by default.
const AllSchemes = SchemeSet(1<<PCS1 | 1<<PCS2)

// SchemesOf returns a set of the given schemes.
func SchemesOf(all ...Scheme) (s SchemeSet) {
	for _, v := range all {
		s |= 1 << v
	}
	return s & AllSchemes
}

// Has reports whether v is in the set. UnknownScheme never is.
func (s SchemeSet) Has(v Scheme) bool { return s&AllSchemes&(1<<v) != 0 }

// Slice lists the members in ascending order.
func (s SchemeSet) Slice() (out []Scheme) {
	for v := PCS1; v < UnknownScheme; v++ {
		if s.Has(v) {
			out = append(out, v)
		}
	}
	return out
}

// Limits of a record that is signed with PCS2. They are part of the scheme and never change.
const (
	MaxCanonicalDepth    = 32 // levels of nesting, the record itself included
	MaxCanonicalExponent = 9  // digits of an exponent, not counting leading zeros
)

// pcs2Label begins every message of PCS2. No message of PCS1 begins with it: those are 32 bytes long or begin
// with a brace.
const pcs2Label = "recount/pcs/2\n"

// ErrNoCanonical is wrapped by AppendCanonical if the record cannot be signed as a whole.
var ErrNoCanonical = errors.New("pcs: the record has no canonical form of pcs/2")

// PCS2Message appends the message that is signed under PCS2: "recount/pcs/2", a line feed, and the SHA-256 of
// the canonical form in lower-case hex. ok is false if the record has another scheme or no canonical form.
func (r *Record) PCS2Message(dst []byte) (msg []byte, ok bool) {
	if !r.HasCanonical() {
		return dst, false
	}
	return hex.AppendEncode(append(dst, pcs2Label...), r.canonical[:]), true
}

// HasCanonical reports whether the record has scheme PCS2 and a canonical form.
func (r *Record) HasCanonical() bool { return r.Scheme == PCS2 && r.hasCanonical }

// scheme determines what the signature of a decoded record covers, and computes the digest that PCS2Message
// needs.
func (w *decoder) scheme(body []byte) {
	r := w.r
	switch {
	case w.seen&hasScheme != w.good&hasScheme:
		r.Scheme = UnknownScheme
	case r.Scheme == PCS2 && r.Signable:
		if text, err := AppendCanonical(nil, body); err == nil {
			r.canonical, r.hasCanonical = sha256.Sum256(text), true
		}
	}
}

// canonicalDecoders are jsontext decoders for reuse. They leave repeated names for canon to find.
var canonicalDecoders = sync.Pool{New: func() any {
	return jsontext.NewDecoder(bytes.NewReader(nil), jsontext.AllowDuplicateNames(true))
}}

// AppendCanonical appends the canonical form of PCS2 (testdata/PROFILES.md): the record without its member sig,
// members sorted by the bytes of their names, without spaces, strings with the fewest escapes, numbers as their
// exact decimal value. body must be one JSON object with unique names. Errors wrap ErrNoCanonical.
func AppendCanonical(dst, body []byte) ([]byte, error) {
	d := canonicalDecoders.Get().(*jsontext.Decoder)
	d.Reset(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true))
	defer func() {
		d.Reset(bytes.NewReader(nil))
		canonicalDecoders.Put(d)
	}()
	if d.PeekKind() != '{' {
		return dst, fmt.Errorf("%w: not a JSON object", ErrNoCanonical)
	}
	c := canon{d: d, out: dst}
	if err := c.value(1); err != nil {
		return dst, fmt.Errorf("%w: %w", ErrNoCanonical, err)
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return dst, fmt.Errorf("%w: something follows the object", ErrNoCanonical)
	}
	return c.out, nil
}

// canon writes the canonical form of the JSON that d reads.
type canon struct {
	d   *jsontext.Decoder
	out []byte
}

// value writes the next value, at a level of nesting.
func (c *canon) value(level int) error {
	kind := c.d.PeekKind()
	if (kind == '{' || kind == '[') && level > MaxCanonicalDepth {
		return fmt.Errorf("nested deeper than %d levels", MaxCanonicalDepth)
	}
	switch kind {
	case '{':
		return c.object(level)
	case '[':
		return c.array(level)
	}
	v, err := c.d.ReadValue()
	if err != nil {
		return err
	}
	switch kind {
	case '"':
		s, err := unquoted(v)
		c.out = appendString(c.out, s, F9)
		return err
	case '0':
		return c.number(v)
	}
	c.out = append(c.out, v...) // true, false, null
	return nil
}

func (c *canon) array(level int) error {
	if _, err := c.d.ReadToken(); err != nil {
		return err
	}
	c.out = append(c.out, '[')
	for i := 0; c.d.PeekKind() != ']'; i++ {
		if i > 0 {
			c.out = append(c.out, ',')
		}
		if err := c.value(level + 1); err != nil {
			return err
		}
	}
	c.out = append(c.out, ']')
	_, err := c.d.ReadToken()
	return err
}

// canonMember is a member of an object: its name and the position of its text in canon.out.
type canonMember struct {
	name     string
	from, to int
}

// object writes the members in their order and sorts them if necessary.
func (c *canon) object(level int) error {
	if _, err := c.d.ReadToken(); err != nil {
		return err
	}
	c.out = append(c.out, '{')
	start, signed := len(c.out), false
	members := make([]canonMember, 0, 8)
	for c.d.PeekKind() != '}' {
		end := len(c.out)
		if len(members) > 0 {
			c.out = append(c.out, ',')
		}
		m, err := c.member(level)
		switch {
		case err != nil:
			return err
		case level > 1 || m.name != "sig":
			members = append(members, m)
		case signed:
			return jsontext.ErrDuplicateName
		default:
			c.out, signed = c.out[:end], true
		}
	}
	c.order(start, members)
	for i := 1; i < len(members); i++ {
		if members[i-1].name == members[i].name {
			return jsontext.ErrDuplicateName
		}
	}
	c.out = append(c.out, '}')
	_, err := c.d.ReadToken()
	return err
}

func (c *canon) member(level int) (m canonMember, err error) {
	v, err := c.d.ReadValue()
	if err != nil {
		return m, err
	}
	if m.name, err = unquoted(v); err != nil {
		return m, err
	}
	m.from = len(c.out)
	c.out = append(appendString(c.out, m.name, F9), ':')
	err = c.value(level + 1)
	m.to = len(c.out)
	return m, err
}

// order sorts the members of an object, which follow each other from start on, separated by commas.
func (c *canon) order(start int, members []canonMember) {
	byName := func(a, b canonMember) int { return strings.Compare(a.name, b.name) }
	if slices.IsSortedFunc(members, byName) {
		return
	}
	text := slices.Clone(c.out[start:])
	slices.SortFunc(members, byName)
	c.out = c.out[:start]
	for i, m := range members {
		if i > 0 {
			c.out = append(c.out, ',')
		}
		c.out = append(c.out, text[m.from-start:m.to-start]...)
	}
}

func unquoted(v jsontext.Value) (string, error) {
	if plain := v[1 : len(v)-1]; bytes.IndexByte(plain, '\\') < 0 {
		return string(plain), nil
	}
	b, err := jsontext.AppendUnquote(nil, v)
	return string(b), err
}

// number writes the exact value of a literal: its digits without zeros at either end, "e", and the power of
// ten. Zero is 0e0 and keeps its sign.
func (c *canon) number(literal []byte) error {
	if literal[0] == '-' {
		c.out, literal = append(c.out, '-'), literal[1:]
	}
	start, exponent, point := len(c.out), 0, false
	for i, b := range literal {
		if b == '.' {
			point = true
			continue
		}
		if b|0x20 == 'e' {
			n, err := parseExponent(string(literal[i+1:]))
			if err != nil {
				return err
			}
			exponent += n
			break
		}
		if point {
			exponent--
		}
		if b != '0' || len(c.out) > start {
			c.out = append(c.out, b)
		}
	}
	for len(c.out) > start && c.out[len(c.out)-1] == '0' {
		c.out = c.out[:len(c.out)-1]
		exponent++
	}
	if len(c.out) == start {
		c.out, exponent = append(c.out, '0'), 0
	}
	c.out = strconv.AppendInt(append(c.out, 'e'), int64(exponent), 10)
	return nil
}

func parseExponent(text string) (int, error) {
	digits, negative := strings.CutPrefix(strings.TrimPrefix(text, "+"), "-")
	digits = strings.TrimLeft(digits, "0")
	if len(digits) > MaxCanonicalExponent {
		return 0, fmt.Errorf("an exponent of more than %d digits", MaxCanonicalExponent)
	}
	n, err := strconv.Atoi("0" + digits)
	if err == nil && negative {
		n = -n
	}
	return n, err
}
