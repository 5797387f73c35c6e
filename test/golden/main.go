// Command golden makes a golden ledger: a small ledger of a released build that every later build must open and fold
// to the same digests. It runs three nodes of that build, plays what a ledger sees in its life, and writes
//
//	log.tar.gz     the directory events/ of one node after an ordinary stop
//	digests.json   the digests that the build gave, at several events and for every active generation
//
// A directory below testdata/golden-ledgers is written once and never changed. Usage:
//
//	go run ./test/golden -bin bin/recount-node -out testdata/golden-ledgers/v1.0
package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/recount-ledger/recount/test/harness"
	"github.com/recount-ledger/recount/wire"
)

// Names of the files of a golden ledger.
const (
	logFile     = "log.tar.gz"
	digestsFile = "digests.json"
)

// published is the content of digests.json.
type published struct {
	Build   string              `json:"build"` // that made the ledger
	Events  uint64              `json:"events"`
	Digests []wire.DigestAnswer `json:"digests"` // in the order of the log
}

func main() {
	bin := flag.String("bin", "bin/recount-node", "the released node")
	out := flag.String("out", "", "directory to write, which must not be there")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := run(ctx, *bin, *out); err != nil {
		fmt.Fprintln(os.Stderr, "golden:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin, out string) error {
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	root, err := harness.Root()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "recount-golden-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	build, err := exec.Command(bin, "version").Output()
	if err != nil {
		return fmt.Errorf("%s version: %w", bin, err)
	}
	port, err := harness.FreePort(3)
	if err != nil {
		return err
	}
	c, err := harness.Start(ctx, bin, filepath.Join(dir, "dev"), 3, port, harness.Keys...)
	if err != nil {
		return err
	}
	p := published{Build: strings.TrimSpace(string(build))}
	err = tell(ctx, c, root, &p)
	if err = errors.Join(err, c.Stop()); err != nil {
		return err
	}
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(out, digestsFile), append(text, '\n'), 0o644),
		pack(filepath.Join(c.NodeDir(0), "data", "events"), filepath.Join(out, logFile)))
}

// tell plays the story and keeps the digests.
func tell(ctx context.Context, c *harness.Cluster, root string, p *published) error {
	s, err := newStory(ctx, c, root)
	if err != nil {
		return err
	}
	defer s.c.Close()
	if err := s.play(); err != nil {
		return err
	}
	p.Digests = s.digests
	p.Events = s.digests[len(s.digests)-1].Seq
	return nil
}

// pack writes the files of dir into a compressed archive.
func pack(dir, to string) error {
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	zip := gzip.NewWriter(f)
	out := tar.NewWriter(zip)
	err = out.AddFS(onlyFiles{os.DirFS(dir)})
	return errors.Join(err, out.Close(), zip.Close(), f.Close())
}

// onlyFiles leaves out the lock file, which is not part of the data.
type onlyFiles struct{ fs.FS }

// ReadDir implements fs.ReadDirFS.
func (o onlyFiles) ReadDir(name string) (out []fs.DirEntry, err error) {
	all, err := fs.ReadDir(o.FS, name)
	for _, e := range all {
		if e.Name() != "LOCK" {
			out = append(out, e)
		}
	}
	return out, err
}
