package backup

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/pause"
	"github.com/recount-ledger/recount/wire"
)

// askEvery is the pause between two questions whether a copy is ready.
const askEvery = 200 * time.Millisecond

// removeTimeout bounds the time for which a backup tries to remove its copy from the node.
const removeTimeout = 10 * time.Second

// Options of Create.
type Options struct {
	Target Target
	Source client.Copies
	Key    ed25519.PrivateKey // signs the manifest
	Local  bool               // take what the node has, whether or not a majority knows more
	Tool   string
	At     time.Time
	// Progress is called during long stages. It may be nil. done and total are bytes.
	Progress func(stage string, done, total uint64)
}

// Create makes a backup of the log of one node. Only files that the target does not have are sent. The manifest is
// written last. An interrupted backup leaves files that the next one uses.
func Create(ctx context.Context, o Options) (m *Manifest, err error) {
	if o.Progress == nil {
		o.Progress = func(string, uint64, uint64) {}
	}
	unlock, err := o.Target.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	before, err := List(ctx, o.Target, nil)
	if err != nil {
		return nil, err
	}
	copied, remove, err := o.copy(ctx)
	defer func() { err = errors.Join(err, remove()) }()
	if err != nil {
		return nil, err
	}
	m = &Manifest{Format: Format, ID: newID(o.At), ClusterID: copied.ClusterID, Node: copied.Node,
		CreatedAt: wire.Time(o.At), Tool: o.Tool, Position: copied.Position, Digest: copied.Digest,
		Bytes: copied.Bytes, Files: copied.Files}
	if n := len(before); n > 0 {
		m.Previous = before[n-1].ID
		if c := before[n-1].ClusterID; c != m.ClusterID {
			return nil, fmt.Errorf("the target has backups of cluster %q, and the node is one of %q; name another "+
				"directory", c, m.ClusterID)
		}
	}
	if err := m.check(); err != nil { // nobody could read it, and it would stop all later backups
		return nil, fmt.Errorf("node %s has a copy that is no backup: %w", copied.Node, err)
	}
	if err := o.send(ctx, copied.ID, m); err != nil {
		return nil, err
	}
	raw, err := m.encode(o.Key)
	if err != nil {
		return nil, err
	}
	return m, o.Target.Put(ctx, manifestName(m.ID), func(w io.Writer) error {
		_, err := w.Write(raw)
		return err
	})
}

// copy has the node make a copy and waits until it is ready. remove must be called in any case.
func (o *Options) copy(ctx context.Context) (a *wire.CopyAnswer, remove func() error, err error) {
	consistency := wire.ConsistencyLinearizable
	if o.Local {
		consistency = wire.ConsistencyLocal
	}
	if a, err = o.Source.Create(ctx, consistency); err != nil {
		return nil, func() error { return nil }, err
	}
	id := a.ID
	remove = func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
		defer cancel()
		// The node removes it after a while by itself, so that the backup is none the worse.
		_ = o.Source.Remove(ctx, id)
		return nil
	}
	for a.State == wire.CopyPreparing {
		o.Progress("hash", uint64(a.Hashed), uint64(a.Bytes))
		if err := pause.For(ctx, askEvery); err != nil {
			return nil, remove, err
		}
		if a, err = o.Source.Get(ctx, id); err != nil {
			return nil, remove, err
		}
	}
	if a.State != wire.CopyReady {
		return nil, remove, fmt.Errorf("node %s could not prepare its copy: %s", a.Node, a.Error)
	}
	return a, remove, nil
}

// send puts the files into the target that are not there.
func (o *Options) send(ctx context.Context, copyID string, m *Manifest) error {
	var missing []wire.CopyFile
	for _, f := range m.Files {
		size, err := o.Target.Size(ctx, fileName(f.SHA256))
		switch {
		case errors.Is(err, ErrAbsent), err == nil && size != f.Size:
			missing = append(missing, f)
			m.NewBytes += f.Size
		case err != nil:
			return err
		}
	}
	done := uint64(0)
	o.Progress("send", done, uint64(m.NewBytes))
	for _, f := range missing {
		err := o.Target.Put(ctx, fileName(f.SHA256), func(w io.Writer) error {
			count := &counter{tell: func(n uint64) { o.Progress("send", done+n, uint64(m.NewBytes)) }}
			sum := sha256.New()
			to := &bounded{io.MultiWriter(w, sum, count), f}
			n, err := o.Source.File(ctx, copyID, f.Name, 0, to)
			if err != nil {
				return fmt.Errorf("read %s: %w", f.Name, err)
			}
			if n != f.Size || hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
				return fmt.Errorf("%w: %s came with other bytes than the node said", ErrDamaged, f.Name)
			}
			return nil
		})
		if err != nil {
			return err
		}
		done += uint64(f.Size)
	}
	return nil
}

// bounded takes no more bytes than a file has, so that a node cannot fill the disk of the target.
type bounded struct {
	io.Writer
	left wire.CopyFile
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left.Size -= int64(len(p)); b.left.Size < 0 {
		return 0, fmt.Errorf("%w: %s came with more bytes than the node said", ErrDamaged, b.left.Name)
	}
	return b.Writer.Write(p)
}

// counter counts the bytes that are written to it, for a display.
type counter struct {
	n    uint64
	tell func(n uint64)
}

func (c *counter) Write(b []byte) (int, error) {
	c.n += uint64(len(b))
	c.tell(c.n)
	return len(b), nil
}
