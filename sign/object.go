package sign

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/recount-ledger/recount/internal/pcs"
)

// Object is a JSON object that keeps the order of its members and the spelling of their values. A map would keep
// neither, and a float64 would change the numbers that are signed. The zero value is an empty object. An Object is not
// safe for concurrent use while it is changed.
type Object struct {
	names  []string
	values []jsontext.Value // each without blanks
}

// ParseObject reads one JSON object. Names that occur twice and anything behind the object are errors that wrap
// ErrSyntax. Blanks between tokens are dropped, the spelling of values is kept.
func ParseObject(text []byte) (*Object, error) {
	o := new(Object)
	if err := o.parse(jsontext.NewDecoder(bytes.NewReader(text))); err != nil {
		return nil, fail(ErrSyntax, err)
	}
	return o, nil
}

func (o *Object) parse(d *jsontext.Decoder) error {
	if d.PeekKind() != '{' {
		_, err := d.ReadToken()
		return errors.Join(errors.New("not a JSON object"), err)
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		token, err := d.ReadToken()
		if err != nil {
			return err
		}
		name := token.String() // the token is gone after the next read
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		if err := o.put(name, value); err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object")
	}
	return nil
}

// Len is the number of members.
func (o *Object) Len() int { return len(o.names) }

// Names lists the members in their order.
func (o *Object) Names() []string { return slices.Clone(o.names) }

// Get returns the JSON text of a member without blanks, and whether the object has the member.
func (o *Object) Get(name string) (text []byte, ok bool) {
	i := slices.Index(o.names, name)
	if i < 0 {
		return nil, false
	}
	return slices.Clone(o.values[i]), true
}

// Set replaces the value of a member in its place, or adds the member at the end. value is JSON text: "1.50" stays
// 1.50. Text that is no JSON value, and a name that is not UTF-8, are errors that wrap ErrSyntax.
func (o *Object) Set(name string, value []byte) error {
	if err := o.put(name, value); err != nil {
		return fail(ErrSyntax, fmt.Errorf("member %q: %w", name, err))
	}
	return nil
}

// SetString is Set with a text, which it quotes. A text that is not UTF-8 is an error that wraps ErrSyntax.
func (o *Object) SetString(name, value string) error {
	text, err := jsontext.AppendQuote(nil, value)
	if err != nil {
		return fail(ErrSyntax, fmt.Errorf("member %q: %w", name, err))
	}
	return o.Set(name, text)
}

// SetInt is Set with a whole number.
func (o *Object) SetInt(name string, value int64) error {
	return o.Set(name, strconv.AppendInt(nil, value, 10))
}

func (o *Object) put(name string, value jsontext.Value) error {
	if _, err := jsontext.AppendQuote(nil, name); err != nil {
		return err
	}
	value = value.Clone()
	if err := value.Compact(); err != nil {
		return err
	}
	if i := slices.Index(o.names, name); i >= 0 {
		o.values[i] = value
		return nil
	}
	o.names, o.values = append(o.names, name), append(o.values, value)
	return nil
}

// Clone returns a copy that shares nothing with o.
func (o *Object) Clone() *Object {
	return &Object{names: slices.Clone(o.names), values: slices.Clone(o.values)}
}

// SetID computes pcs_id from merkle_root, epoch and shard_id. An error wraps ErrRecord: one of the three is missing
// or of another type.
func (o *Object) SetID() error {
	root, err := o.text("merkle_root")
	if err != nil {
		return err
	}
	shard, err := o.text("shard_id")
	if err != nil {
		return err
	}
	literal, _ := o.Get("epoch")
	epoch, err := strconv.ParseInt(string(literal), 10, 64)
	if err != nil {
		return fail(ErrRecord, errors.New("epoch must be a whole number"))
	}
	return o.SetString("pcs_id", pcs.ID(root, epoch, shard))
}

// text returns a member that must be a string.
func (o *Object) text(name string) (string, error) {
	value, _ := o.Get(name)
	if jsontext.Value(value).Kind() != '"' {
		return "", fail(ErrRecord, fmt.Errorf("%s must be a text", name))
	}
	text, err := jsontext.AppendUnquote(nil, value)
	if err != nil {
		return "", fail(ErrRecord, fmt.Errorf("%s: %w", name, err))
	}
	return string(text), nil
}

// Text is the object on one line, without blanks and without a line feed.
func (o *Object) Text() []byte {
	out := []byte{'{'}
	for i, name := range o.names {
		if i > 0 {
			out = append(out, ',')
		}
		out, _ = jsontext.AppendQuote(out, name) // put has checked the name
		out = append(append(out, ':'), o.values[i]...)
	}
	return append(out, '}')
}

// MarshalJSON returns Text.
func (o *Object) MarshalJSON() ([]byte, error) { return o.Text(), nil }
