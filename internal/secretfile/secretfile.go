// Package secretfile reads files that hold secrets. It rejects a file that others may read or change, and names
// the command that corrects it. It never puts a byte of the content into an error.
package secretfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// maxBytes bounds what is read: no list of keys and no certificate is larger.
const maxBytes = 1 << 20

// Errors of the functions, wrapped with the name of the file.
var (
	// ErrMode: somebody besides the owner and its group may read the file, or somebody besides the owner may change it.
	ErrMode = errors.New("unsafe mode")
	// ErrKind: a directory, a device or a file above 1 MiB.
	ErrKind = errors.New("not a secret file")
)

// Bits of a mode that a secret file, and one that only must not be changed, may not have.
const (
	secretBits = 0o026 // others read or write, group writes
	publicBits = 0o022
)

// Read returns the content of a secret file. It looks at the mode of what it has opened, behind every symbolic link.
func Read(path string) ([]byte, error) { return read(path, secretBits) }

// ReadPublic is Read for what everybody may know but only the owner may change, such as public keys.
func ReadPublic(path string) ([]byte, error) { return read(path, publicBits) }

// Check is Read for files that something else reads, such as private keys of certificates.
func Check(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return check(path, info, secretBits)
}

// IsRegular reports whether the file can be read again: a pipe gives its content once.
func IsRegular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func read(path string, forbidden fs.FileMode) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := check(path, info, forbidden); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxBytes {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrKind, path, maxBytes)
	}
	return b, nil
}

func check(path string, info fs.FileInfo, forbidden fs.FileMode) error {
	if m := info.Mode(); !m.IsRegular() && m&fs.ModeNamedPipe == 0 {
		return fmt.Errorf("%w: %s is neither a file nor a pipe", ErrKind, path)
	}
	bad := info.Mode().Perm() & forbidden
	if bad == 0 {
		return nil
	}
	who := "everybody on this machine can read it"
	switch {
	case bad&0o002 != 0:
		who = "everybody on this machine can change it"
	case bad&0o020 != 0:
		who = "its group can change it"
	}
	fix := "600"
	if forbidden == publicBits {
		fix = "644"
	}
	return fmt.Errorf("%w: %s has mode %04o, so %s; run: chmod %s %s", ErrMode, path, info.Mode().Perm(), who, fix,
		quote(path))
}

// quote quotes a name for a shell if necessary.
func quote(name string) string {
	plain := func(r rune) bool {
		return r == '/' || r == '.' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' ||
			r >= 'A' && r <= 'Z'
	}
	if strings.TrimFunc(name, plain) == "" {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}
