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

// TestManySlowSenders: the bodies that are read at a time are bounded.
func TestManySlowSenders(t *testing.T) {
	r := newRig(t)
	handler := r.w.Handler()
	post := func(body io.Reader) int {
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/add-checkpoint", body))
		return rec.Code
	}
	var senders sync.WaitGroup
	var ends []io.Closer
	for range bodiesAtOnce {
		slow, send := io.Pipe()
		ends = append(ends, send)
		senders.Go(func() { post(slow) })
		_, err := send.Write([]byte("o")) // returns when the sender is read
		must(t, err)
	}
	good := r.request(tree(20, 20, ""), 0, 16).Text()
	if code := post(bytes.NewReader(good)); code != http.StatusServiceUnavailable {
		t.Errorf("status %d behind %d slow senders", code, bodiesAtOnce)
	}
	for _, end := range ends {
		must(t, end.Close())
	}
	senders.Wait()
	if code := post(bytes.NewReader(good)); code != http.StatusOK {
		t.Errorf("status %d without them", code)
	}
}
