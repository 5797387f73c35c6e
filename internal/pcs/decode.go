package pcs

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// errMalformed ends the walk over a body: what follows cannot be trusted.
var errMalformed = errors.New("pcs: malformed")

// Members of a record, one bit each; the bits of the signed ones make Record.Signable.
const (
	hasPCSID = 1 << iota
	hasRoot
	hasEpoch
	hasShard
	hasDHat
	hasCoh
	hasR
	hasBudget
	hasSchema
	hasVersion
	hasRegime
	hasScales
	hasNJ
	hasVStar
	hasSeed
	hasAttempt
	hasSentAt
	hasFT
	hasSig
	hasScheme

	signedMembers = hasPCSID | hasRoot | hasEpoch | hasShard | hasDHat | hasCoh | hasR | hasBudget
	required      = signedMembers | hasSchema | hasVersion | hasRegime | hasScales | hasNJ | hasVStar | hasSeed | hasAttempt | hasSentAt | hasFT
)

// memberNames are in the order of their bits.
var memberNames = [...]string{"pcs_id", "merkle_root", "epoch", "shard_id", "D_hat", "coh_star", "r", "budget", "schema", "version",
	"regime", "scales", "N_j", "v_star", "seed", "attempt", "sent_at", "ft", "sig", "sig_scheme"}

var ftNames = [...]string{"outbox_seq", "degraded", "fallbacks", "clock_skew_ms"}

// decoder walks one body.
type decoder struct {
	d      *jsontext.Decoder
	r      *Record
	body   string // copy of a short body, of which the values are parts; empty for a long one, which no record shall hold on to
	prefix string // of the names in faults: "", "N_j." or "ft."
	seen   int    // members present
	good   int    // members present and well-formed
	ft     int
}

// shortBody is the most bytes of a body that a record may keep alive.
const shortBody = 4 << 10

// walkers are jsontext decoders for reuse; they keep their bookkeeping but no body.
var walkers = sync.Pool{New: func() any { return jsontext.NewDecoder(bytes.NewReader(nil)) }}

// Decode reads one JSON object. The record is never nil; Fault says what is wrong with it. After a fault of class malformed
// nothing else in it can be used; after one of class schema it holds what could be read.
func Decode(body []byte) *Record {
	r := &Record{}
	d := walkers.Get().(*jsontext.Decoder)
	d.Reset(bytes.NewBuffer(body))
	defer func() {
		d.Reset(bytes.NewReader(nil))
		walkers.Put(d)
	}()
	w := &decoder{d: d, r: r}
	if len(body) <= shortBody {
		w.body = string(body)
	}
	if err := w.object(); err != nil {
		if r.Fault == nil || r.Fault.Class != ClassMalformed {
			*r = Record{Fault: &Fault{Class: ClassMalformed, Reason: "the body is not one well-formed JSON object with unique names: " + cause(err)}}
		} else {
			*r = Record{Fault: r.Fault}
		}
		return r
	}
	w.missing()
	r.Signable = w.good&signedMembers == signedMembers
	w.scheme(body)
	return r
}

// cause is a reason of our own wording: the texts of a library may change.
func cause(err error) string {
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return "a name is repeated"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	case errors.As(err, &syntax):
		return "syntax error at byte " + strconv.FormatInt(syntax.ByteOffset, 10)
	}
	return "syntax error"
}

func (w *decoder) fault(field, reason string) {
	if w.r.Fault == nil {
		w.r.Fault = &Fault{Class: ClassSchema, Field: w.prefix + field, Reason: reason}
	}
}

// malformed replaces a schema fault: the worse one counts.
func (w *decoder) malformed(field, reason string) error {
	if field != "" {
		field = w.prefix + field
	}
	w.r.Fault = &Fault{Class: ClassMalformed, Field: field, Reason: reason}
	return errMalformed
}

