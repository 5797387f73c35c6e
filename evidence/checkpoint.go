package evidence

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Checkpoint commits a ledger to its history: its origin, the number of its events and the root of their tree.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   [32]byte
	// Extra holds further lines. Ledgers write none, and nothing depends on them.
	Extra []string
}

// OriginOf returns the origin of the ledger with this cluster id.
func OriginOf(clusterID string) string { return "recount/" + clusterID }

// Text returns the body of the note, as in C2SP tlog-checkpoint: the origin, the size in decimal, the root in
// base64 and any extra lines, each with a line feed.
func (c Checkpoint) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
	for _, line := range c.Extra {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// ParseCheckpoint reads what Text writes, and nothing else. It checks no signature: OpenCheckpoint does.
func ParseCheckpoint(text string) (c Checkpoint, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[len(lines)-1] != "" {
		return c, fmt.Errorf("%w: a checkpoint has at least three lines", ErrFormat)
	}
	c.Origin = lines[0]
	if c.Size, err = strconv.ParseUint(lines[1], 10, 64); err != nil || c.Size > maxTree {
		return Checkpoint{}, fmt.Errorf("%w: size of a checkpoint", ErrFormat)
	}
	if c.Root, err = parseHash(lines[2]); err != nil {
		return Checkpoint{}, err
	}
	if len(lines) > 4 {
		c.Extra = lines[3 : len(lines)-1]
	}
	if err := c.check(); err != nil {
		return Checkpoint{}, err
	}
	if c.Text() != text {
		return Checkpoint{}, fmt.Errorf("%w: another encoding of a checkpoint", ErrFormat)
	}
	return c, nil
}

// check refuses a checkpoint whose text would be read as another one, or that no tree has.
func (c Checkpoint) check() error {
	switch {
	case !validName(c.Origin):
		return fmt.Errorf("%w: origin %q", ErrFormat, c.Origin)
	case c.Size > maxTree:
		return fmt.Errorf("%w: size %d", ErrFormat, c.Size)
	case c.Size == 0 && c.Root != sha256.Sum256(nil):
		return fmt.Errorf("%w: the root of an empty tree", ErrFormat)
	}
	for _, line := range c.Extra {
		if line == "" || strings.ContainsRune(line, '\n') {
			return fmt.Errorf("%w: extra line %q", ErrFormat, line)
		}
	}
	return nil
}

// validName reports whether a name can stand in a signature line, as in C2SP signed-note. An origin is one.
func validName(name string) bool {
	return name != "" && utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool {
		return r == '+' || unicode.IsSpace(r) || unicode.IsControl(r)
	})
}

// parseHash reads 32 bytes in base64 with padding.
func parseHash(text string) (h [32]byte, err error) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != len(h) || len(text) != base64.StdEncoding.EncodedLen(len(h)) {
		return h, fmt.Errorf("%w: %q is not a hash of 32 bytes in base64", ErrFormat, text)
	}
	return [32]byte(b), nil
}
