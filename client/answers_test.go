package client

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

func problemBody(t *testing.T, p *wire.Problem) []byte {
	t.Helper()
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestKinds: every status and every cause has one kind of error, and no other.
func TestKinds(t *testing.T) {
	all := []error{ErrNotFound, ErrRejected, ErrUnavailable, ErrOutcomeUnknown, ErrUntrusted, ErrCursorGone, ErrProtocol}
	untrusted := x509.UnknownAuthorityError{}
	for _, c := range []struct {
		e    Error
		want error
	}{
		{Error{Status: 400}, ErrRejected}, {Error{Status: 401}, ErrRejected}, {Error{Status: 403}, ErrRejected},
		{Error{Status: 404}, ErrNotFound}, {Error{Status: 405}, ErrRejected}, {Error{Status: 408}, ErrUnavailable},
		{Error{Status: 409}, ErrRejected}, {Error{Status: 410}, ErrCursorGone}, {Error{Status: 413}, ErrRejected},
		{Error{Status: 421}, ErrRejected}, {Error{Status: 429}, ErrUnavailable}, {Error{Status: 500}, nil},
		{Error{Status: 501}, nil}, {Error{Status: 502}, ErrUnavailable}, {Error{Status: 503}, ErrUnavailable},
		{Error{Status: 504}, ErrUnavailable}, {Error{Status: 507}, ErrUnavailable}, {Error{Status: 302}, nil},
		{Error{Cause: context.DeadlineExceeded}, ErrUnavailable},
		{Error{Cause: context.Canceled, Status: 404}, ErrUnavailable},
		{Error{Cause: fmt.Errorf("x: %w", ErrProtocol), Status: 200}, ErrProtocol},
		{Error{Cause: &url.Error{Op: "Get", Err: untrusted}}, ErrUntrusted},
		{Error{Cause: x509.HostnameError{Certificate: &x509.Certificate{}, Host: "x"}}, ErrUntrusted},
		{Error{Cause: x509.CertificateInvalidError{}}, ErrUntrusted},
		{Error{Cause: http.ErrSchemeMismatch}, ErrUntrusted},
		{Error{Cause: untrusted, MaySent: true}, ErrOutcomeUnknown},
		{Error{Status: 503, MaySent: true}, ErrOutcomeUnknown},
		{Error{Status: 500, MaySent: true}, ErrOutcomeUnknown},
	} {
		for _, kind := range all {
			if got := errors.Is(&c.e, kind); got != (kind == c.want) {
				t.Errorf("%+v is %q: %v", c.e, kind, got)
			}
		}
	}
}

// TestErrorText: one line with the endpoint, the attempts, what the node said and what went wrong.
func TestErrorText(t *testing.T) {
	p := &wire.Problem{Status: 503, Code: wire.CodeNoLeader, Text: "no leader", RequestID: "r-1"}
	for _, c := range []struct {
		e    Error
		want string
	}{
		{Error{Endpoint: "https://a", Attempts: 1, Cause: io.EOF}, "https://a: EOF"},
		{Error{Endpoint: "https://a", Attempts: 3, Cause: io.EOF}, "https://a, after 3 attempts: EOF"},
		{Error{Endpoint: "https://a", Attempts: 1, Status: 418}, "https://a: 418 I'm a teapot"},
		{Error{Endpoint: "https://a", Attempts: 1, Status: 503, Problem: p}, "https://a: 503 " + p.Error() + " (request r-1)"},
		{Error{Endpoint: "https://a", Attempts: 2, Status: 503, Problem: p, Cause: context.DeadlineExceeded},
			"https://a, after 2 attempts: context deadline exceeded; last answer: 503 " + p.Error() + " (request r-1)"},
	} {
		if got := c.e.Error(); got != c.want {
			t.Errorf("%s\nwant %s", got, c.want)
		}
	}
	e := &Error{Problem: &wire.Problem{RetryAfterMS: 250}}
	if got := e.RetryAfter(); got != 250*time.Millisecond || (&Error{}).RetryAfter() != 0 {
		t.Errorf("asks for %s", got)
	}
	var got *wire.Problem
	if !errors.As(error(&Error{Problem: p, Cause: io.EOF}), &got) || got != p || !errors.Is(&Error{Cause: io.EOF}, io.EOF) {
		t.Error("problem or cause are lost")
	}
}

// TestProblemOfAnyBody: what is no problem document becomes one, with the status of the response and its request id.
func TestProblemOfAnyBody(t *testing.T) {
	header := http.Header{}
	header.Set(wire.HeaderRequestID, "r-7")
	for _, body := range []string{"", "<html>", "{", "[]", "{}", `{"status":200}`, `"text"`, "null"} {
		r := &Response{Status: 404, Header: header, Body: []byte(body)}
		p := r.Problem()
		if p.Status != 404 || p.Title != "Not Found" || p.RequestID != "r-7" || p.Text != "status 404 without a problem document" {
			t.Errorf("%q: %+v", body, p)
		}
	}
	r := &Response{Status: 409, Header: header, Body: []byte(`{"status":200,"code":"conflict","error":"other values"}`)}
	if p := r.Problem(); p.Status != 409 || p.Code != "conflict" || p.Text != "other values" || p.RequestID != "" {
		t.Errorf("%+v", p)
	}
}

// TestRedirectsAreNotFollowed: a redirect would carry the token elsewhere.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var elsewhere atomic.Int32
	other, _ := server(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		s, ca := server(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, status) })
		cfg := fast(ca, s.URL)
		cfg.Token = "secret"
		c := connect(t, cfg)
		_, err := c.Event(deadline(t, 10*time.Second), 1, Read{})
		var e *Error
		if !errors.As(err, &e) || e.Status != status || e.Attempts != 1 {
			t.Errorf("%d: %v", status, err)
		}
		if _, err := c.Submit(deadline(t, 10*time.Second), []byte("{}")); err == nil {
			t.Errorf("%d: a submission was answered", status)
		}
	}
	if elsewhere.Load() != 0 {
		t.Errorf("the other machine was asked %d times", elsewhere.Load())
	}
}

