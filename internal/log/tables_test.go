package log

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// TestTablesAreCompressed: records in hex take clearly less room in tables than they have bytes, and are read back unchanged after
// a restart.
func TestTablesAreCompressed(t *testing.T) {
	fs := vfs.NewMem()
	s, _ := openMem(t, fs, Options{})
	digits := rand.NewChaCha8([32]byte{1})
	want, payload := map[uint64][]byte{}, 0
	for i := uint64(1); i <= 400; i++ {
		random := make([]byte, 96)
		_, err := digits.Read(random)
		must(t, err)
		text := hex.EncodeToString(random)
		want[i] = fmt.Appendf(nil, `{"pcs_id":%q,"merkle_root":%q,"sig":%q,"shard_id":"shard-1","version":"0.1","epoch":%d}`,
			text[:64], text[64:128], text[128:], i)
		payload += len(want[i])
		must(t, s.StoreLogs([]*raft.Log{{Index: i, Term: 1, Type: raft.LogCommand, Data: want[i]}}))
	}
	must(t, s.db.Flush())
	tables, err := s.tables()
	must(t, err)
	size := 0
	for _, name := range tables {
		size += len(readAll(t, fs, name))
	}
	if len(tables) == 0 || size > payload*4/5 {
		t.Errorf("%d bytes of records take %d bytes in %d tables", payload, size, len(tables))
	}
	must(t, s.Close())
	s, _ = openMem(t, fs, Options{})
	for i := range want {
		var l raft.Log
		must(t, s.GetLog(i, &l))
		if string(l.Data) != string(want[i]) {
			t.Fatalf("entry %d is %q, was %q", i, l.Data, want[i])
		}
	}
	must(t, s.Close())
}
