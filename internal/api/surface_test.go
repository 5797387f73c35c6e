package api

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/recount-ledger/recount/wire"
)

// TestContractAsJSON: the contract is served without anchors too, and says the same.
func TestContractAsJSON(t *testing.T) {
	w := newTestServer(t, nil).get("/openapi.json")
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
		t.Fatal(w.Code, w.Header())
	}
	doc, err := openapi3.NewLoader().LoadFromData(w.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	spec, err := loadSpec()
	if err != nil {
		t.Fatal(err)
	}
	if doc.Paths.Len() != spec.Paths.Len() || len(doc.Components.Schemas) != len(spec.Components.Schemas) {
		t.Errorf("%d paths and %d schemas, the YAML has %d and %d", doc.Paths.Len(), len(doc.Components.Schemas), spec.Paths.Len(), len(spec.Components.Schemas))
	}
}

// TestWrongMediaSaysWhatToSend: a first request without -H, and a compressed body, are told what to send.
func TestWrongMediaSaysWhatToSend(t *testing.T) {
	r := newTestServer(t, nil)
	for _, c := range []struct{ header, value, says, accept string }{
		{"Content-Type", "application/x-www-form-urlencoded", "send Content-Type: application/json", ""},
		{"Content-Type", "", "there was none", ""},
		{"Content-Encoding", "gzip", "without Content-Encoding", "identity"},
	} {
		req := httptest.NewRequest(http.MethodPost, "/v1/pcs/submit", strings.NewReader(record("s", 1, nil)))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(c.header, c.value)
		w := r.do(req)
		if w.Code != 415 || !strings.Contains(w.Body.String(), c.says) || w.Header().Get("Accept-Encoding") != c.accept {
			t.Errorf("%s %q: %d %v %s", c.header, c.value, w.Code, w.Header(), w.Body)
		}
	}
}

// TestSlashAtTheEnd: no route ends with a slash; "submit/" is not the id of a record.
func TestSlashAtTheEnd(t *testing.T) {
	r := newTestServer(t, nil)
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		if w := r.do(httptest.NewRequest(method, "/v1/pcs/submit/", nil)); w.Code != 404 || !strings.Contains(w.Body.String(), "slash") {
			t.Errorf("%s: %d %s", method, w.Code, w.Body)
		}
	}
	if w := r.get("/v1/shards/a%2F"); w.Code != 404 && w.Code != 200 || strings.Contains(w.Body.String(), "slash") {
		t.Errorf("a shard whose name ends with a slash: %d %s", w.Code, w.Body)
	}
}

// TestNotFoundNamesIt: a 404 of a route names what was asked for, not only that something is missing.
func TestNotFoundNamesIt(t *testing.T) {
	r := newTestServer(t, nil)
	absent := hexOf("absent")
	for target, want := range map[string]string{
		"GET /v1/pcs/" + absent: `there is no record "` + absent + `"`, "GET /v1/events/99": "there is no event 99 yet", "GET /v1/digest?seq=99": "there is no event 99 yet",
		"GET /v1/shards/absent": `there is no shard "absent"`, "GET /v1/keys/hmac-7766554433221100": `there is no key "hmac-7766554433221100"`,
		"GET /v1/generations/9": `there is no generation "9"`, "GET /v1/generations/9/diff": `there is no generation "9"`, "DELETE /v1/generations/9": `there is no generation "9"`,
		"POST /v1/keys/unknown/revoke": `there is no key "unknown"`, "GET /problems/none": `there is no problem "none"`,
		"POST /v1/policies/" + strings.Repeat("0", 64) + "/apply": `there is no policy "0000`, "GET /nothing": "no such route",
	} {
		method, path, _ := strings.Cut(target, " ")
		p := decode[wire.Problem](t, r.send(method, path, "{}"), 404)
		if !strings.Contains(p.Text, want) {
			t.Errorf("%s: %q", target, p.Text)
		}
	}
}

// TestAllowNamesHead: HEAD works wherever GET does, and Allow says so.
func TestAllowNamesHead(t *testing.T) {
	r := newTestServer(t, nil)
	for method, status := range map[string]int{http.MethodOptions: 204, http.MethodPatch: 405} {
		w := r.do(httptest.NewRequest(method, "/v1/shards", nil))
		if w.Code != status || !strings.Contains(w.Header().Get("Allow"), "HEAD") {
			t.Errorf("%s: %d, Allow %q", method, w.Code, w.Header().Get("Allow"))
		}
	}
}

// TestTooLargeBeforeItIsSent: a client that asks with Expect: 100-continue is told 413 before it sends anything.
func TestTooLargeBeforeItIsSent(t *testing.T) {
	req := httptest.NewRequest(http.MethodPost, "/v1/pcs/submit", unread{t})
	req.ContentLength = 64 << 20
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Expect", "100-continue")
	w := httptest.NewRecorder()
	if newTestServer(t, nil).handler.ServeHTTP(w, req); w.Code != 413 {
		t.Errorf("%d", w.Code)
	}
}

// TestSuites: TLS 1.2 is spoken with authenticated encryption only, also by a server whose settings come anew for every handshake.
func TestSuites(t *testing.T) {
	plain := startTLS(t, &tls.Config{})
	chosen := &tls.Config{Certificates: plain.TLS.Certificates}
	again := startTLS(t, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return chosen, nil }})
	for name, server := range map[string]*httptest.Server{"one configuration": plain, "one for each client": again} {
		spoken := 0
		for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
			if suite.SupportedVersions[0] == tls.VersionTLS13 {
				continue
			}
			conn, err := tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12,
				CipherSuites: []uint16{suite.ID}, MinVersion: tls.VersionTLS12})
			if err != nil {
				continue
			}
			conn.Close()
			if spoken++; !strings.Contains(suite.Name, "GCM") && !strings.Contains(suite.Name, "POLY1305") {
				t.Errorf("%s: %s is spoken", name, suite.Name)
			}
		}
		if spoken == 0 {
			t.Errorf("%s: no suite of TLS 1.2 is spoken", name)
		}
	}
}

func startTLS(t *testing.T, cfg *tls.Config) *httptest.Server {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = serverTLS(cfg)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}
