package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/recount-ledger/recount/internal/secretfile"
	"github.com/recount-ledger/recount/internal/verify"
)

// privateKeys are the settings that name the file of a private key.
var privateKeys = []string{"api.key_file", "peer.key_file", "checkpoint_key_file"}

// checkKeyFiles rejects private keys that others may read or change. A missing file is reported when it is
// used.
func (v values) checkKeyFiles() error {
	var errs []error
	for _, key := range privateKeys {
		path := v.text[key]
		if path == "" {
			continue
		}
		if err := secretfile.Check(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, wrapped(key, err))
		}
	}
	return errors.Join(errs...)
}

func wrapped(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// settingOf finds a setting by its key. It returns the zero setting if there is none.
func settingOf(key string) setting {
	for _, s := range settings {
		if s.key == key {
			return s
		}
	}
	return setting{}
}

// rereadKeys returns a function that reads the keys of the settings again, or nil if none of them is in a file
// that can change. If the contents have not changed, a call costs a few system calls.
func (v values) rereadKeys() func() ([]verify.Key, error) {
	files := map[string]string{}
	for _, key := range keySettings {
		if path := v.text[key+"_file"]; path != "" && secretfile.IsRegular(path) {
			files[key] = path
		}
	}
	if len(files) == 0 {
		return nil
	}
	return func() ([]verify.Key, error) {
		now := values{text: map[string]string{}}
		for _, key := range append([]string{"pcs_sign_alg"}, keySettings...) {
			now.text[key] = v.text[key]
		}
		var errs []error
		for _, key := range keySettings {
			if path := files[key]; path != "" {
				text, err := settingOf(key).read(path)
				if err == nil && strings.Trim(text, ",") == "" {
					err = fmt.Errorf("%s holds no key", path)
				}
				now.text[key] = text
				errs = append(errs, wrapped(key+"_file", err))
			}
		}
		if err := errors.Join(errs...); err != nil {
			return nil, err
		}
		return now.keys()
	}
}
