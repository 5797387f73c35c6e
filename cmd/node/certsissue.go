package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/recount-ledger/recount/internal/cluster/certs"
)

// issuance is one pair to create, or one certificate to sign. ca and base are base names of files.
type issuance struct {
	ca, base string
	request  certs.Request
	csr      []byte // signing request, PEM; nil makes a key, too
}

// make signs in memory. Without a key, the key is where the signing request came from.
func (i issuance) make() (crt, key []byte, err error) {
	ca, err := certs.LoadCA(filepath.Dir(i.ca), filepath.Base(i.ca))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, &usageError{fmt.Errorf("no authority %s: %w\nMake it with: recount-node certs create-ca %s",
			i.ca, err, i.ca)}
	case err != nil:
		return nil, nil, err
	case i.csr == nil:
		crt, key, err = ca.Issue(i.request)
	default:
		crt, err = ca.Sign(i.csr, i.request)
	}
	switch {
	case errors.Is(err, certs.ErrOutlives):
		err = fmt.Errorf("%w\nGive a shorter --validity, or replace the authority", err)
	case errors.Is(err, certs.ErrSigningRequest):
	default:
		return crt, key, err
	}
	return nil, nil, &usageError{err}
}

// issueAll creates everything in memory before it writes the first file.
func (c *certsRun) issueAll(todo ...issuance) error {
	var paths []string
	for _, i := range todo {
		paths = append(paths, i.base+".crt")
		if i.csr == nil {
			paths = append(paths, i.base+".key")
		}
	}
	if err := c.mayWrite(paths...); err != nil {
		return err
	}
	pairs := make([][2][]byte, len(todo))
	for k, i := range todo {
		crt, key, err := i.make()
		if err != nil {
			return err
		}
		pairs[k] = [2][]byte{crt, key}
	}
	for k, i := range todo {
		if err := c.write(i.base, pairs[k][0], pairs[k][1]); err != nil {
			return err
		}
	}
	return c.print()
}

// write writes a certificate, and its key if there is one.
func (c *certsRun) write(base string, crt, key []byte) error {
	dir, name := filepath.Dir(base), filepath.Base(base)
	if key == nil {
		if err := certs.WriteCert(dir, name, crt); err != nil {
			return err
		}
		return c.wrote(base + ".crt")
	}
	if err := certs.WritePair(dir, name, crt, key); err != nil {
		return err
	}
	return c.wrotePair(base)
}
