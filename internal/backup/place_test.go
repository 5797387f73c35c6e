package backup_test

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"testing"

	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/s3test"
)

var (
	key    = ed25519.NewKeyFromSeed(make([]byte, 32))
	public = key.Public().(ed25519.PublicKey)
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// place is an empty target, and ways into it that a target does not have.
type place struct {
	target backup.Target
	file   func(name string) string // where the object of a name is
	leave  func(t *testing.T)       // leaves what an interrupted Put leaves
	left   func(t *testing.T) []string
}

func dirPlace(t *testing.T) place {
	root := t.TempDir()
	d, err := backup.CreateDir(root)
	must(t, err)
	return place{target: d, file: func(name string) string { return filepath.Join(root, name) },
		leave: func(t *testing.T) { must(t, os.WriteFile(filepath.Join(root, "new-left"), []byte("x"), 0o600)) },
		left: func(t *testing.T) []string {
			found, err := filepath.Glob(filepath.Join(root, "new-*"))
			must(t, err)
			return found
		}}
}

const location = "s3://" + s3test.Bucket + "/ledgers/a"

func s3Place(t *testing.T) place { return s3PlaceOf(t, s3test.Start(t)) }

func s3PlaceOf(t *testing.T, server *s3test.Server) place {
	s, err := backup.CreateS3(t.Context(), location)
	must(t, err)
	return place{target: s, file: func(name string) string { return server.File("ledgers/a/" + name) },
		leave: func(t *testing.T) {
			if s.LeaveParts(t, "files/left"); len(s.Uploads(t)) != 1 {
				t.Fatalf("uploads %q", s.Uploads(t))
			}
		},
		left: func(t *testing.T) []string { return s.Uploads(t) }}
}

// ledger is a node with some records, and a place for its backups.
type ledger struct {
	*nodetest.Cluster
	place
	t       *testing.T
	records *nodetest.Records
	epoch   int64
}

func newLedger(t *testing.T, p place) *ledger {
	return &ledger{Cluster: nodetest.Start(t, 1), place: p, t: t, records: nodetest.NewRecords(t)}
}

// eachPlace runs a test with every kind of target.
func eachPlace(t *testing.T, test func(t *testing.T, l *ledger)) {
	for name, empty := range map[string]func(*testing.T) place{"directory": dirPlace, "s3": s3Place} {
		t.Run(name, func(t *testing.T) { test(t, newLedger(t, empty(t))) })
	}
}
