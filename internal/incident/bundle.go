package incident

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// report is a Key or a Bypass.
type report interface{ WritePage(io.Writer) error }

// Write creates a directory with incident.json, index.html and the files in more, by name. Each file is
// replaced atomically.
func Write(dir string, r report, more map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var document, page bytes.Buffer
	enc := json.NewEncoder(&document)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := errors.Join(enc.Encode(r), r.WritePage(&page)); err != nil {
		return err
	}
	for name, content := range more {
		if err := replace(filepath.Join(dir, name), content); err != nil {
			return err
		}
	}
	if err := replace(filepath.Join(dir, "incident.json"), document.Bytes()); err != nil {
		return err
	}
	return replace(filepath.Join(dir, "index.html"), page.Bytes())
}

func replace(path string, content []byte) error {
	if err := os.WriteFile(path+".tmp", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
