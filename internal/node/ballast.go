package node

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// ballastFile takes room that is given back when the disk is full, so that a node can start, serve reads and stop then.
const ballastFile = "ballast"

// ballastShare is the part of a small disk that the ballast takes at most.
const ballastShare = 50

// ballastFreed is the free space below which the ballast is given back.
const ballastFreed = 64 << 20

func (n *Node) ballastPath() string { return filepath.Join(n.cfg.Dir, ballastFile) }

// ballastBytes is how large the ballast has to be.
func (n *Node) ballastBytes() uint64 {
	if n.cfg.Ballast <= 0 || n.cfg.FS != nil {
		return 0
	}
	_, total := n.diskNow()
	return min(uint64(n.cfg.Ballast), total/ballastShare)
}

// ballastMissing is the part of the ballast that is not there: intake leaves it free.
func (n *Node) ballastMissing() uint64 {
	want := n.ballastBytes()
	if st, err := os.Stat(n.ballastPath()); err == nil {
		want -= min(want, uint64(st.Size()))
	}
	return want
}

// freeBallast gives the ballast back when the disk is full. It is called before the stores open, and while they run.
func (n *Node) freeBallast() error {
	if n.cfg.FS != nil {
		return nil
	}
	if free, _ := n.diskNow(); free >= ballastFreed {
		return nil
	}
	err := os.Remove(n.ballastPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	n.log.Warn("the disk is full: the ballast is given back; make room, submissions are refused until then", "error", err)
	return err
}

// keepBallast makes the ballast when there is room for it, and gives it back when the disk is full.
func (n *Node) keepBallast(ctx context.Context) error {
	for {
		if err := n.freeBallast(); err != nil {
			n.log.Warn("the ballast could not be given back", "error", err)
		}
		if missing := n.ballastMissing(); missing > 0 {
			if free, _ := n.diskNow(); free > missing+2*n.diskFreeze() {
				n.makeBallast()
			}
		}
		if err := pause(ctx, diskCheckEvery); err != nil {
			return err
		}
	}
}

func (n *Node) makeBallast() {
	f, err := os.OpenFile(n.ballastPath(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		err = errors.Join(allocate(f, int64(n.ballastBytes())), f.Close())
	}
	if err != nil {
		n.log.Debug("no ballast", "error", err)
		_ = os.Remove(n.ballastPath())
	}
}
