package evidence

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// Event is one event of a ledger with a proof that it is in the tree of a checkpoint.
type Event struct {
	Leaf    Leaf
	Payload []byte // 16 bytes of salt and the message, whose SHA-256 is in the leaf
	// Hashes leads from the leaf to the root (RFC 6962, section 2.1.1).
	Hashes [][32]byte
}

// Bundle is a receipt with everything that is needed to judge its record again.
type Bundle struct {
	// Events holds the submission, the operators' events that decide how it is judged, and the earlier submissions
	// that it depends on, by number. All are in the tree of the checkpoint of the receipt.
	Events []Event
	// Statements holds further signed statements, by event and generation: of this submission in other
	// generations, and of the earlier submissions.
	Statements [][]byte
	Receipt    Receipt
}

const bundleTitle = "recount/bundle@v1"

// Text returns the bundle as a file:
//
//	recount/bundle@v1
//	event <leaf in base64> <payload in base64> <hashes in base64>
//	…
//	statement <note in base64>
//	…
//
//	<the receipt>
func (b Bundle) Text() []byte {
	enc := base64.StdEncoding.EncodeToString
	var out bytes.Buffer
	out.WriteString(bundleTitle + "\n")
	for _, e := range b.Events {
		fmt.Fprintf(&out, "event %s %s %s\n", enc(e.Leaf.Append(nil)), enc(e.Payload), enc(joined(e.Hashes)))
	}
	for _, s := range b.Statements {
		fmt.Fprintf(&out, "statement %s\n", enc(s))
	}
	out.WriteByte('\n')
	out.Write(b.Receipt.Text())
	return out.Bytes()
}

func joined(hashes [][32]byte) []byte {
	out := make([]byte, 0, 32*len(hashes))
	for _, h := range hashes {
		out = append(out, h[:]...)
	}
	return out
}

// ParseBundle reads what Text writes, and nothing else: events by number, statements by event and generation, none
// of them twice. It checks no signature and no proof: Check does.
func ParseBundle(text []byte) (b Bundle, err error) {
	head, receipt, found := bytes.Cut(text, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || lines[0] != bundleTitle {
		return Bundle{}, fmt.Errorf("%w: not a %s", ErrFormat, bundleTitle)
	}
	for i, line := range lines[1:] {
		if err := b.read(strings.Split(line, " ")); err != nil {
			return Bundle{}, fmt.Errorf("line %d: %w", i+2, err)
		}
	}
	if b.Receipt, err = ParseReceipt(receipt); err != nil {
		return Bundle{}, err
	}
	if !bytes.Equal(b.Text(), text) {
		return Bundle{}, fmt.Errorf("%w: another encoding of a bundle", ErrFormat)
	}
	if err := b.ordered(); err != nil {
		return Bundle{}, err
	}
	return b, nil
}

// read reads one line.
func (b *Bundle) read(words []string) error {
	dec := base64.StdEncoding.Strict().DecodeString
	switch {
	case words[0] == "event" && len(words) == 4:
		var e Event
		leaf, err := dec(words[1])
		if err == nil {
			e.Leaf, err = ParseLeaf(leaf)
		}
		if err == nil {
			e.Payload, err = dec(words[2])
		}
		if err == nil {
			e.Hashes, err = parseHashes(words[3])
		}
		if err != nil {
			return fmt.Errorf("%w: an event: %w", ErrFormat, err)
		}
		b.Events = append(b.Events, e)
		return nil
	case words[0] == "statement" && len(words) == 2:
		note, err := dec(words[1])
		if err != nil {
			return fmt.Errorf("%w: a statement: %w", ErrFormat, err)
		}
		b.Statements = append(b.Statements, note)
		return nil
	}
	return fmt.Errorf("%w: neither an event nor a statement", ErrFormat)
}

func parseHashes(text string) (out [][32]byte, err error) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b)%32 != 0 || len(b) > 32*maxHashes {
		return nil, fmt.Errorf("%w: not at most %d hashes", ErrFormat, maxHashes)
	}
	for chunk := range slices.Chunk(b, 32) {
		out = append(out, [32]byte(chunk))
	}
	return out, nil
}

// Sort brings events and statements into the order of the format. A statement that cannot be read is ErrFormat.
func (b *Bundle) Sort() error {
	slices.SortFunc(b.Events, func(x, y Event) int { return cmp.Compare(x.Leaf.Seq, y.Leaf.Seq) })
	places := make(map[string]Statement, len(b.Statements))
	for _, signed := range b.Statements {
		s, err := signedStatement(signed)
		if err != nil {
			return err
		}
		places[string(signed)] = s
	}
	slices.SortFunc(b.Statements, func(x, y []byte) int { return places[string(x)].compare(places[string(y)]) })
	return nil
}

// compare orders statements by event and generation.
func (s Statement) compare(t Statement) int {
	return cmp.Or(cmp.Compare(s.Leaf.Seq, t.Leaf.Seq), cmp.Compare(s.Generation, t.Generation))
}

// signedStatement reads the statement in a note without checking its signatures.
func signedStatement(signed []byte) (Statement, error) {
	text, _, found := bytes.Cut(signed, []byte("\n\n"))
	if !found {
		return Statement{}, fmt.Errorf("%w: the statement is not signed", ErrFormat)
	}
	return ParseStatement(string(text) + "\n")
}

// ordered refuses events and statements that are not in their order.
func (b *Bundle) ordered() error {
	before := uint64(0)
	for _, e := range b.Events {
		if e.Leaf.Seq <= before {
			return fmt.Errorf("%w: event %d is not in its place", ErrFormat, e.Leaf.Seq)
		}
		before = e.Leaf.Seq
	}
	var last Statement
	for _, signed := range b.Statements {
		s, err := signedStatement(signed)
		if err != nil {
			return err
		}
		if s.compare(last) <= 0 {
			return fmt.Errorf("%w: the statement of event %d is not in its place", ErrFormat, s.Leaf.Seq)
		}
		last = s
	}
	return nil
}
