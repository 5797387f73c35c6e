package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// Bounds of what a request of an operator says about itself, in bytes.
const (
	maxOpID   = 64
	maxReason = 1024
	maxTicket = 128
)

// yamlTypes are the types of a request whose body is the document itself.
var yamlTypes = []string{wire.MediaYAML, "application/x-yaml", "text/yaml"}

// decodeBody reads a JSON object strictly into v: no unknown or repeated member, nothing behind it.
func (s *server) decodeBody(c echo.Context, v any) error {
	if err := checkMedia(c.Request().Header, wire.MediaJSON); err != nil {
		return err
	}
	body, err := s.readBody(c)
	if err != nil {
		return err
	}
	if err := onlyOnce(body); err != nil {
		return wire.NewProblem(wire.CodeBadRequest, "the body: "+err.Error()).WithField("body")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return wire.NewProblem(wire.CodeBadRequest, "the body: "+err.Error()).WithField("body")
	}
	return nil
}

// onlyOnce refuses a repeated member of the outermost object and anything behind it. It also refuses names that no request
// has, because encoding/json would take some of them for others: it does not look at the letter case.
func onlyOnce(body []byte) error {
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
			return fmt.Errorf("member %q is unknown", key)
		case seen[key]:
			return fmt.Errorf("member %q is repeated", key)
		}
		seen[key] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return errors.New("not well-formed")
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

// notInName: the members of requests are written in a-z and _.
func notInName(r rune) bool { return (r < 'a' || r > 'z') && r != '_' }

// checkAct bounds what an operator says about an act.
func checkAct(a wire.Act) error {
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

// queryAct reads an act from the query, for requests whose body is something else or that have none.
func queryAct(p *params) wire.Act {
	return wire.Act{OpID: p.text("op_id", maxOpID), Reason: p.text("reason", maxReason), Ticket: p.text("ticket", maxTicket)}
}
