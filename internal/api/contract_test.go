package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/prometheus/client_golang/prometheus"

	spec "github.com/recount-ledger/recount/api"
	"github.com/recount-ledger/recount/wire"
)

var loadSpec = sync.OnceValues(func() (*openapi3.T, error) {
	for _, media := range []string{"text/html", "application/openmetrics-text", wire.MediaEvents} {
		openapi3filter.RegisterBodyDecoder(media, func(body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
			text, err := io.ReadAll(body)
			return string(text), err
		})
	}
	openapi3filter.RegisterBodyDecoder(wire.MediaNDJSON, func(body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
		lines := []any{}
		for in := json.NewDecoder(body); ; {
			var line any
			if err := in.Decode(&line); err == io.EOF {
				return lines, nil
			} else if err != nil {
				return nil, err
			}
			lines = append(lines, line)
		}
	})
	doc, err := openapi3.NewLoader().LoadFromData(spec.OpenAPI)
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(context.Background())
})

// testServer is a handler over a fakeLedger whose every exchange is held against the contract.
type testServer struct {
	t       *testing.T
	fake    *fakeLedger
	reg     *prometheus.Registry
	handler http.Handler
	router  routers.Router
}

func newTestServer(t *testing.T, change func(*Config)) *testServer {
	t.Helper()
	doc, err := loadSpec()
	if err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	r := &testServer{t: t, fake: newFake(), reg: prometheus.NewRegistry(), router: router}
	cfg := Config{NoAuth: true, Ledger: r.fake.ledger(), Logger: slog.New(slog.DiscardHandler), Registry: r.reg, NodeID: "node-1"}
	if change != nil {
		change(&cfg)
	}
	if r.handler, err = NewHandler(cfg); err != nil {
		t.Fatal(err)
	}
	return r
}

// do sends one request and validates both sides of the exchange.
func (r *testServer) do(req *http.Request) *httptest.ResponseRecorder {
	r.t.Helper()
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		req.Body = io.NopCloser(strings.NewReader(string(body)))
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	req.Body = io.NopCloser(strings.NewReader(string(body)))
	r.validate(req, w)
	return w
}

