package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/version"
	"github.com/recount-ledger/recount/wire"
)

// devCluster is DIR/endpoints.json, the line that recount-node dev prints when it is ready.
type devCluster struct {
	API []string `json:"api"`
	CA  string   `json:"ca"`
}

// connect makes the client for the cluster that a.find finds.
func (a *app) connect() (*client.Client, error) {
	p, err := a.find()
	if err != nil {
		return nil, err
	}
	cfg, err := p.config()
	if err != nil {
		return nil, err
	}
	a.place = p
	a.noteMark(p)
	cfg.UserAgent, cfg.MaxConns = "recount/"+version.Name(), 1024
	if !a.patient {
		cfg.Slow, cfg.SlowAfter = a.noteSlow, slowAfter
	}
	if a.local {
		cfg.Consistency = wire.ConsistencyLocal
	}
	return client.New(cfg)
}

func readDev(flag, dir string) (*devCluster, error) {
	text, err := os.ReadFile(filepath.Join(dir, "endpoints.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &codedError{exitUsage, fmt.Errorf("%s %s: no endpoints.json there", flag, dir),
			"Start the cluster with \"recount-node dev --dir " + dir + "\" and wait until it says that it is ready."}
	}
	if err != nil {
		return nil, usagef("%s: %w", flag, err)
	}
	dev := &devCluster{}
	if err := json.Unmarshal(text, dev); err != nil {
		return nil, usagef("%s: %s/endpoints.json: %w", flag, dir, err)
	}
	// The directory may have been moved or mounted elsewhere: its own ca.pem goes first.
	if own := filepath.Join(dir, "ca.pem"); exists(own) {
		dev.CA = own
	}
	return dev, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func readSetting(flag, path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("%s: %w", flag, err)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, usagef("%s: %s is empty", flag, path)
	}
	return b, nil
}

// call connects and makes one call under --timeout.
func call[T any](ctx context.Context, a *app, fn func(context.Context, *client.Client) (T, error)) (v T, err error) {
	c, err := a.connect()
	if err != nil {
		return v, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return fn(ctx, c)
}

// withTimeout bounds one call by --timeout.
func withTimeout[T any](ctx context.Context, a *app, fn func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return fn(ctx)
}

// slowAfter is the time after which a call that takes long is explained to a person.
var slowAfter = 2 * time.Second

// noteSlow prints the endpoint that a slow call is waiting for.
func (a *app) noteSlow(s client.Slow) {
	which := ""
	if s.Of > 1 {
		which = fmt.Sprintf("%d of %d, ", s.Number, s.Of)
	}
	a.notef("asking %s (%s%s)", s.Endpoint, which, s.Elapsed.Round(min(slowAfter, time.Second)))
}

// whereTimeout bounds the question which cluster this is, which nothing depends on.
const whereTimeout = 2 * time.Second

// noteCluster prints once the cluster that an operation asks. A node that does not answer leaves the error to the
// operation itself, which has a client of its own: what this question finds out about the health of nodes must
// not delay it.
func (a *app) noteCluster(ctx context.Context) {
	if a.quiet || a.notedCluster {
		return
	}
	said := a.notedMark
	a.notedMark = true // the line below has it
	c, err := a.connect()
	if err != nil {
		return // the operation says so
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, min(whereTimeout, a.timeout/4))
	defer cancel()
	v, err := c.Version(ctx)
	if err != nil {
		a.notedMark = said
		a.noteMark(a.place)
		return
	}
	a.notedCluster = true
	fmt.Fprintf(a.err, "cluster %s, %s (%s)\n", plain(v.ClusterID), plain(v.Node), a.from(a.place))
}

// callOperation is call for the operation. The client repeats it under one op_id. Without it a second command
// would be a second operation.
func callOperation[T any](ctx context.Context, a *app, fn func(context.Context, *client.Client) (T, error)) (T, error) {
	a.noteCluster(ctx)
	v, err := call(ctx, a, fn)
	if err != nil {
		v, err = approved[T](ctx, a, err)
	}
	if errors.Is(err, client.ErrOutcomeUnknown) {
		err = &codedError{exitUnknown, err,
			"It may or may not be done. Give the same command again with --op-id " + shellWord(a.opID) +
				": it is done once."}
	}
	return v, err
}
