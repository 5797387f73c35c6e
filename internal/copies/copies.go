// Package copies keeps copies of the log of a running node, so that their files can be read over the network: for a
// backup, or to seed another node.
//
//	POST /v1/copies                      Create: entries up to the one that the node has folded last
//	GET  /v1/copies/{id}                 Copy: "preparing" while the files are hashed, then "ready"
//	GET  /v1/copies/{id}/files/{name}    Open: each file, from any byte on
//	DELETE /v1/copies/{id}               Remove
//
// Tables of a copy are hard links to those of the log, so a copy costs little space at first. Hashes of tables are
// remembered, so a second copy reads only what is new. All reads together stay below Options.Rate.
//
// A copy that nobody uses for Options.Life is removed, and so is every copy when the node starts or the disk is short. There are at most
// maxCopies. The package does not look into the files and does not know what they are for.
package copies

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/pause"
	"github.com/recount-ledger/recount/wire"
)

// maxCopies bounds the copies of a node, because each keeps the space of tables that the log has dropped.
const maxCopies = 4

// Errors of a manager.
var (
	ErrNotFound = errors.New("copies: no such copy or file")
	ErrNotReady = errors.New("copies: the files of this copy are still being hashed")
	ErrTooMany  = errors.New("copies: this node has as many copies as it keeps; remove one, or wait until one expires")
	ErrDisk     = errors.New("copies: too little disk space for a copy")
)

// At is the end of a copy: where it ends and the digests there.
type At struct {
	Position wire.CopyPosition
	Digest   wire.CopyDigest
}

// Options of a manager. All fields must be set.
type Options struct {
	Dir             string // for the copies, on the file system of the log
	Node, ClusterID string
	Rate            int64         // bytes per second that are read, 0 for no bound
	Life            time.Duration // of a copy that nobody uses
	Short           func() bool   // reports that the disk has too little space
	Logger          *slog.Logger

	// Make creates dir with a copy of the log that ends at the returned place.
	Make func(ctx context.Context, dir string) (At, error)
}

// Manager keeps the copies of one node. It is safe for concurrent use.
type Manager struct {
	o    Options
	pace pacer
	sums *sums

	making  sync.Mutex     // one copy at a time
	running sync.WaitGroup // preparations

	mu     sync.Mutex
	ctx    context.Context // of Run, which ends what is being prepared
	copies []*copyOf
}

// copyOf is one copy. The fields below dir are guarded by Manager.mu.
type copyOf struct {
	dir    string
	answer wire.CopyAnswer
	used   time.Time
	users  int // open files, and the preparation
	cancel context.CancelFunc
	gone   bool // removed: the files go with the last user
}

type file struct {
	wire.CopyFile
	modified int64 // Unix nanoseconds
}

// New returns a manager after it has removed what an earlier process has left.
func New(o Options) (*Manager, error) {
	if err := durable.MkdirAll(nil, o.Dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := os.RemoveAll(filepath.Join(o.Dir, e.Name())); err != nil {
				return nil, err
			}
		}
	}
	return &Manager{o: o, pace: pacer{rate: o.Rate}, sums: openSums(o.Dir)}, nil
}

// Run removes copies that nobody uses, until ctx ends. Then it ends their preparation.
func (m *Manager) Run(ctx context.Context) error {
	m.mu.Lock()
	m.ctx = ctx
	m.mu.Unlock()
	for pause.For(ctx, min(m.o.Life/4, time.Minute)) == nil {
		m.expire(time.Now())
	}
	m.mu.Lock()
	for _, c := range m.copies {
		c.cancel()
	}
	m.mu.Unlock()
	m.making.Lock() // until the copy that is being made has ended
	defer m.making.Unlock()
	m.running.Wait()
	return ctx.Err()
}

// expire removes the copies that nobody uses, and all of them while the disk is short: whoever reads one can hold it
// as long as it likes, and with it the space of tables that the log has dropped.
func (m *Manager) expire(now time.Time) {
	short := m.o.Short()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range slices.Clone(m.copies) {
		switch {
		case short:
			m.o.Logger.Warn("removing a copy of the log because the disk is short of space", "copy", c.answer.ID)
			m.drop(c)
		case c.users == 0 && now.Sub(c.used) > m.o.Life:
			m.o.Logger.Info("removing a copy of the log that nobody uses", "copy", c.answer.ID)
			m.drop(c)
		}
	}
}