func (r *testServer) validate(req *http.Request, w *httptest.ResponseRecorder) {
	r.t.Helper()
	if w.Code >= 400 && !strings.HasPrefix(req.URL.Path, "/readyz") {
		r.checkProblem(req, w)
	}
	route, params, err := r.router.FindRoute(req)
	if err != nil {
		if w.Code != http.StatusNotFound && w.Code != http.StatusMethodNotAllowed && req.Method != http.MethodOptions {
			r.t.Errorf("%s %s: not in the contract (%v), yet %d", req.Method, req.URL, err, w.Code)
		}
		return
	}
	in := &openapi3filter.RequestValidationInput{
		Request: req, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateRequest(req.Context(), in); err != nil && w.Code < 400 {
		r.t.Errorf("%s %s: request outside the contract was answered %d: %v", req.Method, req.URL, w.Code, err)
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: w.Code, Header: w.Header(), Options: in.Options}
	out.SetBodyBytes(w.Body.Bytes())
	if err := openapi3filter.ValidateResponse(req.Context(), out); err != nil {
		r.t.Errorf("%s %s: %d: %v\n%s", req.Method, req.URL, w.Code, err, w.Body)
	}
}

// checkProblem holds for errors that the contract cannot name, such as those of unknown routes, too.
func (r *testServer) checkProblem(req *http.Request, w *httptest.ResponseRecorder) {
	r.t.Helper()
	var p wire.Problem
	if w.Header().Get("Content-Type") != wire.MediaProblem {
		r.t.Errorf("%s %s: %d is %s", req.Method, req.URL, w.Code, w.Header().Get("Content-Type"))
	} else if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Text == "" || p.Status != w.Code ||
		p.RequestID == "" || p.RequestID != w.Header().Get(wire.HeaderRequestID) || p.Accepted || p.Escalated {
		r.t.Errorf("%s %s: %d: %v: %s", req.Method, req.URL, w.Code, err, w.Body)
	}
}

func (r *testServer) get(target string, headers ...string) *httptest.ResponseRecorder {
	r.t.Helper()
	req := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return r.do(req)
}

func (r *testServer) post(body string, headers ...string) *httptest.ResponseRecorder {
	r.t.Helper()
	req := httptest.NewRequest(http.MethodPost, "/v1/pcs/submit", strings.NewReader(body))
	req.Header.Set("Content-Type", wire.MediaJSON)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return r.do(req)
}

func decode[T any](t *testing.T, w *httptest.ResponseRecorder, status int) T {
	t.Helper()
	var v T
	if w.Code != status {
		t.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return v
}

func TestRoutesAndContractAgree(t *testing.T) {
	doc, err := loadSpec()
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEcho(Config{Ledger: newFake().ledger(), Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var built, promised []string
	param := regexp.MustCompile(`:(\w+)`)
	for _, r := range e.Routes() {
		path := strings.Replace(param.ReplaceAllString(r.Path, "{$1}"), "/*", "/{tile}", 1)
		built = append(built, r.Method+" "+path)
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			promised = append(promised, method+" "+path)
		}
	}
	sort.Strings(built)
	sort.Strings(promised)
	if !slices.Equal(built, promised) {
		t.Errorf("built\n%s\npromised\n%s", strings.Join(built, "\n"), strings.Join(promised, "\n"))
	}
}

// TestShapesAndContractAgree compares the members of the wire types with the schemas of the same names.
func TestShapesAndContractAgree(t *testing.T) {
	doc, err := loadSpec()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{
		wire.SubmitAnswer{}, wire.BatchLine{}, wire.CheckAnswer{}, wire.Problem{}, wire.AuditItem{}, wire.AuditAnswer{}, wire.AuditPage{}, wire.Trailer{}, wire.Leaf{}, wire.EventAnswer{},
		wire.ShardAnswer{}, wire.ShardsPage{}, wire.Member{}, wire.LearnerProgress{}, wire.ClusterAnswer{}, wire.ClusterVersionAnswer{}, wire.DigestAnswer{}, wire.VersionAnswer{}, wire.WhoamiAnswer{},
		wire.PolicyAnswer{}, wire.PolicyInterval{}, wire.PoliciesPage{}, wire.ApplyAnswer{}, wire.ScheduleStep{}, wire.NodeProgress{}, wire.GenerationAnswer{},
		wire.GenerationsPage{}, wire.DiffAnswer{}, wire.FlipSide{}, wire.Flip{}, wire.FlipsPage{}, wire.ActivateAnswer{}, wire.DropAnswer{}, wire.RevokeAnswer{}, wire.HistoryEntry{},
		wire.PCSHistory{}, wire.SubmissionHistory{}, wire.GivenAnswer{}, wire.StreamEnded{},
		wire.KeyAnswer{}, wire.KeysPage{}, wire.FreezeAnswer{}, wire.FreezesPage{}, wire.KnownShardsAnswer{}, wire.KnownShardsPage{},
		wire.MemberAnswer{}, wire.InvitationAnswer{}, wire.JoinMember{}, wire.TokenAnswer{}, wire.TokensPage{}, wire.ApprovalAnswer{}, wire.ApprovalsPage{},
		wire.CopyAnswer{}, wire.CopyPosition{}, wire.CopyDigest{}, wire.CopyFile{}, wire.CopiesPage{}, wire.InclusionAnswer{}, wire.ConsistencyAnswer{},
	} {
		typ := reflect.TypeOf(v)
		ref := doc.Components.Schemas[typ.Name()]
		if ref == nil {
			t.Errorf("no schema %s", typ.Name())
			continue
		}
		var members, required, properties []string
		for _, field := range fieldsOf(typ) {
			name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			members = append(members, name)
			if options != "omitempty" {
				required = append(required, name)
			}
		}
		for name := range ref.Value.Properties {
			properties = append(properties, name)
		}
		wanted := slices.Clone(ref.Value.Required)
		for _, list := range [][]string{members, required, properties, wanted} {
			sort.Strings(list)
		}
		if !slices.Equal(members, properties) || !slices.Equal(required, wanted) {
			t.Errorf("%s:\nmembers    %v\nproperties %v\nalways     %v\nrequired   %v", typ.Name(), members, properties, required, wanted)
		}
	}
}

// fieldsOf are the fields that encoding/json writes: those of an embedded type too, unless one outside has the same name.
func fieldsOf(typ reflect.Type) (fields []reflect.StructField) {
	for i := range typ.NumField() {
		if f := typ.Field(i); !f.Anonymous {
			fields = append(fields, f)
		}
	}
	for i := range typ.NumField() {
		if f := typ.Field(i); f.Anonymous {
			for _, inner := range fieldsOf(f.Type) {
				if !slices.ContainsFunc(fields, func(o reflect.StructField) bool { return o.Name == inner.Name }) {
					fields = append(fields, inner)
				}
			}
		}
	}
	return fields
}

func TestProblemCodesAndContractAgree(t *testing.T) {
	doc, err := loadSpec()
	if err != nil {
		t.Fatal(err)
	}
	var coded, promised []string
	for _, info := range wire.Codes() {
		coded = append(coded, string(info.Code))
	}
	for _, v := range doc.Components.Schemas["ProblemCode"].Value.Enum {
		promised = append(promised, v.(string))
	}
	if !slices.Equal(coded, promised) {
		t.Errorf("%v\n%v", coded, promised)
	}
}

// TestCorpusFitsContract holds the schema of a record against every well-formed record of the test data.
func TestCorpusFitsContract(t *testing.T) {
	doc, err := loadSpec()
	if err != nil {
		t.Fatal(err)
	}
	schema := doc.Components.Schemas["PCS"].Value
	for _, name := range []string{"good-hmac", "good-ed25519"} {
		text, err := os.ReadFile("../../testdata/" + name + ".ndjson")
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var c struct{ ID, Body string }
			var record any
			if err := json.Unmarshal(line, &c); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(c.Body), &record); err != nil {
				t.Fatalf("%s: %v", c.ID, err)
			}
			if err := schema.VisitJSON(record, openapi3.EnableJSONSchema2020()); err != nil {
				t.Errorf("%s: %v", c.ID, err)
			}
		}
	}
}
