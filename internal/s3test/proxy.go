package s3test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
)

// Fault names what goes wrong with one request.
type Fault int

// The faults.
const (
	None        Fault = iota
	Busy              // the answer is 503 SlowDown, and the server does not get the request
	CutRequest        // the connection ends in the middle of what is sent
	CutResponse       // the connection ends in the middle of the answer
	FlipRequest       // one bit of what is sent changes
)

// Proxy stands between a client and a server.
type Proxy struct {
	mu     sync.Mutex
	decide func(*http.Request) Fault
	seen   int
}

// Proxy starts a proxy in front of the server, and names it in the environment of the test. It takes no TLS.
func (s *Server) Proxy() *Proxy {
	s.t.Helper()
	to, err := url.Parse(s.Endpoint())
	must(s.t, err)
	p := &Proxy{}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host // it is signed
	}, ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.serve(forward, w, r)
	}))
	s.t.Cleanup(server.Close)
	s.t.Setenv("AWS_ENDPOINT_URL_S3", server.URL)
	return p
}

// Do sets what decides about each request from now on, and counts the requests anew.
func (p *Proxy) Do(decide func(*http.Request) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decide, p.seen = decide, 0
}

// Seen returns the number of requests since Do.
func (p *Proxy) Seen() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}

func (p *Proxy) fault(r *http.Request) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen++
	if p.decide == nil {
		return None
	}
	return p.decide(r)
}

func (p *Proxy) serve(forward http.Handler, w http.ResponseWriter, r *http.Request) {
	switch p.fault(r) {
	case Busy:
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
		return
	case CutRequest:
		_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		panic(http.ErrAbortHandler)
	case CutResponse:
		w = &cut{ResponseWriter: w}
	case FlipRequest:
		r.Body = &flip{ReadCloser: r.Body, at: r.ContentLength / 2}
	case None:
	}
	forward.ServeHTTP(w, r)
}

// cut ends the connection in the first piece of an answer.
type cut struct{ http.ResponseWriter }

func (c *cut) Write(b []byte) (int, error) {
	_, _ = c.ResponseWriter.Write(b[:len(b)/2])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

// flip changes a bit of the byte at a place.
type flip struct {
	io.ReadCloser
	at int64
}

func (f *flip) Read(b []byte) (int, error) {
	n, err := f.ReadCloser.Read(b)
	if f.at >= 0 && f.at < int64(n) {
		b[f.at] ^= 4
	}
	f.at -= int64(n)
	return n, err
}

// IsObject reports whether a request is about an object below a directory of Bucket.
func IsObject(r *http.Request, method, dir string) bool {
	return r.Method == method && strings.Contains(r.URL.Path, "/"+Bucket+"/") && strings.Contains(r.URL.Path, "/"+dir+"/")
}
