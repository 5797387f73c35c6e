package api

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/recount-ledger/recount/wire"
)

func TestEveryActIsRecorded(t *testing.T) {
	var acts []Act
	r := newRig(t, func(c *Config) { c.Acts = func(a Act) { acts = append(acts, a) } })
	send := func(method, target, body string) {
		req := httptest.NewRequest(method, target, strings.NewReader(body))
		req.Header.Set("Content-Type", wire.MediaJSON)
		req.Header.Set(wire.HeaderRequestID, "r")
		r.handler.ServeHTTP(httptest.NewRecorder(), req)
	}
	for _, quiet := range [][2]string{{"GET", "/v1/policies"}, {"HEAD", "/v1/generations"}, {"DELETE", "/v1/audit"}, {"POST", "/v1/nowhere"}, {"POST", "/v1/pcs/submit"}, {"OPTIONS", "/v1/policies"}} {
		if send(quiet[0], quiet[1], "{}"); len(acts) != 0 {
			t.Errorf("%v is no act: %+v", quiet, acts)
			acts = nil
		}
	}
	send("POST", "/v1/keys/k1/revoke", `{"op_id":"op-1"}`)
	send("POST", "/v1/keys/k1/revoke", `{"op_id":"op-2","nonsense":1}`)
	send("DELETE", "/v1/generations/7?op_id=op-3", "")
	send("POST", "/v1/policies", "{")
	want := []Act{
		{Route: "POST /v1/keys/:key_id/revoke", Target: "k1", Status: acts[0].Status, OpID: "op-1", RequestID: "r"},
		{Route: "POST /v1/keys/:key_id/revoke", Target: "k1", Status: 400, RequestID: "r"},
		{Route: "DELETE /v1/generations/:generation", Target: "7", Status: acts[2].Status, OpID: "op-3", RequestID: "r"},
		{Route: "POST /v1/policies", Status: 400, RequestID: "r"},
	}
	if !slices.Equal(acts, want) {
		t.Errorf("%+v", acts)
	}
}

// TestRefusedActNamesItsActor: what refuses an act before its handler needs only to say who asked.
func TestRefusedActNamesItsActor(t *testing.T) {
	var got Act
	cfg := Config{Ledger: newTwin().ledger(), Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Acts: func(a Act) { got = a }}
	e, err := newEcho(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	e.Use(func(echo.HandlerFunc) echo.HandlerFunc { // inside of observe, as authentication is
		return func(c echo.Context) error {
			noteActor(c, "mallory", "auditor")
			return wire.NewProblem(wire.CodeUnauthorized, "")
		}
	})
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/generations/rollback", nil))
	want := Act{Actor: "mallory", Role: "auditor", Route: "POST /v1/generations/rollback", Status: 401, RequestID: w.Header().Get(wire.HeaderRequestID)}
	if w.Code != 401 || got != want {
		t.Errorf("%d %+v", w.Code, got)
	}
}