func (w *decoder) object() error {
	if w.d.PeekKind() != '{' {
		if _, err := w.d.ReadToken(); err != nil {
			return err
		}
		return w.malformed("", "the body is not a JSON object")
	}
	if _, err := w.d.ReadToken(); err != nil {
		return err
	}
	for w.d.PeekKind() != '}' {
		name, err := w.name()
		if err != nil {
			return err
		}
		if err := w.member(name); err != nil {
			return err
		}
	}
	if _, err := w.d.ReadToken(); err != nil {
		return err
	}
	if _, err := w.d.ReadToken(); err != io.EOF {
		return w.malformed("", "something follows the JSON object")
	}
	return nil
}

func (w *decoder) member(name string) error {
	if bit, known := memberBits[name]; known {
		w.seen |= bit
		ok, err := w.value(bit, name)
		if ok {
			w.good |= bit
		}
		return err
	}
	w.caseVariant(name, memberNames[:])
	return w.skip()
}

// memberBits finds the bit of a name.
var memberBits = func() map[string]int {
	m := make(map[string]int, len(memberNames))
	for i, name := range memberNames {
		m[name] = 1 << i
	}
	return m
}()

func (w *decoder) caseVariant(name string, known []string) {
	for _, k := range known {
		if strings.EqualFold(name, k) {
			w.fault(shown(name), "names are case-sensitive; the member is called "+w.prefix+k)
		}
	}
}

// raw reads a string or number as it is written.
func (w *decoder) raw() (string, error) {
	v, err := w.d.ReadValue()
	if err != nil {
		return "", err
	}
	if w.body == "" {
		return string(v), nil
	}
	end := w.d.InputOffset()
	return w.body[end-int64(len(v)) : end], nil
}

// name reads the name of a member; anything else is a syntax error, and nothing of it is read.
func (w *decoder) name() (string, error) {
	if w.d.PeekKind() == '"' {
		return w.str()
	}
	if _, err := w.d.ReadToken(); err != nil {
		return "", err
	}
	return "", w.malformed("", "the name of a member is not a string")
}

// str reads the string that comes next.
func (w *decoder) str() (string, error) {
	quoted, err := w.raw()
	if err != nil {
		return "", err
	}
	if plain := quoted[1 : len(quoted)-1]; strings.IndexByte(plain, '\\') < 0 {
		return plain, nil
	}
	b, err := jsontext.AppendUnquote(nil, quoted)
	return string(b), err
}

// skip passes over a value of any kind within the depth limit.
func (w *decoder) skip() error {
	depth := w.d.StackDepth()
	for {
		if _, err := w.d.ReadToken(); err != nil {
			return err
		}
		now := w.d.StackDepth()
		if now > MaxDepth {
			return w.malformed("", "nested deeper than "+strconv.Itoa(MaxDepth)+" levels")
		}
		if now == depth {
			return nil
		}
	}
}

// value reads the value of a known member; ok means well-formed.
func (w *decoder) value(member int, name string) (ok bool, err error) {
	r := w.r
	switch member {
	case hasPCSID:
		return w.hex64(name, &r.PCSID)
	case hasRoot:
		return w.hex64(name, &r.MerkleRoot)
	case hasEpoch:
		if ok, err = w.integer(name, &r.Epoch); ok && r.Epoch < 0 {
			w.fault(name, "must not be negative")
			return false, nil
		}
		return ok, err
	case hasShard:
		return w.shard(name)
	case hasDHat:
		return w.number(name, &r.DHat)
	case hasCoh:
		return w.number(name, &r.CohStar)
	case hasR:
		return w.number(name, &r.R)
	case hasBudget:
		return w.number(name, &r.Budget)
	case hasSeed:
		return w.integer(name, &r.Seed)
	case hasAttempt:
		return w.integer(name, &r.Attempt)
	case hasScales:
		return w.scales(name)
	case hasNJ:
		return w.counts(name)
	case hasVStar:
		return w.vector(name)
	case hasFT:
		return w.faultTolerance(name)
	}
	return w.word(member, name)
}

