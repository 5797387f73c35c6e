package backup

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/recount-ledger/recount/internal/pause"
)

// lockLife is the age at which a lock that was not renewed counts no more. docs/decisions/0057 says what that is worth.
const lockLife = 2 * time.Minute

// unlockTimeout bounds the time for which we try to remove our lock. If that fails, it lapses.
const unlockTimeout = 10 * time.Second

// lease is our lock: an object in locks/ that is written again while we work. Ages are differences between times of the
// store, so that no clock of ours counts. Whether we still have it is judged by how long ago we began to write it.
type lease struct {
	s    *S3
	name string
	ctx  context.Context // ends when the lock is lost, or given back
	lose context.CancelCauseFunc
	done sync.WaitGroup
}

var notOfNames = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// Lock implements Target. It also removes the parts of objects that an interrupted Put has left.
func (s *S3) Lock(ctx context.Context) (unlock func() error, err error) {
	host, _ := os.Hostname() // only shown
	l := &lease{s: s, name: fmt.Sprintf("%s%s-%d-%s", locksPrefix, notOfNames.ReplaceAllString(host, "-"),
		os.Getpid(), strings.ToLower(rand.Text()[:8]))}
	l.ctx, l.lose = context.WithCancelCause(context.Background())
	began := time.Now()
	if err = l.claim(ctx); err == nil {
		err = s.abortUploads(ctx)
	}
	if err != nil {
		l.remove(ctx)
		return nil, err
	}
	s.held = l
	l.done.Go(func() { l.keep(began) })
	return func() error {
		l.lose(ErrLockLost)
		l.done.Wait()
		l.remove(ctx)
		s.held = nil
		return nil
	}, nil
}

// claim writes our lock, then looks for those of others. Of two that claim at once, at least one sees the other.
func (l *lease) claim(ctx context.Context) error {
	if err := l.write(ctx); err != nil {
		return err
	}
	var others []minio.ObjectInfo
	var now time.Time // of the store
	for o, err := range l.s.entries(ctx, locksPrefix, true) {
		if err != nil {
			return err
		}
		if o.Key == l.s.prefix+l.name {
			now = o.LastModified
		} else {
			others = append(others, o)
		}
	}
	if now.IsZero() {
		return fmt.Errorf("list locks at %s: %w: it does not list an object that was just written", l.s.endpoint.Host,
			ErrStore)
	}
	for _, o := range others {
		name := strings.TrimPrefix(o.Key, l.s.prefix)
		if now.Sub(o.LastModified) <= l.s.life {
			return fmt.Errorf("%w: %s, of %s. If that program was killed, its lock lapses after %s", ErrLocked, name,
				o.LastModified.UTC().Format(time.RFC3339), l.s.life)
		}
		if err := l.s.remove(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (l *lease) write(ctx context.Context) error {
	return l.s.putBytes(ctx, l.name, []byte(l.name+"\n"))
}

// keep writes the lock again and again. One that came too late may have lapsed in between, and is lost. The store may
// have several clocks, and counts in seconds: that is the margin.
func (l *lease) keep(began time.Time) {
	for {
		end := began.Add(l.s.life - l.s.life/4)
		if pause.For(l.ctx, min(l.s.life/6, time.Until(end))) != nil {
			return
		}
		ctx, cancel := context.WithDeadline(l.ctx, end)
		now := time.Now()
		err := l.write(ctx)
		cancel()
		switch {
		case err == nil:
			began = now
		case !time.Now().Before(end):
			l.lose(fmt.Errorf("%w: it could not be renewed: %w", ErrLockLost, err))
			return
		}
	}
}

func (l *lease) remove(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockTimeout)
	defer cancel()
	_ = l.s.remove(ctx, l.name)
}

// during returns a context that also ends when the lock is lost. Without a lock it is ctx.
func (l *lease) during(ctx context.Context) (both context.Context, end func()) {
	if l == nil {
		return ctx, func() {}
	}
	both, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.ctx, func() { cancel(context.Cause(l.ctx)) })
	if l.ctx.Err() != nil {
		cancel(context.Cause(l.ctx)) // the function runs later
	}
	return both, func() { stop(); cancel(nil) }
}

// abortUploads removes parts of objects that nobody can complete.
func (s *S3) abortUploads(ctx context.Context) error {
	listing, cancel := context.WithCancel(ctx)
	defer cancel()
	for u := range s.core.Client.ListIncompleteUploads(listing, s.bucket, s.prefix, true) {
		err := u.Err
		if err == nil {
			err = s.core.AbortMultipartUpload(ctx, s.bucket, u.Key, u.UploadID)
		}
		if err != nil {
			return s.fail(ctx, "remove what an interrupted backup has left", err)
		}
	}
	return ctx.Err()
}
