package witness

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
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