// Create makes a copy and begins to hash its files. It fails with ErrTooMany and ErrDisk.
func (m *Manager) Create(ctx context.Context) (wire.CopyAnswer, error) {
	m.making.Lock()
	defer m.making.Unlock()
	if err := m.mayCreate(); err != nil {
		return wire.CopyAnswer{}, err
	}
	id := strings.ToLower(rand.Text())
	c := &copyOf{dir: filepath.Join(m.o.Dir, id), used: time.Now(), users: 1}
	at, err := m.o.Make(ctx, c.dir)
	if err = errors.Join(err, ctx.Err()); err != nil { // nobody waits for the answer any more, or it failed
		return wire.CopyAnswer{}, errors.Join(err, os.RemoveAll(c.dir))
	}
	files, err := list(c.dir)
	if err != nil {
		return wire.CopyAnswer{}, errors.Join(err, os.RemoveAll(c.dir))
	}
	c.answer = wire.CopyAnswer{ID: id, Node: m.o.Node, ClusterID: m.o.ClusterID, State: wire.CopyPreparing,
		CreatedAt: wire.Time(c.used), Position: at.Position, Digest: at.Digest}
	for i := range files {
		c.answer.Bytes += files[i].Size
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var hashing context.Context
	hashing, c.cancel = context.WithCancel(m.ctx)
	m.copies = append(m.copies, c)
	m.o.Logger.Info("made a copy of the log", "copy", id, "seq", at.Position.Seq, "bytes", c.answer.Bytes)
	m.running.Go(func() { m.prepare(hashing, c, files) })
	return m.answerOf(c), nil
}

func (m *Manager) mayCreate() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.ctx == nil || m.ctx.Err() != nil:
		return context.Canceled
	case len(m.copies) >= maxCopies:
		return ErrTooMany
	case m.o.Short():
		return ErrDisk
	}
	return nil
}

// list returns the files of a copy, by name, without hashes.
func list(dir string) ([]file, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []file
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		if e.Type().IsRegular() && e.Name() != "LOCK" {
			out = append(out, file{wire.CopyFile{Name: e.Name(), Size: info.Size()}, info.ModTime().UnixNano()})
		}
	}
	slices.SortFunc(out, func(a, b file) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// prepare hashes the files.
func (m *Manager) prepare(ctx context.Context, c *copyOf, files []file) {
	err := m.hashAll(ctx, c, files)
	if err == nil {
		err = m.sums.keep(files)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		c.answer.State, c.answer.Error = wire.CopyFailed, "the node is stopping, or the copy was removed"
	case err != nil:
		m.o.Logger.Error("a copy of the log could not be read", "copy", c.answer.ID, "error", err)
		c.answer.State, c.answer.Error = wire.CopyFailed, "its files cannot be read; the log of the node has the reason"
	default:
		c.answer.State = wire.CopyReady
		for i := range files {
			c.answer.Files = append(c.answer.Files, files[i].CopyFile)
		}
	}
	m.release(c)
}

// release ends one use. m.mu must be held.
func (m *Manager) release(c *copyOf) {
	c.users--
	c.used = time.Now()
	if c.gone && c.users == 0 {
		m.removeFiles(c)
	}
}

func (m *Manager) removeFiles(c *copyOf) {
	if err := os.RemoveAll(c.dir); err != nil {
		m.o.Logger.Error("a copy of the log could not be removed", "dir", c.dir, "error", err)
	}
}

// drop removes a copy, now or with its last user. m.mu must be held.
func (m *Manager) drop(c *copyOf) {
	m.copies = slices.DeleteFunc(m.copies, func(o *copyOf) bool { return o == c })
	c.gone = true
	c.cancel()
	if c.users == 0 {
		m.removeFiles(c)
	}
}

func (m *Manager) answerOf(c *copyOf) wire.CopyAnswer {
	a := c.answer
	a.ExpiresAt = wire.Time(c.used.Add(m.o.Life))
	a.Files = slices.Clone(a.Files)
	return a
}

func (m *Manager) find(id string) (*copyOf, error) {
	for _, c := range m.copies {
		if c.answer.ID == id {
			return c, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
}

// Copies returns the copies, oldest first, without their files.
func (m *Manager) Copies() []wire.CopyAnswer {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]wire.CopyAnswer, len(m.copies))
	for i, c := range m.copies {
		out[i] = m.answerOf(c)
		out[i].Files = nil
	}
	return out
}

// Copy returns a copy, which counts as a use of it. It fails with ErrNotFound.
func (m *Manager) Copy(id string) (wire.CopyAnswer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, err := m.find(id)
	if err != nil {
		return wire.CopyAnswer{}, err
	}
	c.used = time.Now()
	return m.answerOf(c), nil
}

// Remove removes a copy. Its space is free once no file of it is open. It fails with ErrNotFound.
func (m *Manager) Remove(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, err := m.find(id)
	if err != nil {
		return err
	}
	m.drop(c)
	return nil
}

// Open opens a file of a copy that is ready. The caller closes it. It fails with ErrNotFound and ErrNotReady.
func (m *Manager) Open(ctx context.Context, id, name string) (*File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, err := m.find(id)
	if err != nil {
		return nil, err
	}
	if c.answer.State != wire.CopyReady {
		return nil, ErrNotReady
	}
	i := slices.IndexFunc(c.answer.Files, func(f wire.CopyFile) bool { return f.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	f, err := os.Open(filepath.Join(c.dir, name))
	if err != nil {
		return nil, err
	}
	c.users++
	return &File{CopyFile: c.answer.Files[i], f: f, ctx: ctx, pace: &m.pace, done: func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.release(c)
	}}, nil
}
