package main

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestHealth: health tells a node that lives, one that serves, one that says no and one that is not there apart, and names
// what it heard.
func TestHealth(t *testing.T) {
	ready := http.StatusServiceUnavailable
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if !r.URL.Query().Has("verbose") || r.Header.Get("Authorization") != "" {
			t.Errorf("asked %s with %v", r.URL, r.Header)
		}
		w.WriteHeader(ready)
		_, _ = w.Write([]byte("[-]leader failed: \x1b[31mnone\n"))
	})
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	health := func(at string, args ...string) (string, error) {
		t.Setenv("RECOUNT_API_LISTEN", at)
		var out bytes.Buffer
		_, err := execute(t.Context(), append([]string{"health"}, args...), &out)
		return out.String(), err
	}
	at := server.Listener.Addr().String()
	if out, err := health(at); out != "ok\n" || err != nil {
		t.Errorf("a node that lives: %q %v", out, err)
	}
	if out, err := health(at, "--ready"); out != "" || !errors.Is(err, errUnhealthy) ||
		!strings.Contains(err.Error(), `503 Service Unavailable: [-]leader failed: \u001b[31mnone`) {
		t.Errorf("a node that is not ready: %q %v", out, err)
	}
	ready = http.StatusOK
	if out, err := health(at, "--ready"); !strings.HasPrefix(out, "[-]leader") || err != nil {
		t.Errorf("a node that is ready: %q %v", out, err)
	}
	server.Close()
	if out, err := health(at); out != "" || !errors.Is(err, errUnhealthy) {
		t.Errorf("no node: %q %v", out, err)
	}
}

// TestHealthAsksOverLoopback: a node that listens at every address is asked over loopback, and only the address must be right.
func TestHealthAsksOverLoopback(t *testing.T) {
	for listen, want := range map[string]string{
		"0.0.0.0:7": "127.0.0.1:7", "[::]:7": "127.0.0.1:7", ":7": "127.0.0.1:7", "10.0.0.9:7": "10.0.0.9:7", "[::1]:7": "[::1]:7",
		"host:7": "host:7",
	} {
		path := write(t, "config.yaml", "api: {listen: \""+listen+"\"}\npcs_hmac_key_file: none\n")
		if got, err := ownAddress(path, func(string) (string, bool) { return "", false }); got != want || err != nil {
			t.Errorf("%s: %q %v, want %s", listen, got, err, want)
		}
	}
	for what, path := range map[string]string{"no settings": "", "no file": "none.yaml", "no address": write(t, "c.yaml", "dir: d\n")} {
		if got, err := ownAddress(path, func(string) (string, bool) { return "", false }); err == nil {
			t.Errorf("%s: %q", what, got)
		}
	}
}