// cutServer declares more bytes than it sends, and then hangs up, the first n times.
func cutServer(t *testing.T, n int32, body string) (*httptest.Server, []byte, *atomic.Int32) {
	calls := &atomic.Int32{}
	s, ca := server(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) > n {
			_, _ = io.WriteString(w, body)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = io.WriteString(w, body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	return s, ca, calls
}

// TestBodyThatIsCutOff: a response that ends early is no response. It is asked for again, and what was half of a
// document never reaches the caller.
func TestBodyThatIsCutOff(t *testing.T) {
	s, ca, calls := cutServer(t, 2, `{"accepted":true,"outcome":"accepted","seq":7}`)
	got, err := connect(t, fast(ca, s.URL)).Submit(deadline(t, 20*time.Second), []byte("{}"))
	if err != nil || got.Seq != 7 || got.Attempts != 3 || calls.Load() != 3 {
		t.Errorf("%+v %v after %d calls", got, err, calls.Load())
	}
	s, ca, _ = cutServer(t, 1<<30, `{"seq":7,"kind":"submission"}`)
	c := connect(t, fast(ca, s.URL))
	if _, err := c.Submit(deadline(t, 300*time.Millisecond), []byte("{}")); !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("a submission: %v", err)
	}
	if _, err := c.Event(deadline(t, 300*time.Millisecond), 7, Read{}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a read: %v", err)
	}
	_, err = c.Once(t.Context(), Request{Method: http.MethodGet, Path: "/v1/events/7"})
	var e *Error
	if !errors.As(err, &e) || e.Attempts != 1 || e.MaySent || !strings.Contains(err.Error(), "reading the answer") {
		t.Errorf("one attempt: %v", err)
	}
	_, err = c.Once(t.Context(), Request{Method: http.MethodPost, Path: SubmitPath, Body: []byte("{}")})
	if !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("one attempt of a submission: %v", err)
	}
}

