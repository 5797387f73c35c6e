package main

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/internal/pause"
)

// firstRetry is the pause behind the first backup that fails. It doubles with each that follows, up to --every.
const firstRetry = time.Minute

// backupTurns makes one backup, or one after the other.
type backupTurns struct {
	a        backupCommands
	client   *client.Client
	location string
	key      ed25519.PrivateKey
	flags    *createFlags
	metrics  *backup.Metrics
}

// one makes a backup, checks it and removes old ones if asked to, prints the manifest and writes the metrics. These are
// written whether or not it succeeds.
func (b *backupTurns) one(ctx context.Context) error {
	err := b.turn(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return err // stopped, which is no failure
		}
		b.metrics.Failed()
	}
	if b.flags.file == "" {
		return err
	}
	if written := b.metrics.WriteFile(b.flags.file); err == nil && written != nil {
		return fmt.Errorf("--metrics-file: %w", written)
	}
	return err
}

func (b *backupTurns) turn(ctx context.Context) error {
	began := time.Now()
	t, err := backup.CreateTarget(ctx, b.location)
	if err != nil {
		return usage(backupError(err))
	}
	m, err := b.a.createOne(ctx, b.client, t, b.key)
	if err != nil {
		b.remember(ctx, t)
		return err
	}
	b.metrics.Made(m, time.Since(began))
	if b.flags.check {
		if err := b.check(ctx, t, m); err != nil {
			return err
		}
	}
	if b.flags.keep > 0 {
		if _, err := backup.Prune(ctx, t, b.flags.keep, false); err != nil {
			return backupError(err)
		}
	}
	return b.a.printManifest(m)
}

func (b *backupTurns) check(ctx context.Context, t backup.Target, m *backup.Manifest) error {
	work := newWork(b.a.app)
	err := backup.Check(ctx, t, m, func(done, total uint64) { work.update("check", done, total) })
	work.end()
	if err != nil {
		return backupError(err)
	}
	return b.metrics.Verified(m, backup.ByCheck)
}

// remember takes the newest backup of the target for the metrics, so that a program that started anew and fails knows
// how old it is. A target without one, or one that cannot be read, leaves them as they are.
func (b *backupTurns) remember(ctx context.Context, t backup.Target) {
	public, _ := b.key.Public().(ed25519.PublicKey)
	if newest, _, err := backup.Read(ctx, t, "", public); err == nil && !b.metrics.HasMade() {
		b.metrics.Made(newest, 0)
	}
}

// repeat makes backups until ctx ends, which is no error.
func (b *backupTurns) repeat(ctx context.Context) error {
	if b.flags.listen != "" {
		stop, err := b.serve(ctx)
		if err != nil {
			return err
		}
		defer stop()
	}
	retry := firstRetry
	for first := true; ctx.Err() == nil; first = false {
		began := time.Now()
		err := b.one(ctx)
		wait := time.Until(began.Add(b.flags.every))
		switch {
		case ctx.Err() != nil:
			return nil
		case first && exitCode(err) == exitUsage: // it would fail each time
			return err
		case err == nil:
			retry = firstRetry
		default:
			wait = min(retry, b.flags.every)
			retry = min(2*retry, b.flags.every)
			_, _ = fmt.Fprintln(b.a.err, visible(fmt.Sprintf("backup failed, trying again in %s: %v", wait, err)))
		}
		if pause.For(ctx, wait) != nil {
			return nil
		}
	}
	return nil
}

// serve answers scrapes until stop.
func (b *backupTurns) serve(ctx context.Context) (stop func(), err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", b.flags.listen)
	if err != nil {
		return nil, usagef("--metrics-listen: %w", err)
	}
	return b.a.metricsAt(listener, b.metrics), nil
}

// metricsAt answers scrapes of a long command until stop.
func (a *app) metricsAt(listener net.Listener, metrics http.Handler) (stop func()) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // until Close
	}()
	a.notef("metrics at http://%s/metrics", listener.Addr())
	return func() {
		_ = server.Close()
		<-ended
	}
}
