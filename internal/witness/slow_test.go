package witness

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// TestSlowSenders: senders that do not end their bodies take no turn from others.
func TestSlowSenders(t *testing.T) {
	r := newRig(t)
	s := httptest.NewServer(r.w.Handler())
	defer s.Close()
	for range atOnce {
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		must(t, err)
		defer c.Close()
		_, err = fmt.Fprintf(c, "POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n")
		must(t, err)
		_, err = c.Read(make([]byte, 64)) // the witness wants the body now
		must(t, err)
	}
	request := r.request(tree(20, 10, "a"), 0, 16)
	resp, err := http.Post(s.URL+"/add-checkpoint", "text/plain", bytes.NewReader(request.Text()))
	must(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d behind %d slow senders", resp.StatusCode, atOnce)
	}
}

// TestManySlowSenders: the bodies that are read at a time are bounded, those of one sender and all.
func TestManySlowSenders(t *testing.T) {
	r := newRig(t)
	handler := r.w.Handler()
	post := func(from string, body io.Reader) int {
		rec, req := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/add-checkpoint", body)
		req.RemoteAddr = from
		handler.ServeHTTP(rec, req)
		return rec.Code
	}
	var sending sync.WaitGroup
	var ends []io.Closer
	slow := func(from string) {
		body, send := io.Pipe()
		ends = append(ends, send)
		sending.Go(func() { post(from, body) })
		_, err := send.Write([]byte("o")) // returns when the sender is read
		must(t, err)
	}
	good := r.request(tree(20, 20, ""), 0, 16).Text()
	want := func(what, from string, status int) {
		t.Helper()
		if code := post(from, bytes.NewReader(good)); code != status {
			t.Errorf("%s: status %d", what, code)
		}
	}
	for i := range bodiesOfOne {
		slow(fmt.Sprintf("[2001:db8::%d]:80", i))
	}
	want("one sender has all of its bodies open", "[2001:db8::ffff]:80", http.StatusServiceUnavailable)
	want("another sender", "[2001:db8:0:1::1]:80", http.StatusOK)
	for i := range bodiesAtOnce - bodiesOfOne {
		slow(fmt.Sprintf("192.0.2.%d:%d", i%100, i))
	}
	want("all bodies are open", "198.51.100.1:80", http.StatusServiceUnavailable)
	for _, end := range ends {
		must(t, end.Close())
	}
	sending.Wait()
	want("without them", "[2001:db8::1]:80", http.StatusConflict) // the witness has cosigned the size since
}
