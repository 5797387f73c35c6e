package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// Bounds of the common fields of an operation, in bytes.
const (
	maxOpID   = 64
	maxReason = 1024
	maxTicket = 128
)

// yamlTypes are the media types of requests whose body is the document itself.
var yamlTypes = []string{wire.MediaYAML, "application/x-yaml", "text/yaml"}

// decodeBody decodes a JSON object strictly into v. It rejects unknown and repeated members and trailing data.
func (s *server) decodeBody(c echo.Context, v any) error {
	if err := checkMedia(c.Request().Header, wire.MediaJSON); err != nil {
		return err
	}
	body, err := s.readBody(c)
	if err != nil {
		return err
	}
	if err := rejectDuplicates(body); err != nil {
		var member *memberError
		if errors.As(err, &member) {
			return badParameter(member.name, member.why)
		}
		return wire.NewProblem(wire.CodeBadRequest, "the body: "+err.Error()).WithField("body")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return wrongMember(err, v)
	}
	return nil
}

// wrongMember describes the member that does not fit v, and the expected type or the known members, in terms of
// JSON.
func wrongMember(err error, v any) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		path := strings.Split(kind.Field, ".")
		return badParameter(path[len(path)-1],
			"must be "+jsonKind(kind.Type)+", not "+strings.Replace(kind.Value, "bool", "true or false", 1))
	}
	if name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
		return badParameter(strings.Trim(name, `"`),
			"unknown member; known are "+strings.Join(memberNames(reflect.TypeOf(v).Elem()), ", "))
	}
	return wire.NewProblem(wire.CodeBadRequest,
		"the body: "+strings.TrimPrefix(err.Error(), "json: ")).WithField("body")
}

func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "a whole number in range"
}

// memberNames returns the JSON names of the fields of a struct, including embedded ones, in order.
func memberNames(t reflect.Type) (names []string) {
	for field := range t.Fields() {
		switch name, _, _ := strings.Cut(field.Tag.Get("json"), ","); {
		case field.Anonymous && name == "":
			names = append(names, memberNames(field.Type)...)
		case name != "" && name != "-":
			names = append(names, name)
		}
	}
	return names
}

// rejectDuplicates rejects a repeated member of the outermost object and trailing data. It also rejects names
// that no request has, because encoding/json ignores letter case and would match some of them.
func rejectDuplicates(body []byte) error {
	if !utf8.Valid(body) {
		return errors.New("not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if first, err := dec.Token(); err != nil || first != json.Delim('{') {
		return errors.New("must be a JSON object")
	}
	seen := map[string]bool{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return errors.New("not well-formed")
		}
		key := fmt.Sprint(name)
		switch {
		case strings.ContainsFunc(key, notInName):
			return &memberError{key, "is unknown: the names of members have small letters only"}
		case seen[key]:
			return fmt.Errorf("member %q is repeated", key)
		}
		seen[key] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return errors.New("not well-formed")
		}
		if why := emptyOrBroken(value); why != "" {
			return &memberError{key, why}
		}
	}
	if _, err := dec.Token(); err != nil {
		return errors.New("not well-formed")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands behind the object")
	}
	return nil
}

// memberError is a fault of one member.
type memberError struct{ name, why string }

func (e *memberError) Error() string { return fmt.Sprintf("member %q %s", e.name, e.why) }

// emptyOrBroken describes what is wrong with the value of a member, or returns "". An empty value is usually a
// variable that was not set, and would widen the request: without a scope a key covers every shard, without
// not_after it never expires. Half of a surrogate pair would be read as U+FFFD, and the request would name
// something else than was meant.
func emptyOrBroken(value json.RawMessage) string {
	var v any
	if err := json.Unmarshal(value, &v); err != nil {
		return "is not well-formed"
	}
	empty := v == nil
	switch v := v.(type) {
	case string:
		empty = strings.TrimSpace(v) == ""
	case []any:
		empty = len(v) == 0
	}
	if empty {
		return "is empty: give a value, or leave the member out"
	}
	if loneSurrogate(value) {
		return "has half of a surrogate pair"
	}
	return ""
}

// loneSurrogate reports whether well-formed JSON has an unpaired \uD800 to \uDFFF.
func loneSurrogate(text []byte) bool {
	high := false // the previous escape was the first half of a pair
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			if high {
				return true
			}
			continue
		}
		unit := uint64(0)
		if i++; text[i] == 'u' {
			unit, _ = strconv.ParseUint(string(text[i+1:i+5]), 16, 16) // well-formed
			i += 4
		}
		if low := unit >= 0xdc00 && unit <= 0xdfff; low != high {
			return true
		}
		high = unit >= 0xd800 && unit <= 0xdbff
	}
	return false
}

// notInName reports whether r cannot be in the name of a member. The names in requests consist of a-z and _.
func notInName(r rune) bool { return (r < 'a' || r > 'z') && r != '_' }

// checkOp validates the common fields of an operation.
func checkOp(a wire.Op) error {
	for _, f := range []struct {
		name, value string
		longest     int
	}{{"op_id", a.OpID, maxOpID}, {"reason", a.Reason, maxReason}, {"ticket", a.Ticket, maxTicket}} {
		if len(f.value) > f.longest || !utf8.ValidString(f.value) {
			return badParameter(f.name, fmt.Sprintf("must be UTF-8 of at most %d bytes", f.longest))
		}
		for _, r := range f.value {
			if unicode.IsControl(r) {
				return badParameter(f.name, "must not contain control characters")
			}
		}
	}
	return nil
}

// queryOp reads the common fields of an operation from the query, for requests with another or no body.
func queryOp(p *params) wire.Op {
	return wire.Op{
		OpID:   p.text("op_id", maxOpID),
		Reason: p.text("reason", maxReason),
		Ticket: p.text("ticket", maxTicket),
	}
}
