package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

// TestForwardedWithPort: some proxies write address:port; the address counts and not the proxy's own.
func TestForwardedWithPort(t *testing.T) {
	extract := ipExtractor(Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	for given, want := range map[string]string{
		"203.0.113.7:1234": "203.0.113.7", "[2001:db8::1]:443": "2001:db8::1", "203.0.113.7": "203.0.113.7", "2001:db8::1": "2001:db8::1", "[2001:db8::1]": "2001:db8::1",
		"198.51.100.1:1, 203.0.113.7:1234 , 192.0.2.9:80": "203.0.113.7", "203.0.113.7:99999": "192.0.2.1", "nonsense": "192.0.2.1", "203.0.113.7:": "192.0.2.1", "": "192.0.2.1",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = "192.0.2.1:5"
		r.Header.Set("X-Forwarded-For", given)
		if got := extract(r); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
		if r.Header.Get("X-Forwarded-For") != given {
			t.Error("the request was changed")
		}
		r.RemoteAddr = "203.0.113.200:5"
		if got := extract(r); got != "203.0.113.200" {
			t.Errorf("%q from somebody else: %q", given, got)
		}
	}
}

// TestTwoLengths: a request that says its length in two ways is the last one of its connection.
func TestTwoLengths(t *testing.T) {
	r := newTestServer(t, nil)
	server := httptest.NewServer(r.handler)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	body := record("s", 1, nil)
	_, err = fmt.Fprintf(conn, "POST /v1/pcs/submit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"+
		"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", len(body), len(body), body)
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || !resp.Close {
		t.Errorf("the connection goes on: %v %+v", err, resp.Header)
	}
	if rest, err := io.ReadAll(in); len(rest) > 0 {
		t.Errorf("a second answer: %q %v", rest, err)
	}
}
