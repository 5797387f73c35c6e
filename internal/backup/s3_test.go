package backup_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/internal/s3test"
)

// proxied is a ledger whose store is behind a proxy that makes faults.
func proxied(t *testing.T) (*ledger, *s3test.Server, *s3test.Proxy) {
	server := s3test.Start(t)
	proxy := server.Proxy()
	l := newLedger(t, s3PlaceOf(t, server))
	l.submit(20)
	return l, server, proxy
}

// TestObjectsOfAStore: what is read is what was written, of any size, and an object that could not be made is not there.
func TestObjectsOfAStore(t *testing.T) {
	p, ctx := s3Place(t), t.Context()
	for _, size := range []int{0, 1, 16 << 20, 16<<20 + 1, 40 << 20} {
		text := bytes.Repeat([]byte("0123456789abcde\n"), size/16+1)[:size]
		must(t, p.target.Put(ctx, "files/x", func(w io.Writer) error { _, err := w.Write(text); return err }))
		f, err := p.target.Open(ctx, "files/x")
		must(t, err)
		got, err := io.ReadAll(f)
		if n, sized := p.target.Size(ctx, "files/x"); err != nil || !bytes.Equal(got, text) || n != int64(size) || sized != nil {
			t.Errorf("%d bytes: read %d, %v, listed %d, %v", size, len(got), err, n, sized)
		}
		must(t, errors.Join(f.Close(), p.target.Remove(ctx, "files/x")))
	}
	for _, size := range []int{0, 1 << 20, 16 << 20, 40 << 20} {
		for _, fails := range []error{errors.New("no"), io.EOF, io.ErrUnexpectedEOF} {
			err := p.target.Put(ctx, "files/y", func(w io.Writer) error {
				_, err := w.Write(make([]byte, size))
				return errors.Join(err, fails)
			})
			if _, absent := p.target.Size(ctx, "files/y"); !errors.Is(err, fails) || !errors.Is(absent, backup.ErrAbsent) {
				t.Errorf("%v after %d bytes: %v, then %v", fails, size, err, absent)
			}
		}
	}
	if left := p.left(t); len(left) != 0 {
		t.Errorf("parts are left: %q", left)
	}
	if _, err := p.target.Open(ctx, "files/y"); !errors.Is(err, backup.ErrAbsent) {
		t.Errorf("an absent object: %v", err)
	}
}

// TestBusyStore: some answers of 503 and cut connections make a backup slower, no more.
func TestBusyStore(t *testing.T) {
	for name, fault := range map[string]s3test.Fault{"busy": s3test.Busy, "cut requests": s3test.CutRequest} {
		t.Run(name, func(t *testing.T) {
			l, _, proxy := proxied(t)
			n := 0
			proxy.Do(func(r *http.Request) s3test.Fault {
				if n++; n%3 == 0 && r.ContentLength != 0 {
					return fault
				}
				return s3test.None
			})
			m := l.backup()
			if proxy.Seen() < 2*len(m.Files) {
				t.Errorf("%d requests", proxy.Seen())
			}
			must(t, backup.Check(t.Context(), l.target, m, nil))
		})
	}
}

// TestStoreFails: a store that fails for long, dies, or gets other bytes than were sent, ends a backup. None is listed then,
// and the next one goes on where this one was.
func TestStoreFails(t *testing.T) {
	type fault = func(server *s3test.Server, r *http.Request) s3test.Fault
	isFile := func(r *http.Request) bool { return s3test.IsObject(r, http.MethodPut, "files") }
	for name, do := range map[string]fault{
		"busy": func(_ *s3test.Server, r *http.Request) s3test.Fault {
			if isFile(r) {
				return s3test.Busy
			}
			return s3test.None
		},
		"a flipped bit": func(_ *s3test.Server, r *http.Request) s3test.Fault {
			if isFile(r) && r.ContentLength > 0 {
				return s3test.FlipRequest
			}
			return s3test.None
		},
		"dead": func(server *s3test.Server, r *http.Request) s3test.Fault {
			if isFile(r) {
				server.Kill()
			}
			return s3test.None
		},
		"no manifest": func(_ *s3test.Server, r *http.Request) s3test.Fault {
			if s3test.IsObject(r, http.MethodPut, "manifests") {
				return s3test.CutRequest
			}
			return s3test.None
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, server, proxy := proxied(t)
			proxy.Do(func(r *http.Request) s3test.Fault { return do(server, r) })
			_, err := backup.Create(t.Context(), l.options())
			if !errors.Is(err, backup.ErrStore) {
				t.Errorf("%v", err)
			}
			proxy.Do(nil)
			server.Kill()
			server.Restart()
			if all, err := backup.List(t.Context(), l.target, public); err != nil || len(all) != 0 {
				t.Errorf("listed %d, %v", len(all), err)
			}
			// its lock lapses: the process that had it may be dead as well
			lapse(t, server)
			must(t, backup.Check(t.Context(), l.target, l.backup(), nil))
		})
	}
}

