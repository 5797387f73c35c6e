package export

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// allocated is the memory that f takes in all, also what it gives back meanwhile: more than it ever holds.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestHostileDocuments: a text of very many small values, which would take hundreds of times its size, is refused
// before it is decoded.
func TestHostileDocuments(t *testing.T) {
	const size = 4 << 20
	dir := t.TempDir()
	fill := func(begin, piece, end string) []byte {
		return []byte(begin + strings.Repeat(piece, size/len(piece)) + end)
	}
	for name, text := range map[string][]byte{
		"empty objects":              fill("[{}", ",{}", "]\n"),
		"empty objects, on lines":    fill("[\n  {}", ",\n  {}", "\n]\n"),
		"empty lists in an object":   fill(`[{"scope":[""`, `,""`, "]}]\n"),
		"empty lists, on lines":      fill("[\n  {\n    \"scope\": [\n      \"\"", ",\n      \"\"", "\n    ]\n  }\n]\n"),
		"nested lists":               fill("", "[", "\n"),
		"nulls":                      fill("[null", ",null", "]\n"),
		"blanks":                     fill("[", " ", "]\n"),
		"members of an unknown name": fill(`[{"a":0`, `,"a":0`, "}]\n"),
	} {
		must(t, os.WriteFile(filepath.Join(dir, KeysFile), text, 0o600))
		var err error
		took := allocated(func() { _, err = readList[wire.KeyAnswer](&checker{dir: dir}, KeysFile) })
		if !errors.Is(err, ErrFormat) || took > 24*size {
			t.Errorf("%s: %v, and %d MiB for a file of %d", name, err, took>>20, size>>20)
		}
		took = allocated(func() { _, err = ParseManifest(text) })
		if !errors.Is(err, ErrFormat) || took > 24*size {
			t.Errorf("%s as a manifest: %v, and %d MiB for a file of %d", name, err, took>>20, size>>20)
		}
	}
	manifest := fill(`{"format":1,"files":[{}`, ",{}", "]}\n")
	var err error
	if took := allocated(func() { _, err = ParseManifest(manifest) }); !errors.Is(err, ErrFormat) || took > 24*size {
		t.Errorf("a manifest of empty files: %v, and %d MiB", err, took>>20)
	}
}

// TestTooLarge: what is larger than its bound is refused by its size alone. A sparse file takes no disk.
func TestTooLarge(t *testing.T) {
	for name, l := range map[string]struct {
		limit int64
		check string
	}{
		ManifestFile:    {maxManifest, CheckManifest},
		SumsFile:        {maxManifest, CheckManifest},
		KeysFile:        {maxList, CheckKeys},
		PoliciesFile:    {maxList, CheckPolicies},
		GenerationsFile: {maxList, CheckGenerations},
		PoliciesDir + "/95ca8b018ff1b3ceac843203158072b515e8415bba681ca767d8a8ba7aa266d4.json": {verify.MaxPolicyBytes,
			CheckPolicies},
	} {
		dir := filepath.Join(t.TempDir(), "copy")
		must(t, os.CopyFS(dir, os.DirFS(kept)))
		must(t, os.Truncate(filepath.Join(dir, name), l.limit+1))
		if name != ManifestFile && name != SumsFile {
			must(t, Reseal(dir, nil))
		}
		var r *Report
		var err error
		took := allocated(func() { r, err = Check(t.Context(), dir, CheckOptions{}) })
		if err != nil || r.OK || took > 32<<20 {
			t.Fatalf("%s: %+v %v, %d MiB", name, r, err, took>>20)
		}
		for _, line := range r.Checks {
			says := strings.Join(line.Faults, "\n")
			if line.Check == l.check && !strings.Contains(says, fmt.Sprintf("%d bytes, more than %d", l.limit+1, l.limit)) &&
				name != SumsFile {
				t.Errorf("%s: %+v", name, line)
			}
		}
	}
}
