package pcs

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// errMalformed ends the walk over a body, because nothing after the error can be trusted.
var errMalformed = errors.New("pcs: malformed")

// Members of a record, one bit each. The bits of the signed ones make Record.Signable.
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
	required      = signedMembers | hasSchema | hasVersion | hasRegime | hasScales | hasNJ | hasVStar | hasSeed |
		hasAttempt | hasSentAt | hasFT
)

// memberNames lists the names in the order of their bits.
var memberNames = [...]string{"pcs_id", "merkle_root", "epoch", "shard_id", "D_hat", "coh_star", "r", "budget",
	"schema", "version",
	"regime", "scales", "N_j", "v_star", "seed", "attempt", "sent_at", "ft", "sig", "sig_scheme"}

var ftNames = [...]string{"outbox_seq", "degraded", "fallbacks", "clock_skew_ms"}

// decoder walks one body.
type decoder struct {
	d *jsontext.Decoder
	r *Record
	// copy of a short body, shared by the values; empty for a long one, which a record must not keep alive
	body   string
	prefix string // prefix of the names in faults: "", "N_j." or "ft."
	seen   int    // members present
	good   int    // members present and well-formed
	ft     int
}

// shortBody is the size up to which a record may keep its body alive, in bytes.
const shortBody = 4 << 10

// walkers are jsontext decoders for reuse. They keep their buffers but no body.
var walkers = sync.Pool{New: func() any { return jsontext.NewDecoder(bytes.NewReader(nil)) }}

// Decode decodes one JSON object. The record is never nil, and Fault describes its first fault. After a fault
// of class malformed nothing else in the record can be used. After one of class schema it holds what could be
// read.
func Decode(body []byte) *Record {
	return DecodeIn(new(Memory), body)
}

// Memory holds one record. A fold uses it again for the next one.
type Memory struct{ plainRecord }

// DecodeIn is Decode with the record in m, where it stays until the next call.
func DecodeIn(m *Memory, body []byte) *Record {
	if len(body) > shortBody {
		return decodeAny(body, "")
	}
	text := string(body)
	if r := decodePlain(text, &m.plainRecord); r != nil {
		return r
	}
	return decodeAny(body, text)
}

// DecodeGeneral is Decode without the fast path for plain records. The benchmark measures nodes against a handler
// that decodes with it, so that the ratio keeps its meaning from release to release.
func DecodeGeneral(body []byte) *Record {
	if len(body) > shortBody {
		return decodeAny(body, "")
	}
	return decodeAny(body, string(body))
}

// decodeAny is the general decoder. It alone decides on faults. The text of a short body is a copy that the
// record may use.
func decodeAny(body []byte, text string) *Record {
	r := &Record{}
	d := walkers.Get().(*jsontext.Decoder)
	d.Reset(bytes.NewBuffer(body))
	defer func() {
		d.Reset(bytes.NewReader(nil))
		walkers.Put(d)
	}()
	w := &decoder{d: d, r: r, body: text}
	if err := w.object(); err != nil {
		if r.Fault == nil || r.Fault.Class != ClassMalformed {
			*r = Record{
				Fault: &Fault{
					Class:  ClassMalformed,
					Reason: "the body is not one well-formed JSON object with unique names: " + cause(err),
				},
			}
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

// cause returns a reason in our own wording, because the texts of a library may change.
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

// malformed replaces a schema fault, because it is the more serious one.
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

// memberBits maps a name to its bit.
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

// raw reads a string or number as written.
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

// name reads the name of a member. Anything else is a syntax error and is not read.
func (w *decoder) name() (string, error) {
	if w.d.PeekKind() == '"' {
		return w.str()
	}
	if _, err := w.d.ReadToken(); err != nil {
		return "", err
	}
	return "", w.malformed("", "the name of a member is not a string")
}

// str reads the next string.
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

// skip skips a value of any kind within the depth limit.
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
