// Package publish reads policy documents as people write them, in YAML with rules in CEL syntax, and prints
// them again. It is used when a policy is checked or published, never when a record is judged. The log holds
// the canonical form of package verify.
//
// Parse rejects everything that the document does not state plainly: unknown and repeated members, aliases,
// tags, several documents, doubles, and every part of CEL that the rule language does not have. It reports all
// problems at once, each with its line and column.
package publish

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/recount-ledger/recount/internal/verify"
)

// Error is one problem of a document. It wraps verify.ErrPolicy.
type Error struct {
	Line, Column int    // from 1; 0 if the position is not known
	Field        string // such as "rules[0].when"
	Reason       string
}

// Error returns one line: "line 7, column 12: rules[0].when: ...".
func (e *Error) Error() string {
	s := e.Reason
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	switch {
	case e.Line > 0 && e.Column > 0:
		s = fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, s)
	case e.Line > 0:
		s = fmt.Sprintf("line %d: %s", e.Line, s)
	}
	return s
}

// Unwrap returns verify.ErrPolicy.
func (e *Error) Unwrap() error { return verify.ErrPolicy }

// maxProblems bounds the problems that are reported.
const maxProblems = 50

// maxNesting is more than the number of levels that a policy needs in YAML.
const maxNesting = 8

// Parse reads a document. Omitted members have the values of verify.DefaultPolicy. The error joins all
// problems.
func Parse(document []byte) (verify.Policy, error) {
	root, err := parseYAML(document)
	if err != nil {
		return verify.Policy{}, err
	}
	r := &reader{policy: verify.DefaultPolicy(), lines: strings.Split(string(document), "\n")}
	r.plain(root, 0)
	if len(r.problems) == 0 {
		r.mapping(root, "", map[string]func(*yaml.Node, string){
			"kernel":    r.kernel,
			"params":    r.params,
			"signature": r.signature,
			"epochs":    r.epochs,
			"versions":  r.versions,
			"rules":     r.rules,
		})
	}
	if len(r.problems) == 0 {
		r.whole(root)
	}
	if len(r.problems) > 0 {
		return verify.Policy{}, errors.Join(r.problems...)
	}
	return r.policy, nil
}

// parseYAML reads one document.
func parseYAML(document []byte) (*yaml.Node, error) {
	if len(document) > verify.MaxPolicyBytes {
		return nil, &Error{Reason: fmt.Sprintf("the document has more than %d bytes", verify.MaxPolicyBytes)}
	}
	if !utf8.Valid(document) {
		return nil, notUTF8(document)
	}
	dec := yaml.NewDecoder(strings.NewReader(string(document)))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, &Error{Reason: "the document is empty"}
	} else if err != nil {
		return nil, notYAML(err)
	}
	if err := dec.Decode(&more); err == nil {
		return nil, &Error{Line: more.Line, Column: more.Column, Reason: "a second document"}
	} else if !errors.Is(err, io.EOF) {
		return nil, notYAML(err)
	}
	return doc.Content[0], nil
}

// notUTF8 returns an error at the first byte that is not UTF-8.
func notUTF8(document []byte) *Error {
	e := &Error{Line: 1, Column: 1, Reason: "the document is not UTF-8"}
	for len(document) > 0 {
		c, n := utf8.DecodeRune(document)
		if c == utf8.RuneError && n == 1 {
			break
		}
		if e.Column++; c == '\n' {
			e.Line, e.Column = e.Line+1, 1
		}
		document = document[n:]
	}
	return e
}

// notYAML extracts the line from the text of a syntax error, because the error has no field for it.
func notYAML(err error) *Error {
	reason := strings.TrimPrefix(err.Error(), "yaml: ")
	rest, _ := strings.CutPrefix(reason, "line ")
	if number, text, ok := strings.Cut(rest, ": "); ok {
		if line, err := strconv.Atoi(number); err == nil {
			return &Error{Line: line, Reason: "not YAML: " + text}
		}
	}
	return &Error{Reason: "not YAML: " + reason}
}