// TestStoreComesBack: a store that is away for a moment in the middle of a backup does not end it.
func TestStoreComesBack(t *testing.T) {
	l, server, proxy := proxied(t)
	var died atomic.Bool
	proxy.Do(func(r *http.Request) s3test.Fault {
		if s3test.IsObject(r, http.MethodPut, "files") && !died.Swap(true) {
			server.Kill()
			server.Restart()
			return s3test.CutRequest
		}
		return s3test.None
	})
	m := l.backup()
	if !died.Load() {
		t.Error("nothing happened")
	}
	must(t, backup.Check(t.Context(), l.target, m, nil))
}

// TestCutAnswers: a check whose answers end early says that the store failed, and not that the backup is damaged.
func TestCutAnswers(t *testing.T) {
	l, _, proxy := proxied(t)
	m := l.backup()
	proxy.Do(func(r *http.Request) s3test.Fault {
		if s3test.IsObject(r, http.MethodGet, "files") {
			return s3test.CutResponse
		}
		return s3test.None
	})
	if err := backup.Check(t.Context(), l.target, m, nil); !errors.Is(err, backup.ErrStore) || errors.Is(err, backup.ErrDamaged) {
		t.Errorf("%v", err)
	}
	proxy.Do(nil)
	must(t, backup.Check(t.Context(), l.target, m, nil))
}

// TestNoAccess: each way in which a store turns us away has an error of its own.
func TestNoAccess(t *testing.T) {
	server := s3test.Start(t)
	must(t, os.MkdirAll(server.File("others"), 0o755))
	must(t, os.WriteFile(server.File("others/letter"), nil, 0o600))
	creds := filepath.Join(t.TempDir(), "credentials")
	must(t, os.WriteFile(creds, []byte("[default]\naws_access_key_id = "+s3test.AccessKey+"\naws_secret_access_key = "+
		s3test.SecretKey+"\n\n[half]\naws_access_key_id = x\n"), 0o600))
	none := map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
	with := func(env map[string]string, name, value string) map[string]string {
		more := maps.Clone(env)
		more[name] = value
		return more
	}
	for name, c := range map[string]struct {
		env  map[string]string
		at   string
		want error
	}{
		"wrong secret":         {map[string]string{"AWS_SECRET_ACCESS_KEY": "guess"}, location, backup.ErrCredentials},
		"unknown key":          {map[string]string{"AWS_ACCESS_KEY_ID": "nobody"}, location, backup.ErrCredentials},
		"no key":               {none, location, backup.ErrCredentials},
		"half a key":           {map[string]string{"AWS_ACCESS_KEY_ID": ""}, location, backup.ErrCredentials},
		"key in a file":        {with(none, "AWS_SHARED_CREDENTIALS_FILE", creds), location, nil},
		"half a key in a file": {with(with(none, "AWS_SHARED_CREDENTIALS_FILE", creds), "AWS_PROFILE", "half"), location, backup.ErrCredentials},
		"no bucket":            {nil, "s3://nobodys/ledgers/a", backup.ErrNoBucket},
		"whole bucket":         {nil, "s3://" + s3test.Bucket + "/others/new", nil},
		"endpoint in it":       {map[string]string{"AWS_ENDPOINT_URL_S3": ""}, location + "?path-style=true&endpoint=" + server.Endpoint(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			if _, err := backup.CreateTarget(t.Context(), c.at); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
	if _, err := backup.CreateTarget(t.Context(), "s3://"+s3test.Bucket+"/others"); err == nil || !strings.Contains(err.Error(), "letter") {
		t.Errorf("a prefix with things of others: %v", err)
	}
	if _, err := backup.OpenTarget(t.Context(), location); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a prefix without backups: %v", err)
	}
	for _, wrong := range []string{"s3://", "s3:///x", "s3://b:9000/x", "s3://key:secret@b/x", "s3://b/x?region=", "s3://b/x?access-key=a",
		"s3://b/x?path-style=maybe", "s3://b/x?endpoint=10.0.0.1:9000", "s3://b/x?endpoint=https://h/path", "s3://b/x?ca=/nowhere"} {
		if _, err := backup.CreateTarget(t.Context(), wrong); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// TestStoreWithTLS: the certificate of a store must come from the authority that the location or the environment names.
func TestStoreWithTLS(t *testing.T) {
	server := s3test.StartTLS(t)
	l := newLedger(t, s3PlaceOf(t, server))
	must(t, backup.Check(t.Context(), l.target, l.backup(), nil))
	t.Setenv("AWS_CA_BUNDLE", "")
	if _, err := backup.OpenTarget(t.Context(), location+"?ca="+server.CA); err != nil {
		t.Errorf("the authority in the location: %v", err)
	}
	if _, err := backup.OpenTarget(t.Context(), location); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: %v", err)
	}
}

// TestClocksDiffer: in a bubble it is the year 2000, and the store has the time of this machine.
func TestClocksDiffer(t *testing.T) {
	s3test.Start(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if _, err := backup.CreateTarget(ctx, location); !errors.Is(err, backup.ErrClock) {
			t.Errorf("%v", err)
		}
	})
}

// names lists the objects of a target.
func names(t *testing.T, p place, prefix string) []string {
	t.Helper()
	all, err := p.target.List(t.Context(), prefix)
	must(t, err)
	return slices.Sorted(slices.Values(all))
}
