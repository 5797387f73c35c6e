package export

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/recount-ledger/recount/internal/verify"
)

// Bounds, in bytes, of what Check reads at once from a directory that may be hostile. A ledger of 10,000 policies
// and 10,000 keys needs less than half of each. Decoded, a text takes a few times its size.
const (
	maxManifest = 8 << 20  // the manifest, and SHA256SUMS
	maxList     = 64 << 20 // the list of the keys, of the policies, or of the generations
	maxLine     = 16 << 20 // a line of an NDJSON file: the largest record is 4 MiB, 6 in base64
)

// CheckOptions give Check what is not in the directory. Fields with zero values are not used.
type CheckOptions struct {
	Secrets  []verify.Key // HMAC keys, to check their signatures with
	Sum      string       // the expected sum of the manifest, from another source
	Recount  bool         // fold the whole ledger again, in memory, if the export starts at the first event
	Progress Progress
}

// checker is one run of Check.
type checker struct {
	CheckOptions
	*board
	ctx context.Context
	dir string
	m   *Manifest
}

// Check checks a directory without a node. It returns an error if the directory cannot be read. Faults of its
// content are in the report.
func Check(ctx context.Context, dir string, o CheckOptions) (*Report, error) {
	if info, err := os.Stat(dir); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is no directory", dir)
	}
	within, err := filepath.EvalSymlinks(dir) // a link to an export is one; in it there are none
	if err != nil {
		return nil, err
	}
	c := &checker{CheckOptions: o, board: newBoard(), ctx: ctx, dir: within}
	r := &Report{Dir: dir}
	if err := c.manifest(); err != nil {
		return nil, err
	}
	if c.m == nil {
		return c.into(r), nil
	}
	r.ClusterID, r.FromSeq, r.ToSeq, r.Shard = c.m.ClusterID, c.m.Range.FromSeq, c.m.Range.ToSeq, c.m.Range.Shard
	r.LogDigest, r.Sum = c.m.End.Log, c.m.Sum
	if err := c.files(); err != nil {
		return nil, err
	}
	// the other checks would not be about the files that the manifest describes
	if c.failed(CheckManifest) || c.failed(CheckFiles) {
		return c.into(r), nil
	}
	if err := c.contents(); err != nil {
		return nil, err
	}
	return c.into(r), nil
}

func (c *checker) manifest() error {
	c.begin(CheckManifest, "unchanged, its sum fits")
	text, err := c.read(ManifestFile, maxManifest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.fault(CheckManifest, "%s is missing: this is no export, or a part of one", ManifestFile)
		return nil
	case errors.Is(err, ErrFormat):
		c.fault(CheckManifest, "%v", err)
		return nil
	case err != nil:
		return err
	}
	c.looked(CheckManifest)
	m, err := ParseManifest(text)
	if err != nil {
		c.fault(CheckManifest, "%v", err)
		return nil
	}
	c.m = m
	return c.manifestFits(m, text)
}

// manifestFits compares the members of the manifest with each other, with the sum that is known from elsewhere
// and with SHA256SUMS.
func (c *checker) manifestFits(m *Manifest, text []byte) error {
	r := m.Range
	if r.FromSeq == 0 || r.ToSeq < r.FromSeq || m.End.Seq != r.ToSeq || (m.Before == nil) != (r.FromSeq == 1) ||
		m.Before != nil && m.Before.Seq != r.FromSeq-1 {
		c.fault(CheckManifest, "the range %d to %d does not fit the positions of its digests", r.FromSeq, r.ToSeq)
	}
	if what := rangeOf(m); what != "" {
		c.fault(CheckManifest, "the range %d to %d: %s", r.FromSeq, r.ToSeq, what)
	}
	if c.Sum != "" && !strings.EqualFold(c.Sum, m.Sum) {
		c.fault(CheckManifest, "its sum is %s, not %s: this is another export", m.Sum, c.Sum)
	}
	sums, err := c.read(SumsFile, maxManifest)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrFormat) {
		return err
	}
	if !bytes.Equal(sums, m.Sums(text)) {
		c.fault(CheckManifest, "%s is missing or says other hashes than the manifest", SumsFile)
	}
	return nil
}