// word reads the members that are plain strings.
func (w *decoder) word(member int, name string) (ok bool, err error) {
	r := w.r
	var s string
	if ok, err = w.text(name, &s); !ok {
		return false, err
	}
	switch member {
	case hasSchema:
		r.Schema, ok = s, s == schemaName
	case hasVersion:
		r.Version = s
	case hasRegime:
		r.Regime, ok = s, s == "sticky" || s == "mixed" || s == "non_sticky"
	case hasSentAt:
		r.SentAt, ok = s, isRFC3339(s)
	case hasSig:
		r.Sig, r.HasSig = s, s != ""
	case hasScheme:
		r.Scheme, ok = schemeOf(s), schemeOf(s) != UnknownScheme
	}
	if !ok {
		w.fault(name, wordReasons[member])
	}
	return ok, nil
}

var wordReasons = map[int]string{
	hasSchema: "must be " + schemaName,
	hasRegime: "must be sticky, mixed or non_sticky", hasSentAt: "is not an RFC 3339 date-time with a zone", hasScheme: "must be pcs/1 or pcs/2",
}

// text reads a string.
func (w *decoder) text(name string, into *string) (ok bool, err error) {
	if w.d.PeekKind() != '"' {
		return false, w.wrongType(name, "must be a string")
	}
	*into, err = w.str()
	return err == nil, err
}

func (w *decoder) wrongType(name, reason string) error {
	w.fault(name, reason)
	return w.skip()
}

func (w *decoder) hex64(name string, into *string) (ok bool, err error) {
	if ok, err = w.text(name, into); !ok {
		return false, err
	}
	if !isHex64(*into) {
		w.fault(name, "must be 64 hexadecimal digits")
		return false, nil
	}
	return true, nil
}

func (w *decoder) shard(name string) (ok bool, err error) {
	if ok, err = w.text(name, &w.r.ShardID); !ok {
		return false, err
	}
	if why := CheckShardID(w.r.ShardID); why != "" {
		w.fault(name, why)
		return false, nil
	}
	return true, nil
}

// CheckShardID says why no record can have this shard_id; "" is that one can.
func CheckShardID(id string) string {
	switch {
	case id == "":
		return "must not be empty"
	case len(id) > MaxShardID:
		return "must have at most " + strconv.Itoa(MaxShardID) + " bytes"
	case !utf8.ValidString(id):
		return "must be UTF-8"
	case hasControl(id):
		return "must not contain control characters"
	}
	return ""
}

// literal reads the text of a number.
func (w *decoder) literal(name string) (text string, ok bool, err error) {
	if w.d.PeekKind() != '0' {
		return "", false, w.wrongType(name, "must be a number")
	}
	text, err = w.raw()
	return text, err == nil, err
}

// double is the value of a number; a literal beyond the double range makes the whole body malformed.
func (w *decoder) double(name, text string) (float64, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) {
		return 0, w.malformed(name, "the number is outside the range of a double")
	}
	return f, nil
}

func (w *decoder) number(name string, into *Number) (ok bool, err error) {
	text, ok, err := w.literal(name)
	if !ok {
		return false, err
	}
	if into.Double, err = w.double(name, text); err != nil {
		return false, err
	}
	into.Literal = text
	if math.Abs(into.Double) > MaxMagnitude {
		w.fault(name, "must be at most 1000000 in absolute value")
		return false, nil
	}
	return true, nil
}

func (w *decoder) integer(name string, into *int64) (ok bool, err error) {
	text, ok, err := w.literal(name)
	if !ok {
		return false, err
	}
	n, parseErr := strconv.ParseInt(text, 10, 64)
	if parseErr != nil {
		if _, err := w.double(name, text); err != nil {
			return false, err
		}
		w.fault(name, "must be an integer below 2^63, written without point or exponent")
		return false, nil
	}
	*into = n
	return true, nil
}
