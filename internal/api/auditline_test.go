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

func TestEveryOperationIsRecorded(t *testing.T) {
	var operations []Operation
	r := newTestServer(t, func(c *Config) { c.Operations = func(a Operation) { operations = append(operations, a) } })
	send := func(method, target, body string) {
		req := httptest.NewRequest(method, target, strings.NewReader(body))
		req.Header.Set("Content-Type", wire.MediaJSON)
		req.Header.Set(wire.HeaderRequestID, "r")
		r.handler.ServeHTTP(httptest.NewRecorder(), req)
	}
	for _, quiet := range [][2]string{{"GET", "/v1/policies"}, {"HEAD", "/v1/generations"}, {"DELETE", "/v1/audit"}, {"POST", "/v1/nowhere"}, {"POST", "/v1/pcs/submit"}, {"OPTIONS", "/v1/policies"}} {
		if send(quiet[0], quiet[1], "{}"); len(operations) != 0 {
			t.Errorf("%v is no operation: %+v", quiet, operations)
			operations = nil
		}
	}
	send("POST", "/v1/keys/k1/revoke", `{"op_id":"op-1"}`)
	send("POST", "/v1/keys/k1/revoke", `{"op_id":"op-2","nonsense":1}`)
	send("DELETE", "/v1/generations/7?op_id=op-3", "")
	send("POST", "/v1/policies", "{")
	want := []Operation{
		{Route: "POST /v1/keys/:key_id/revoke", Target: "k1", Status: operations[0].Status, OpID: "op-1", RequestID: "r"},
		{Route: "POST /v1/keys/:key_id/revoke", Target: "k1", Status: 400, RequestID: "r"},
		{Route: "DELETE /v1/generations/:generation", Target: "7", Status: operations[2].Status, OpID: "op-3", RequestID: "r"},
		{Route: "POST /v1/policies", Status: 400, RequestID: "r"},
	}
	if !slices.Equal(operations, want) {
		t.Errorf("%+v", operations)
	}
}

// TestRefusedOperationNamesItsActor: what refuses an operation before its handler needs only to say who asked.
func TestRefusedOperationNamesItsActor(t *testing.T) {
	var got Operation
	cfg := Config{Ledger: newFake().ledger(), Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Operations: func(a Operation) { got = a }}
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
	want := Operation{Actor: "mallory", Role: "auditor", Route: "POST /v1/generations/rollback", Status: 401, RequestID: w.Header().Get(wire.HeaderRequestID)}
	if w.Code != 401 || got != want {
		t.Errorf("%d %+v", w.Code, got)
	}
}
