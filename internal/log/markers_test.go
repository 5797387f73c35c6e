package log

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/test/crashfs"
)

// markerCuts is a disk whose power goes after each change of a marker, with several outcomes.
type markerCuts struct {
	crashfs.FS
	shots []crashfs.FS
}

func (m *markerCuts) changed(name string) {
	if !strings.HasPrefix(m.PathBase(name), markerPrefix) {
		return
	}
	for seed := range uint64(32) {
		rng := rand.New(rand.NewPCG(seed, uint64(len(m.shots))))
		m.shots = append(m.shots, m.Cut(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng}))
	}
}

func (m *markerCuts) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := m.FS.Create(name, category)
	m.changed(name)
	return f, err
}

func (m *markerCuts) Remove(name string) error {
	err := m.FS.Remove(name)
	m.changed(name)
	return err
}

// TestPowerCutsAtMarkers takes the power while an opening database moves to another manifest. A random history of members
// found a node that could not start again: the marker was kept, and the manifest that it names was lost.
func TestPowerCutsAtMarkers(t *testing.T) {
	disk := &markerCuts{FS: crashfs.New()}
	s, _ := openMem(t, disk.FS, Options{})
	must(t, s.StoreLogs(entries(1, 20, 1, 100)))
	must(t, s.Close())
	s, err := Open("node/events", Options{FS: disk})
	must(t, err)
	must(t, s.Close())
	if len(disk.shots) < 2*32 {
		t.Fatalf("%d power cuts: no marker was moved", len(disk.shots))
	}
	for i, shot := range disk.shots {
		s, err := Open("node/events", Options{FS: shot})
		if err != nil {
			t.Fatalf("after cut %d: %v", i, err)
		}
		if last, err := s.LastIndex(); err != nil || last != 20 {
			t.Errorf("after cut %d the last entry is %d, %v", i, last, err)
		}
		must(t, s.Close())
	}
	t.Logf("%d power cuts", len(disk.shots))
}
