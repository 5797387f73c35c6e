package certs

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// lookEvery is the time between two looks at the certificate files.
const lookEvery = time.Second

// Port is one TLS port whose files a Watcher follows. A server and a cluster are ports.
type Port interface {
	// ReloadTLS reads the files again. A port keeps what it has when it fails.
	ReloadTLS() error
	// CertificateEnd returns when the certificate in use expires.
	CertificateEnd() time.Time
}

// Reloader follows the files of one TLS port. It reloads when their content has changed and was the same at two
// looks, so that a pair that is being replaced is not taken half-way. What was refused is tried at every later
// look, since time or a permission may mend it, but it is logged and counted only once.
type Reloader struct {
	name  string // api or peer
	files []string
	port  Port
	log   *slog.Logger

	seen, done [sha256.Size]byte // content at the last look, and that in use
	complaint  string            // why the content at seen was refused

	loaded, refused atomic.Uint64
}

// NewReloader remembers what the files of a port hold, before the port reads them for the first time. The name, such as
// "api" or "peer", appears in the log. Empty file names are ignored. SetPort must follow before the first look.
func NewReloader(name string, log *slog.Logger, files ...string) *Reloader {
	r := &Reloader{name: name, log: log}
	for _, f := range files {
		if f != "" {
			r.files = append(r.files, f)
		}
	}
	r.seen = r.content()
	r.done = r.seen
	return r
}

// SetPort names the port that reads the files.
func (r *Reloader) SetPort(p Port) { r.port = p }

// Name returns the name of the port.
func (r *Reloader) Name() string { return r.name }

// Loaded counts the changed files that the port took.
func (r *Reloader) Loaded() uint64 { return r.loaded.Load() }

// Refused counts the changed files that the port refused. It kept the earlier ones.
func (r *Reloader) Refused() uint64 { return r.refused.Load() }

// End returns when the certificate in use expires.
func (r *Reloader) End() time.Time { return r.port.CertificateEnd() }

// content returns a digest of all files. A file that cannot be read counts as its error.
func (r *Reloader) content() (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, f := range r.files {
		text, err := os.ReadFile(f)
		fmt.Fprintf(h, "%d %v\n", len(text), err)
		h.Write(text)
	}
	h.Sum(sum[:0])
	return sum
}

// look reloads the files if they have changed. With asked it reloads them at once, and when nothing has changed too.
func (r *Reloader) look(asked bool) {
	now := r.content()
	steady := now == r.seen
	r.seen = now
	if !steady {
		r.complaint = ""
	}
	if !asked && (!steady || now == r.done) {
		return
	}
	if err := r.port.ReloadTLS(); err != nil {
		if asked || err.Error() != r.complaint {
			r.refused.Add(1)
			r.log.Warn("certificate files are not taken, the earlier ones stay in use", "port", r.name, "error", err)
		}
		r.complaint = err.Error()
		return
	}
	r.done, r.complaint = now, ""
	r.loaded.Add(1)
	r.log.Info("certificate files loaded, new connections use them", "port", r.name,
		"not_after", r.End().UTC().Format(time.RFC3339))
}

// Watcher looks at the files of several ports once a second.
type Watcher struct {
	asked chan struct{}
}

// NewWatcher returns a watcher. Reload may be called before Run.
func NewWatcher() *Watcher { return &Watcher{asked: make(chan struct{}, 1)} }

// Reload makes Run read the files of all ports now, changed or not. It returns at once. The log has the result.
func (w *Watcher) Reload() {
	select {
	case w.asked <- struct{}{}:
	default: // one is waiting already
	}
}

// Run looks at the files of the ports until ctx ends, and returns the error of ctx.
func (w *Watcher) Run(ctx context.Context, ports ...*Reloader) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		asked := false
		select {
		case <-tick.C:
		case <-w.asked:
			asked = true
		case <-ctx.Done():
			return ctx.Err()
		}
		for _, r := range ports {
			r.look(asked)
		}
	}
}
