package disk

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ballastFile takes room that is given back when the disk is full.
const ballastFile = "ballast"

// ballastShare is the part of a small disk that the ballast takes at most: one fiftieth.
const ballastShare = 50

// ballastFreed is the free space below which the ballast is given back, in bytes.
const ballastFreed = 64 << 20

// Reserve returns how many bytes the ballast takes of a disk of total bytes when a node asks for some.
func Reserve(asked int64, total uint64) uint64 {
	return min(uint64(max(0, asked)), total/ballastShare)
}

func (s *Space) ballastPath() string { return filepath.Join(s.o.Dir, ballastFile) }

// ballastBytes returns how large the ballast has to be.
func (s *Space) ballastBytes() uint64 {
	if s.o.Ballast <= 0 || s.o.Virtual {
		return 0
	}
	_, total := s.now()
	return Reserve(s.o.Ballast, total)
}

// BallastMissing returns the bytes of the ballast that are not there: given back, or not made yet. They do not count as
// free.
func (s *Space) BallastMissing() uint64 {
	want := s.ballastBytes()
	if st, err := os.Stat(s.ballastPath()); err == nil {
		want -= min(want, uint64(st.Size()))
	}
	return want
}

// FreeBallast gives the ballast back when the disk is full. Call it before the stores open. Run calls it while they are
// open.
func (s *Space) FreeBallast() error {
	if s.o.Virtual {
		return nil
	}
	if free, _ := s.now(); free >= ballastFreed {
		return nil
	}
	err := os.Remove(s.ballastPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	s.o.Logger.Warn("the disk is full: the ballast is released; free space, submissions are refused until then",
		"error", err)
	return err
}

// Run makes the ballast when there is room for it, and gives it back when the disk is full, until ctx ends. It
// returns the error of ctx.
func (s *Space) Run(ctx context.Context) error {
	tick := time.NewTicker(CheckEvery)
	defer tick.Stop()
	for {
		if err := s.FreeBallast(); err != nil {
			s.o.Logger.Warn("the ballast could not be given back", "error", err)
		}
		if missing := s.BallastMissing(); missing > 0 {
			if free, _ := s.now(); free > missing+2*s.Needed() {
				s.makeBallast()
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Space) makeBallast() {
	f, err := os.OpenFile(s.ballastPath(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		err = errors.Join(allocate(f, int64(s.ballastBytes())), f.Close())
	}
	if err != nil {
		s.o.Logger.Debug("no ballast", "error", err)
		_ = os.Remove(s.ballastPath())
	}
}