// read returns a whole file, which must be a regular file of at most limit bytes.
func (c *checker) read(name string, limit int64) ([]byte, error) {
	path := filepath.Join(c.dir, filepath.FromSlash(name))
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s is no ordinary file", ErrFormat, name)
	case info.Size() > limit:
		return nil, fmt.Errorf("%w: %s has %d bytes, more than %d", ErrFormat, name, info.Size(), limit)
	}
	return os.ReadFile(path)
}

// files compares the directory with the list in the manifest.
func (c *checker) files() error {
	c.begin(CheckFiles, "unchanged, none missing, none more")
	listed := map[string]File{}
	for i, f := range c.m.Files {
		if i > 0 && f.Name <= c.m.Files[i-1].Name {
			c.fault(CheckFiles, "the manifest lists %q out of order", f.Name)
		}
		if !knownFile(f.Name) {
			c.fault(CheckFiles, "the manifest lists %q, which no export has", f.Name)
		}
		listed[f.Name] = f
	}
	for _, name := range plainFiles {
		if _, ok := listed[name]; !ok {
			c.fault(CheckFiles, "the manifest does not list %s", name)
		}
	}
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err = errors.Join(err, c.ctx.Err()); err != nil {
			return err
		}
		rel, err := filepath.Rel(c.dir, path)
		if name := filepath.ToSlash(rel); err == nil && name != "." && name != ManifestFile && name != SumsFile {
			err = c.file(name, d, listed)
		}
		return err
	})
	for _, f := range c.m.Files {
		if _, missing := listed[f.Name]; missing {
			c.fault(CheckFiles, "%s is missing", f.Name)
		}
	}
	return err
}

// file compares one file and removes it from the expected ones.
func (c *checker) file(name string, d fs.DirEntry, listed map[string]File) error {
	if d.IsDir() && name == PoliciesDir {
		return nil
	}
	want, ok := listed[name]
	switch {
	case !ok:
		c.fault(CheckFiles, "%q is no part of the export", name)
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	case !d.Type().IsRegular():
		c.fault(CheckFiles, "%s is no ordinary file", name)
		delete(listed, name)
		return nil
	}
	delete(listed, name)
	c.looked(CheckFiles)
	size, sum, err := sumFile(filepath.Join(c.dir, filepath.FromSlash(name)))
	switch {
	case err != nil:
		return err
	case size != want.Size:
		c.fault(CheckFiles, "%s has %d bytes, not %d", name, size, want.Size)
	case sum != want.SHA256:
		c.fault(CheckFiles, "%s was changed: SHA-256 %s, not %s", name, sum, want.SHA256)
	}
	return nil
}

// knownFile reports whether an export may have a file of this name.
func knownFile(name string) bool {
	if slices.Contains(plainFiles, name) {
		return true
	}
	rest, inside := strings.CutPrefix(name, PoliciesDir+"/")
	id, isJSON := strings.CutSuffix(rest, ".json")
	if !isJSON {
		var isYAML bool
		if id, isYAML = strings.CutSuffix(rest, ".yaml"); !isYAML {
			return false
		}
	}
	_, err := hash(id)
	return inside && err == nil
}

// readList reads a JSON document that is a list, in the one text that an export has of it. It compares each item
// with its text before it decodes the next one, so a text of many empty items is refused at the first of them.
func readList[T any](c *checker, name string) (list []T, err error) {
	text, err := c.read(name, maxList)
	if err != nil {
		return nil, err
	}
	if empty := string(text); empty == "[]\n" || empty == "null\n" {
		return nil, nil
	}
	other := fmt.Errorf("%w: %s is another text of its value than an export has", ErrFormat, name)
	if !onLines(text) {
		return nil, other
	}
	dec, rest, before := json.NewDecoder(bytes.NewReader(text)), text, "[\n  "
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrFormat, name, err)
	}
	for ; dec.More(); before = ",\n  " {
		var item T
		if err := dec.Decode(&item); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrFormat, name, err)
		}
		again, err := json.MarshalIndent(item, "  ", "  ")
		if err != nil {
			return nil, err
		}
		var found bool
		if rest, found = bytes.CutPrefix(rest, append([]byte(before), again...)); !found {
			return nil, other
		}
		list = append(list, item)
	}
	if string(rest) != "\n]\n" {
		return nil, other
	}
	return list, nil
}
