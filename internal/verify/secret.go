package verify

import (
	"bytes"
	"errors"
	"unicode"
	"unicode/utf8"
)

// ReadSecret extracts the text of an HMAC key from the content of a file. It removes one final line feed and
// nothing else.
func ReadSecret(file []byte) ([]byte, error) {
	text := bytes.TrimSuffix(file, []byte("\n"))
	return text, CheckSecret(text)
}

// CheckSecret rejects a text that an editor or a copy has probably changed. Nobody means such bytes as a part
// of a key, and a key with them verifies nothing.
func CheckSecret(text []byte) error {
	control := func(r rune) bool { return unicode.IsControl(r) }
	switch {
	case len(text) == 0:
		return ErrEmptySecret
	case bytes.HasPrefix(text, []byte("\xef\xbb\xbf")), bytes.HasPrefix(text, []byte("\xff\xfe")),
		bytes.HasPrefix(text, []byte("\xfe\xff")):
		return errors.New("begins with a byte order mark; save it as UTF-8 without one")
	case bytes.IndexByte(text, 0) >= 0 || !utf8.Valid(text):
		return errors.New("is not UTF-8 text")
	case bytes.IndexByte(text, '\r') >= 0:
		return errors.New("has a carriage return; save it with line feeds only")
	case bytes.IndexByte(text, '\n') >= 0:
		return errors.New("has more than one line; several keys are separated by commas")
	case bytes.ContainsFunc(text, control):
		return errors.New("has a control character")
	case len(bytes.TrimSpace(text)) != len(text):
		return errors.New("begins or ends with a blank; take it out")
	}
	return nil
}