// TestOversizedResponse: a response beyond the bound is none of a Recount node, and none is one byte too small.
func TestOversizedResponse(t *testing.T) {
	const bound = 1000
	size := 0
	s, ca := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, size)) })
	c := connect(t, fast(ca, s.URL))
	if c.maxAnswer != 64<<20 {
		t.Errorf("the bound is %d bytes", c.maxAnswer)
	}
	c.maxAnswer = bound
	for _, size = range []int{0, bound, bound + 1, 100 * bound} {
		resp, err := c.Once(t.Context(), Request{Method: http.MethodGet, Path: "/v1/audit"})
		switch {
		case size <= bound && (err != nil || len(resp.Body) != size):
			t.Errorf("%d bytes: %v", size, err)
		case size > bound && (!errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), "more than 1000 bytes")):
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// TestWrongNames: a certificate for another name, or of another authority, is not trusted, and other nodes are
// still asked. When all are untrusted the call ends at once.
func TestWrongNames(t *testing.T) {
	reached := 0
	good, ca := server(t, func(w http.ResponseWriter, _ *http.Request) { reached++; reply(w, 200, accepted) })
	u, err := url.Parse(good.URL)
	if err != nil {
		t.Fatal(err)
	}
	renamed := "https://localhost:" + u.Port() // the certificate is for 127.0.0.1 and example.com
	_, err = connect(t, fast(ca, renamed)).Submit(deadline(t, 10*time.Second), []byte("{}"))
	var e *Error
	if !errors.Is(err, ErrUntrusted) || !errors.As(err, &e) || e.Attempts != 1 || reached != 0 {
		t.Errorf("wrong name: %v", err)
	}
	c := connect(t, fast(ca, renamed, good.URL))
	for range 4 {
		if _, err := c.Submit(deadline(t, 10*time.Second), []byte("{}")); err != nil {
			t.Errorf("one of two is trusted: %v", err)
		}
	}
	if reached != 4 {
		t.Errorf("the good one was asked %d times", reached)
	}
	second, _ := server(t, func(http.ResponseWriter, *http.Request) { t.Error("reached") })
	none := connect(t, fast(ca, renamed, strings.Replace(second.URL, "127.0.0.1", "localhost", 1)))
	_, err = none.Submit(deadline(t, 10*time.Second), []byte("{}"))
	if !errors.Is(err, ErrUntrusted) || !errors.As(err, &e) || e.Attempts < 2 {
		t.Errorf("none is trusted: %v", err)
	}
}

// TestWrongProtocol: plain HTTP sent to a TLS port, TLS sent to a plain port, and a port that speaks something else.
func TestWrongProtocol(t *testing.T) {
	secure, _ := server(t, func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, accepted) })
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, accepted) }))
	t.Cleanup(plain.Close)
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	go func() {
		for {
			conn, err := other.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.9\r\n")
			_ = conn.Close()
		}
	}()
	for _, c := range []struct {
		endpoint string
		want     error
		text     string
	}{
		{strings.Replace(secure.URL, "https", "http", 1), ErrProtocol, "write https:// instead of http://"},
		{strings.Replace(plain.URL, "http", "https", 1), ErrUntrusted, ""},
		{"http://" + other.Addr().String(), nil, ""},
	} {
		_, err := connect(t, fast(nil, c.endpoint)).Once(t.Context(), Request{Method: http.MethodGet, Path: "/version"})
		if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.endpoint, err)
		}
	}
}

