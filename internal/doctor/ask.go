package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// Options of an examination. Zero values have defaults.
type Options struct {
	Timeout time.Duration    // for everything that is asked of one endpoint, default 5 s
	Now     func() time.Time // default time.Now
}

// facts is everything that one endpoint says.
type facts struct {
	endpoint string
	id       string // "" while nobody says which node it is
	err      error  // it gave no answer
	cluster  *wire.ClusterAnswer
	version  *wire.VersionAnswer
	asked    bool     // readiness was answered
	failing  []failed // checks of readiness
	samples  samples  // nil when the metrics could not be read
	skew     time.Duration
	timed    bool // skew is known
}

// failed is a check of readiness that fails.
type failed struct{ name, why string }

// node returns the name of the node: its id, or the endpoint while nobody says it.
func (f *facts) node() string { return cmp.Or(f.id, f.endpoint) }

// name gives every endpoint the id of its node: what it says, or what the others say of its address.
func name(all []*facts) {
	for _, f := range all {
		if f.version != nil {
			f.id = f.version.Node
		}
		for _, from := range all {
			if from.cluster == nil || f.id != "" {
				continue
			}
			for _, m := range from.cluster.Members {
				if strings.TrimRight(m.API, "/") == f.endpoint {
					f.id = m.ID
				}
			}
		}
	}
}

// Examine asks all endpoints of c and judges what they say. It always returns a report: what cannot be asked is a
// finding.
func Examine(ctx context.Context, c *client.Client, o Options) *Report {
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	all := make([]*facts, len(c.Endpoints()))
	var wg sync.WaitGroup
	for i, endpoint := range c.Endpoints() {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, o.Timeout)
			defer cancel()
			all[i] = ask(ctx, c.At(i), endpoint, o.Now)
		})
	}
	wg.Wait()
	name(all)
	now := o.Now()
	var out []Finding
	for _, f := range all {
		out = append(out, judgeNode(f, now)...)
	}
	out = append(out, judgeCluster(all)...)
	out = append(out, askDigests(ctx, c, all, o.Timeout)...)
	out = append(out, askLists(ctx, c, all, now, o.Timeout)...)
	return NewReport(now, len(all), out)
}

// ask collects what one endpoint says. The first question decides whether it answers at all.
func ask(ctx context.Context, c *client.Client, endpoint string, now func() time.Time) *facts {
	f := &facts{endpoint: endpoint}
	began := now()
	resp, err := c.Once(ctx, client.Request{Method: http.MethodGet, Path: "/version"})
	if err != nil {
		f.err = err
		return f
	}
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		// The header has no fraction, so that half a second is right on average.
		middle := began.Add(now().Sub(began) / 2)
		f.skew, f.timed = at.Add(500*time.Millisecond).Sub(middle), true
	}
	f.version = &wire.VersionAnswer{}
	if f.err = decode(resp, f.version); f.err != nil {
		f.version = nil
		return f
	}
	f.askReady(ctx, c)
	f.askMetrics(ctx, c)
	resp, f.err = c.Once(ctx, client.Request{Method: http.MethodGet, Path: "/v1/cluster"})
	if f.err == nil {
		f.cluster = &wire.ClusterAnswer{}
		f.err = decode(resp, f.cluster)
	}
	return f
}

// decode reads an answer, or returns the problem that came instead of one.
func decode(r *client.Response, into any) error {
	if r.Status == http.StatusOK {
		return json.Unmarshal(r.Body, into)
	}
	p := &wire.Problem{}
	if err := json.Unmarshal(r.Body, p); err != nil || p.Code == "" {
		return fmt.Errorf("the answer has status %d and no problem document", r.Status)
	}
	return p
}

func (f *facts) askReady(ctx context.Context, c *client.Client) {
	r, err := c.Once(ctx, client.Request{Method: http.MethodGet, Path: "/readyz",
		Query: url.Values{"verbose": {""}}})
	if err != nil || r.Status != http.StatusOK && r.Status != http.StatusServiceUnavailable {
		return
	}
	f.asked = true
	for line := range strings.Lines(string(r.Body)) {
		if name, why, ok := strings.Cut(strings.TrimSpace(line), " failed: "); ok {
			f.failing = append(f.failing, failed{strings.TrimPrefix(name, "[-]"), why})
		}
	}
	if r.Status != http.StatusOK && len(f.failing) == 0 {
		f.failing = append(f.failing, failed{"ready", "it does not say why"})
	}
}

func (f *facts) askMetrics(ctx context.Context, c *client.Client) {
	r, err := c.Once(ctx, client.Request{Method: http.MethodGet, Path: "/metrics"})
	if err == nil && r.Status == http.StatusOK {
		f.samples = parseSamples(string(r.Body))
	}
}

// refused reports whether a node rejects the credentials.
func refused(err error) bool {
	var p *wire.Problem
	return errors.As(err, &p) && (p.Code == wire.CodeUnauthorized || p.Code == wire.CodeForbidden)
}

// askDigests compares the digests of all nodes that answer at the lowest of their heads.
func askDigests(ctx context.Context, c *client.Client, all []*facts, timeout time.Duration) []Finding {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	at := func(seq uint64) (out map[int]*wire.DigestAnswer) {
		out = map[int]*wire.DigestAnswer{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i, f := range all {
			if f.err != nil || len(f.failing) > 0 {
				continue // it says itself what is wrong
			}
			wg.Go(func() {
				if d, err := c.At(i).Digest(ctx, seq); err == nil {
					mu.Lock()
					defer mu.Unlock()
					out[i] = d
				}
			})
		}
		wg.Wait()
		return out
	}
	lowest := uint64(0)
	for _, d := range at(0) {
		if lowest == 0 || d.Seq < lowest {
			lowest = d.Seq
		}
	}
	if lowest == 0 {
		return nil
	}
	return judgeDigests(all, at(lowest))
}
