package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"sort"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"

	"github.com/recount-ledger/recount/internal/secretfile"
	"github.com/recount-ledger/recount/internal/verify"
)

func (v *values) loadFile(path string) error {
	texts, errs := yamlTexts(path)
	for i, err := range errs {
		errs[i] = fmt.Errorf("settings file %s: %w", path, err)
	}
	if texts == nil && len(errs) > 0 { // no settings at all; the library would quote from what may be a key
		v.unread = true
		return errors.Join(errs...)
	}
	k := koanf.New(".")
	if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
		v.unread = true
		return fmt.Errorf("settings file %s: %w", path, err)
	}
	if err := k.Unmarshal("voters", &v.voters); err != nil && len(errs) == 0 { // else yamlTexts has named the place
		errs = append(errs, fmt.Errorf("settings file %s: voters: %w", path, err))
	}
	v.from = "file " + path
	known := map[string]bool{"voters": true}
	for _, s := range settings {
		for _, suffix := range suffixes(s) {
			known[s.key+suffix] = true
		}
	}
	secret := false
	keys := k.Keys()
	sort.Strings(keys)
	for _, key := range keys {
		if !known[key] {
			errs = append(errs, fmt.Errorf("settings file %s: unknown key %q%s", path, key, didYouMean(key)))
			continue
		}
		if key == "voters" {
			continue
		}
		text, ok := texts[key]
		if !ok {
			continue // yamlTexts has reported why; the default stays
		}
		if (strings.HasSuffix(key, "_file") || key == "dir" || key == "audit_log.file") && text != "" &&
			!filepath.IsAbs(text) {
			text = filepath.Join(filepath.Dir(path), text)
		}
		v.set(key, text, "file "+path)
		if s := settingOf(key); s.secret && !s.public && text != "" {
			secret = true
		}
	}
	if secret {
		errs = append(errs, wrapped("settings file with a secret", secretfile.Check(path)))
	}
	return errors.Join(errs...)
}

// readSecrets replaces <key>_file by the content of the file.
func (v values) readSecrets() (errs []error) {
	for _, s := range settings {
		path := v.text[s.key+"_file"]
		if !s.secret || path == "" {
			continue
		}
		if v.text[s.key] != "" {
			errs = append(errs, fmt.Errorf("%s and %s_file: set one, not both", s.key, s.key))
			continue
		}
		text, err := s.read(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s_file: %w", s.key, err))
			continue
		}
		v.set(s.key, text, "file "+path)
	}
	return errs
}

// read returns the content of a secret's file without one final line feed. It rejects text that an editor has
// added to the secret. The caller decides about an empty file.
func (s setting) read(path string) (string, error) {
	read := secretfile.Read
	if s.public {
		read = secretfile.ReadPublic
	}
	b, err := read(path)
	if err != nil {
		return "", err
	}
	text, err := verify.ReadSecret(b)
	if err != nil && !errors.Is(err, verify.ErrEmptySecret) {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return string(text), nil
}
