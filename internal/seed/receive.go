package seed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/pause"
	"github.com/recount-ledger/recount/wire"
)

// prepareStall bounds the time for which a member may hash no byte of its copy.
const prepareStall = time.Minute

// prepareLimit bounds the time for which a member may prepare its copy at all.
const prepareLimit = 24 * time.Hour

// checkMemory bounds the memory of the check, in bytes.
const checkMemory = 16 << 20

// plan names the copy that this node gets. A file here that is not of the plan is of no use.
type plan struct {
	Member string          `json:"member"`
	Copy   wire.CopyAnswer `json:"copy"`
}

func readPlan(dir string) (p plan, err error) {
	raw, err := os.ReadFile(filepath.Join(dir, planName))
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	return p, err
}

// dir is the directory in which the receiver works.
func (r *Receiver) dir() string {
	if r.o.Repair {
		return filepath.Join(r.o.Dir, repairName)
	}
	return filepath.Join(r.o.Dir, seedName)
}

func (r *Receiver) logDir() string { return filepath.Join(r.dir(), logName) }

// remove removes what was copied.
func (r *Receiver) remove() error {
	if r.o.Repair {
		return durable.RemoveDir(nil, r.logDir(), r.logDir()+droppedSuffix)
	}
	return Remove(r.o.Dir)
}

// call calls a member and reads its answer.
func (r *Receiver) call(ctx context.Context, limit time.Duration, member, path string, request, into any) error {
	var body []byte
	if request != nil {
		var err error
		if body, err = json.Marshal(request); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	raw, err := r.o.Call(ctx, member, path, body)
	if err != nil || into == nil {
		return err
	}
	return parse(raw, into)
}

// receive copies the log of a member and makes it ready.
func (r *Receiver) receive(ctx context.Context, member string) error {
	r.enter(Preparing, member)
	made, err := r.prepared(ctx, member)
	if err != nil {
		return err
	}
	if err = r.copyAll(ctx, member, made); err == nil {
		err = r.complete(ctx, made)
	}
	// What is damaged must not be given again. A member that does not hear this removes the copy by itself.
	if err == nil || errors.Is(err, errDamaged) {
		_ = r.call(ctx, askLimit, member, DonePath, part{ID: made.ID}, nil)
	}
	return err
}

// prepared waits until the copy of a member is ready.
func (r *Receiver) prepared(ctx context.Context, member string) (*wire.CopyAnswer, error) {
	var hashed int64 = -1
	began := time.Now()
	moved := began
	for {
		var a wire.CopyAnswer
		if err := r.call(ctx, callLimit, member, MakePath, nil, &a); err != nil {
			return nil, err
		}
		switch {
		case a.State == wire.CopyReady && a.Position.Index < r.o.AtLeast:
			_ = r.call(ctx, askLimit, member, DonePath, part{ID: a.ID}, nil) // the next one is newer
			return nil, fmt.Errorf("%w: to entry %d, needed is %d", errBehind, a.Position.Index, r.o.AtLeast)
		case a.State == wire.CopyReady:
			return &a, checkCopy(&a, member, r.o.ClusterID)
		case a.State != wire.CopyPreparing:
			return nil, fmt.Errorf("%w: the copy is %q", errBadAnswer, a.State)
		case a.Hashed > a.Bytes:
			return nil, fmt.Errorf("%w: %d of %d bytes of the copy are hashed", errBadAnswer, a.Hashed, a.Bytes)
		case a.Hashed > hashed:
			hashed, moved = a.Hashed, time.Now()
		}
		if time.Since(moved) > prepareStall || time.Since(began) > prepareLimit {
			return nil, fmt.Errorf("%w: its copy does not get ready", errBadAnswer)
		}
		if err := pause.For(ctx, 200*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// copyAll brings every file of the copy here.
func (r *Receiver) copyAll(ctx context.Context, member string, made *wire.CopyAnswer) error {
	if err := r.begin(member, made); err != nil {
		return err
	}
	if err := r.o.step("planned"); err != nil {
		return err
	}
	said := time.Now()
	say := func() {
		if time.Since(said) >= sayEvery {
			said = time.Now()
			s := r.Status()
			left, rate := s.left()
			r.o.Logger.Info("copying the log", "member", member, "bytes", s.Have, "of", s.Bytes,
				"mb_per_second", rate/1e6, "left", left)
		}
	}
	for i := range made.Files {
		if err := r.file(ctx, &download{member: member, id: made.ID, file: made.Files[i], say: say}); err != nil {
			return err
		}
		if err := r.o.step("file"); err != nil {
			return err
		}
	}
	return durable.SyncDir(nil, r.logDir())
}

// begin makes room: it keeps the files that an earlier attempt got of the same content, and writes the plan.
func (r *Receiver) begin(member string, made *wire.CopyAnswer) error {
	if err := durable.MkdirAll(nil, r.logDir(), 0o700); err != nil {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	old, err := readPlan(r.dir())
	if err != nil {
		old = plan{} // nothing can be trusted
	}
	have, err := keepSame(r.logDir(), old.Copy.Files, made.Files)
	if err != nil {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	if room := r.o.Room(); uint64(made.Bytes-have) > room {
		return fmt.Errorf("%w: %d bytes are missing, %d are free", errNoRoom, made.Bytes-have, room)
	}
	raw, err := json.Marshal(plan{Member: member, Copy: *made})
	if err == nil {
		err = durable.WriteFile(filepath.Join(r.dir(), planName), raw, 0o600)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	r.o.Logger.Info("copying the log", "member", member, "bytes", made.Bytes, "here", have, "files", len(made.Files),
		"seq", made.Position.Seq)
	r.change(func(s *Status) {
		s.Phase, s.Member, s.Bytes, s.Have = Copying, member, made.Bytes, 0
		s.began, s.have = time.Now(), 0
	})
	return nil
}

// keepSame removes the files of dir that are in no way a part of the new copy, and returns the bytes that stay.
func keepSame(dir string, old, made []wire.CopyFile) (have int64, err error) {
	was, is := map[string]wire.CopyFile{}, map[string]wire.CopyFile{}
	for _, f := range old {
		was[f.Name] = f
	}
	for _, f := range made {
		is[f.Name] = f
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return 0, err
		}
		want, wanted := is[e.Name()]
		if wanted && want == was[e.Name()] && info.Mode().IsRegular() && info.Size() <= want.Size {
			have += info.Size()
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return 0, err
		}
	}
	return have, nil
}

// complete checks the copy as a whole and marks it ready.
func (r *Receiver) complete(ctx context.Context, made *wire.CopyAnswer) error {
	r.change(func(s *Status) { s.Phase = Checking })
	if err := r.o.step("copied"); err != nil {
		return err
	}
	if err := r.check(ctx, made.Node, made.Position); err != nil {
		return err
	}
	if err := r.o.step("checked"); err != nil {
		return err
	}
	ready := filepath.Join(r.dir(), readyName)
	if err := durable.WriteFile(ready, fmt.Appendf(nil, "%d\n", made.Position.Index), 0o600); err != nil {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	if err := r.o.step("ready"); err != nil {
		return err
	}
	s := r.Status()
	r.o.Logger.Info("the log was copied", "member", s.Member, "bytes", s.Bytes, "seq", made.Position.Seq,
		"seconds", time.Since(s.began).Seconds())
	r.enter(Ready, s.Member)
	return nil
}