// TestOnce: one attempt, of any status, at the first endpoint.
func TestOnce(t *testing.T) {
	var calls atomic.Int32
	s, ca := server(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if r.Header.Get("Content-Type") != "text/plain" || r.Header.Get("User-Agent") != "mine/1" || r.ContentLength != -1 {
			t.Errorf("%v, %d bytes", r.Header, r.ContentLength)
		}
		reply(w, 0, wire.NewProblem(wire.CodeNoLeader, ""))
	})
	cfg := fast(ca, s.URL)
	cfg.UserAgent = "mine/1"
	c := connect(t, cfg)
	resp, err := c.Once(t.Context(), Request{Method: http.MethodPost, Path: "/x", Body: []byte("body"), Chunked: true,
		Header: map[string]string{"Content-Type": "text/plain"}})
	if err != nil || resp.Status != 503 || resp.Attempts != 1 || resp.Endpoint != s.URL || resp.Elapsed <= 0 || calls.Load() != 1 {
		t.Errorf("%+v %v after %d calls", resp, err, calls.Load())
	}
	s.Close()
	c.Close() // the idle connection: what is sent on it may have been read
	_, err = c.Once(t.Context(), Request{Method: http.MethodPost, Path: "/x"})
	var e *Error
	if !errors.As(err, &e) || e.MaySent || e.Attempts != 1 || e.Endpoint != s.URL {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := c.Once(t.Context(), Request{Method: "GET\n", Path: "/x"}); !errors.Is(err, ErrProtocol) {
		t.Errorf("a method that is none: %v", err)
	}
}

// TestClientCertificate: the certificate of the settings is shown, and half of a pair is refused.
func TestClientCertificate(t *testing.T) {
	base := httptest.NewUnstartedServer(nil)
	base.StartTLS()
	t.Cleanup(base.Close)
	own := base.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate[0]})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	if _, err := New(Config{Endpoints: []string{"https://x"}, Cert: cert}); !errors.Is(err, ErrConfig) {
		t.Errorf("a certificate without a key: %v", err)
	}
	if _, err := New(Config{Endpoints: []string{"https://x"}, CertKey: keyPEM}); !errors.Is(err, ErrConfig) {
		t.Errorf("a key without a certificate: %v", err)
	}
	shown := 0
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown = len(r.TLS.PeerCertificates)
		reply(w, 200, accepted)
	}))
	s.TLS = base.TLS.Clone()
	s.TLS.ClientAuth = 1 // asked for, not checked
	s.StartTLS()
	t.Cleanup(s.Close)
	cfg := fast(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), s.URL)
	cfg.Cert, cfg.CertKey = cert, keyPEM
	if _, err := connect(t, cfg).Submit(deadline(t, 10*time.Second), []byte("{}")); err != nil || shown != 1 {
		t.Errorf("%d certificates were shown, %v", shown, err)
	}
}

// TestSettings: defaults, and every endpoint and token that is refused.
func TestSettings(t *testing.T) {
	c := connect(t, Config{Endpoints: []string{"https://a/base/"}})
	if c.cfg.AttemptTimeout != 15*time.Second || c.cfg.MinBackoff != 50*time.Millisecond || c.cfg.MaxBackoff != 2*time.Second ||
		c.cfg.SlowAfter != 2*time.Second || c.cfg.MaxConns != 256 || c.cfg.UserAgent != "recount-go-client" {
		t.Errorf("%+v", c.cfg)
	}
	if got := c.Endpoints(); got[0] != "https://a/base" {
		t.Errorf("%v", got)
	}
	for _, endpoint := range []string{"", "https://", "https://a#b", "https://a?b", "https://u@a", "mailto://a", "https://%zz",
		"node1:9440", "/v1"} {
		if _, err := New(Config{Endpoints: []string{"https://good", endpoint}}); !errors.Is(err, ErrConfig) {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
	if _, err := New(Config{Endpoints: []string{"https://u:password@a"}}); strings.Contains(err.Error(), "password") {
		t.Errorf("the password is shown: %v", err)
	}
	for _, token := range []string{"a b", "a\n", "a\t", "ä", "a\x7f", "\x00"} {
		if _, err := New(Config{Endpoints: []string{"https://a"}, Token: token}); !errors.Is(err, ErrConfig) ||
			strings.Contains(err.Error(), token) {
			t.Errorf("%q: %v", token, err)
		}
	}
	for endpoint, ok := range map[string]bool{"http://localhost:1": true, "http://127.9.9.9": true, "http://[::1]:1": true,
		"http://10.0.0.1": false, "http://localhost.example": false, "http://[::2]": false} {
		if _, err := New(Config{Endpoints: []string{endpoint}, Token: "t"}); (err == nil) != ok {
			t.Errorf("a token over %s: %v", endpoint, err)
		}
	}
}
