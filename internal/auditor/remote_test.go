package auditor

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/wire"
)

// Names of the answers that a test replaces.
const (
	askedHead  = "the end, from a majority"
	askedLocal = "the end, from one node"
	askedAt    = "the digests at an event"
	askedNote  = "/checkpoint"
	askedList  = "/v1/events"
)

// asked names what a request is about.
func asked(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case r.URL.Path != "/v1/digest":
		return r.URL.Path
	case q.Get("consistency") == wire.ConsistencyLinearizable:
		return askedHead
	case q.Has("seq"):
		return askedAt
	}
	return askedLocal
}

// instead has the answers that a server in front of the cluster gives itself, by the name of the question.
type instead map[string]http.HandlerFunc

// through is a client of the cluster behind a server that answers some requests itself.
func (s *scene) through(answers instead) *client.Client {
	s.t.Helper()
	node, err := url.Parse(s.URL(0))
	must(s.t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.CA.CertPEM())
	pass := httputil.NewSingleHostReverseProxy(node)
	pass.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if own := answers[asked(r)]; own != nil {
			own(w, r)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	s.t.Cleanup(server.Close)
	c, err := client.New(client.Config{Endpoints: []string{server.URL}, Token: s.Tokens[wire.RoleAuditor],
		CA:         pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
		MinBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond})
	must(s.t, err)
	s.t.Cleanup(c.Close)
	return c
}

// answer answers with a value.
func answer(value any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", wire.MediaJSON)
		_ = json.NewEncoder(w).Encode(value)
	}
}

// refuse answers that the node is not ready.
func refuse(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", wire.MediaProblem)
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = json.NewEncoder(w).Encode(wire.NewProblem(wire.CodeNotReady, "not now"))
}

// audit audits the cluster behind such a server. timeout is long enough for an answer and short for a refusal.
func (s *scene) audit(answers instead, dir string, notes ...Note) (*Report, error) {
	s.t.Helper()
	from, err := Remote(s.t.Context(), s.through(answers), "the cluster", time.Second)
	if err != nil {
		return nil, err
	}
	o := s.options(from, dir, notes...)
	o.Keys = []evidence.PublicKey{s.secret.Public()}
	return Run(s.t.Context(), o)
}

// says wants a line of what was not checked.
func says(t *testing.T, r *Report, words string) {
	t.Helper()
	if r == nil || !strings.Contains(strings.Join(r.NotChecked, "\n"), words) {
		t.Errorf("no line with %q: %+v", words, r)
	}
}

// TestRemote audits a cluster whose nodes lag, refuse to answer, or lie.
func TestRemote(t *testing.T) {
	s := clusterOf(t)
	s.submit(12)
	end, err := s.Client.Digest(t.Context(), 0)
	must(t, err)
	s.shows(end.Seq)
	dir := t.TempDir()
	_, err = s.audit(nil, dir)
	must(t, err)
	t.Run("lagging", func(t *testing.T) { lagging(t, s, dir, end.Seq) })
	t.Run("digests", func(t *testing.T) { digests(t, s) })
	t.Run("refusals", func(t *testing.T) { refusals(t, s, dir, end.Seq) })
}

// lagging: a node that is behind what a checkpoint or an earlier run covers is no difference.
func lagging(t *testing.T, s *scene, dir string, n uint64) {
	before, err := s.Client.Digest(t.Context(), n-3)
	must(t, err)
	late := instead{askedLocal: answer(before)}
	kept := s.signed(n)
	for name, c := range map[string]struct {
		dir   string
		notes []Note
	}{"shown": {}, "kept": {notes: []Note{kept}}, "earlier": {dir: dir}} {
		if r, err := s.audit(late, c.dir, c.notes...); err != nil || r.Events < n {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		alone := maps.Clone(late)
		alone[askedHead] = refuse
		r, err := s.audit(alone, c.dir, c.notes...)
		if err == nil || errors.Is(err, ErrDiffers) || !strings.Contains(err.Error(), "no majority") {
			t.Errorf("%s, without a majority: %+v, %v", name, r, err)
		}
	}
	r, err := s.audit(instead{askedHead: refuse}, "", kept)
	must(t, err)
	says(t, r, "no majority of the cluster confirmed it")
	r, err = s.audit(instead{askedHead: answer(before)}, "", kept)
	differsAt(t, r, err, n-2, n, "missing")
}

// digests: digests at another event, or of a generation that no event starts, are not taken for those asked for.
func digests(t *testing.T, s *scene) {
	second, err := s.Client.Digest(t.Context(), 2)
	must(t, err)
	for at, d := range map[uint64]*wire.DigestAnswer{2: second, 0: {Log: second.Log}} {
		r, err := s.audit(instead{askedAt: answer(d)}, "")
		if !errors.Is(err, ErrDiffers) || !strings.Contains(r.Summary(), fmt.Sprint("gives those at event ", at)) {
			t.Errorf("those of event %d: %+v, %v", at, r, err)
		}
	}
	strange := func(w http.ResponseWriter, r *http.Request) {
		seq, err := strconv.ParseUint(r.URL.Query().Get("seq"), 10, 64)
		if err != nil {
			t.Error(err)
		}
		d, err := s.Client.Digest(r.Context(), seq)
		if err != nil {
			t.Error(err)
			return
		}
		d.Generation = 99
		answer(d)(w, r)
	}
	if r, err := s.audit(instead{askedAt: strange}, ""); !errors.Is(err, ErrSource) ||
		!strings.Contains(err.Error(), "generation 99") {
		t.Errorf("an unknown generation: %+v, %v", r, err)
	}
}

// refusals: what a cluster refuses to say hides no difference.
func refusals(t *testing.T, s *scene, dir string, n uint64) {
	mute := instead{askedNote: refuse}
	r, err := s.audit(mute, "", s.signed(n))
	must(t, err)
	says(t, r, "the newest checkpoint of the cluster: ")
	r, err = s.audit(mute, dir)
	if err != nil || len(r.Checkpoints) != 1 {
		t.Errorf("with the checkpoint of an earlier run: %+v, %v", r, err)
	}
	if r, err := s.audit(mute, ""); !errors.Is(err, ErrNoCheckpoint) || !strings.Contains(err.Error(), "not now") {
		t.Errorf("without a checkpoint: %+v, %v", r, err)
	}
	other := evidence.Checkpoint{Origin: evidence.OriginOf("nodetest"), Size: n - 1}
	forged, err := evidence.SignCheckpoint(other, s.secret)
	must(t, err)
	r, err = s.audit(instead{askedAt: refuse}, "", Note{From: "a friend", Text: forged})
	if !errors.Is(err, ErrDiffers) || !strings.Contains(r.Summary(), "a friend") {
		t.Errorf("a wrong root: %+v, %v", r, err)
	}
	says(t, r, "the digests that the cluster gives: ")
	if r, err := s.audit(instead{askedAt: refuse}, ""); err == nil || errors.Is(err, ErrDiffers) {
		t.Errorf("no digest at all: %+v, %v", r, err)
	}
	short := func(w http.ResponseWriter, r *http.Request) {
		items, _, err := s.Client.EventsPage(r.Context(), client.EventsQuery{From: 1, To: n - 4})
		if err != nil {
			t.Error(err)
		}
		for _, e := range items {
			answer(e)(w, r)
		}
		answer(wire.Trailer{Trailer: true, Count: len(items)})(w, r)
	}
	r, err = s.audit(instead{askedList: short}, "")
	if !errors.Is(err, ErrDiffers) || !slices.ContainsFunc(r.Differences, func(d Difference) bool {
		return strings.Contains(d.What, "its list ends with event")
	}) {
		t.Errorf("a list that ends early: %+v, %v", r, err)
	}
}

// TestRolledBackBehindItsCheckpoint: a node whose ledger was put back behind what it has signed shows no checkpoint any
// more. It is found out with one that the auditor kept.
func TestRolledBackBehindItsCheckpoint(t *testing.T) {
	s := clusterOf(t)
	s.submit(5)
	s.Stop(0)
	saved := filepath.Join(t.TempDir(), "saved")
	must(t, os.CopyFS(saved, os.DirFS(s.Dir(0))))
	s.Restart(0)
	s.submit(20)
	end, err := s.Client.Digest(t.Context(), 0)
	must(t, err)
	s.shows(end.Seq)
	kept, dir := s.signed(end.Seq), t.TempDir()
	_, err = s.audit(nil, dir)
	must(t, err)
	s.Stop(0)
	signed, err := os.ReadFile(filepath.Join(s.Dir(0), "checkpoints"))
	must(t, err)
	must(t, os.RemoveAll(s.Dir(0)))
	must(t, os.CopyFS(s.Dir(0), os.DirFS(saved)))
	must(t, os.WriteFile(filepath.Join(s.Dir(0), "checkpoints"), signed, 0o600))
	s.Restart(0)
	s.AwaitReady(0)
	s.Await("the node signs no checkpoint of the older ledger", func() error {
		if status, text := s.Once(0, http.MethodGet, "/checkpoint", nil); status != http.StatusServiceUnavailable {
			return fmt.Errorf("%d: %s", status, text)
		}
		return nil
	})
	for name, c := range map[string]struct {
		dir   string
		notes []Note
	}{"kept": {notes: []Note{kept}}, "earlier": {dir: dir}} {
		r, err := s.audit(nil, c.dir, c.notes...)
		if !errors.Is(err, ErrDiffers) {
			t.Errorf("%s: %+v, %v", name, r, err)
			continue
		}
		says(t, r, "the newest checkpoint of the cluster: ")
		t.Log(r.Summary())
	}
}
