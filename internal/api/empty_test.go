package api

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// TestEmptyAndRepeatedParameters walks every query parameter of the contract: one without a value, a blank one and a
// repeated one are refused, whatever the route, because a filter that is silently none gives a list that looks whole.
func TestEmptyAndRepeatedParameters(t *testing.T) {
	doc, err := loadSpec()
	if err != nil {
		t.Fatal(err)
	}
	r := newTestServer(t, nil)
	tried := 0
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			for _, ref := range op.Parameters {
				p := ref.Value
				if p.In != "query" || p.AllowEmptyValue {
					continue
				}
				tried++
				target := strings.NewReplacer("{pcs_id}", hexOf("s", 1), "{policy_id}", hexOf("p"), "{generation}", "1", "{shard_id}", "s",
					"{seq}", "1", "{key_id}", "k", "{token_id}", "cert:1", "{slug}", "x").Replace(path)
				queries := []string{p.Name, p.Name + "=", p.Name + "=%20"}
				if !p.Schema.Value.Type.Is("array") {
					queries = append(queries, p.Name+"=1&"+p.Name+"=1")
				}
				for _, query := range queries {
					w := askRaw(r, method, target+"?"+query, "kernel: 1\n", wire.MediaYAML)
					if p := decode[wire.Problem](t, w, http.StatusBadRequest); p.Field != ref.Value.Name {
						t.Errorf("%s %s?%s: %s", method, path, query, w.Body)
					}
				}
			}
		}
	}
	if tried < 60 {
		t.Errorf("only %d parameters", tried)
	}
}

func askRaw(r *testServer, method, target, body, media string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	req.Header.Set("Content-Type", media)
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	return w
}

// TestMomentsAtTheEdge: 0 ns means "no bound" inside, so the first moment of 1970 is refused rather than taken for none.
func TestMomentsAtTheEdge(t *testing.T) {
	r := newTestServer(t, nil)
	fingerprint := strings.Repeat("ab", 32)
	for text, good := range map[string]bool{
		"1970-01-01T00:00:00Z": false, "0001-01-01T00:00:00Z": false, "1970-01-01T01:00:00+01:00": false, "1969-12-31T23:59:59Z": false,
		"2261-12-31T23:59:59Z": true, "2262-01-01T00:00:00Z": false, "2261-12-31T23:59:59-01:00": false, "1970-01-01T00:00:00.000000001Z": true,
		"2026-11-29T02:00:00,5Z": false, "2026-11-29T2:00:00Z": false, "2026-11-29T02:00:00+24:00": false, "2026-11-29T02:00:00+00:60": false,
		"2026-11-29t02:00:00z": false, "2026-11-29T02:00:00.5Z": true, "2026-11-29T02:00:00.5+01:00": true, "2026-11-29T24:00:00Z": false,
		"2026-11-29T02:00:00.1234567891Z": false,
	} {
		want := http.StatusBadRequest
		if good {
			want = http.StatusOK
		}
		for _, name := range []string{"since", "until"} {
			if w := askRaw(r, http.MethodGet, "/v1/audit?"+name+"="+url.QueryEscape(text), "", ""); w.Code != want {
				t.Errorf("%s=%s: %d %s", name, text, w.Code, w.Body)
			}
		}
		for _, name := range []string{"not_before", "not_after"} {
			body := `{"alg":"hmac-sha256","fingerprint":"` + fingerprint + `","` + name + `":"` + text + `"}`
			if w := askRaw(r, http.MethodPost, "/v1/keys", body, wire.MediaJSON); (w.Code < 300) != good {
				t.Errorf("%s: %s: %d %s", name, text, w.Code, w.Body)
			}
		}
		w := askRaw(r, http.MethodPost, "/v1/keys/hmac-abababababababab/revoke", `{"since":"`+text+`"}`, wire.MediaJSON)
		if bad := w.Code == http.StatusBadRequest; bad == good {
			t.Errorf("revoke since %s: %d %s", text, w.Code, w.Body)
		}
	}
}

// TestEmptyMembers: a member of a request that is given without a value would widen it: it is refused and nothing happens.
func TestEmptyMembers(t *testing.T) {
	r := newTestServer(t, nil)
	key := `"alg":"hmac-sha256","fingerprint":"` + strings.Repeat("ab", 32) + `"`
	for route, bodies := range map[string][]string{
		"/v1/keys": {
			`{` + key + `,"scope":[]}`, `{` + key + `,"scope":[ ]}`, `{` + key + `,"scope":null}`, `{` + key + `,"not_after":""}`,
			`{` + key + `,"not_after":null}`, `{` + key + `,"not_before":" "}`, `{` + key + `,"owner":""}`, `{` + key + `,"op_id":""}`,
		},
		"/v1/freezes": {
			`{"scope":"all","subject":"","reason":"x"}`, `{"scope":"","reason":"x"}`, `{"scope":"shard","subject":null,"reason":"x"}`,
			`{"scope":"all","reason":"\t"}`, `{"scope":"shard","subject":"a\ud800","reason":"x"}`, `{"scope":"shard","subject":"\udc00a","reason":"x"}`,
			`{"scope":"shard","subject":"\ud800\ud800","reason":"x"}`, `{"scope":"shard","subject":"\ud83d\\ude00","reason":"x"}`,
			`{"scope":"shard","subject":"a\u0001","reason":"x"}`, `{"scope":"shard","subject":"a","reason":"x\udfff"}`,
			`{"scope":"shard","subject":"lab-7-*","reason":"x"}`, `{"scope":"shard","subject":"*","reason":"x"}`,
		},
		"/v1/thaw":         {`{"scope":"all","subject":"","reason":"x"}`, `{"scope":"shard","subject":"","reason":"x"}`, `{"scope":null,"reason":"x"}`},
		"/v1/known-shards": {`{"patterns":[]}`, `{"patterns":null}`},
		"/v1/generations":  {`{"policy":"` + hexOf("p") + `","keys":""}`, `{"policy":"` + hexOf("p") + `","from":null}`},
	} {
		for _, body := range bodies {
			if w := askRaw(r, http.MethodPost, route, body, wire.MediaJSON); w.Code != http.StatusBadRequest {
				t.Errorf("%s %s: %d %s", route, body, w.Code, w.Body)
			}
		}
	}
	if len(r.fake.operations) != 0 || len(r.fake.keys) != 0 || len(r.fake.freezes) != 0 {
		t.Errorf("something happened: %+v", r.fake.operations)
	}
	for _, subject := range []string{`\ud83d\ude00`, `lab*7`, `\\ud800`, `é`} {
		if w := askRaw(r, http.MethodPost, "/v1/freezes", `{"scope":"shard","subject":"`+subject+`","reason":"x"}`, wire.MediaJSON); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", subject, w.Code, w.Body)
		}
	}
}

// TestPatternForAName: a pattern finds nothing where one shard is meant, and an empty list looks like good news.
func TestPatternForAName(t *testing.T) {
	r := newTestServer(t, nil)
	r.post(record("odd*", 1, nil))
	for target, want := range map[string]int{
		"/v1/audit?shard=lab-*": 400, "/v1/audit?key=hmac-*": 400, "/v1/generations/1/flips?key=*": 400, "/v1/audit?shard=odd*": 200, "/v1/audit?shard=lab": 200, "/v1/audit?shard=a%01": 400, "/v1/audit?shard=%FF": 400,
		"/v1/shards/a%01": 400, "/v1/shards/%FF": 400,
	} {
		if w := askRaw(r, http.MethodGet, target, "", ""); w.Code != want {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

// TestMembersThatDoNotFit walks every member of every request of the contract: one of another kind, and one that there is not, are
// refused under their name, in words that are not those of Go.
func TestMembersThatDoNotFit(t *testing.T) {
	doc, err := loadSpec()
	if err != nil {
		t.Fatal(err)
	}
	r, tried := newTestServer(t, nil), 0
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.RequestBody == nil || strings.HasPrefix(path, "/v1/pcs/") || op.RequestBody.Value.Content[wire.MediaJSON] == nil {
				continue
			}
			target := strings.NewReplacer("{policy_id}", hexOf("p"), "{generation}", "1", "{key_id}", "k", "{token_id}", "cert:1").Replace(path)
			names := []string{"bogus"}
			for name := range op.RequestBody.Value.Content[wire.MediaJSON].Schema.Value.Properties {
				names = append(names, name)
			}
			for _, name := range names {
				tried++
				p := decode[wire.Problem](t, askRaw(r, method, target, `{"`+name+`":{"a":1}}`, wire.MediaJSON), http.StatusBadRequest)
				if p.Field != name || strings.Contains(p.Text, "json") || strings.Contains(p.Text, "Go ") || name == "bogus" && !strings.Contains(p.Text, "known are ") {
					t.Errorf("%s %s, member %s: %q of %q", method, path, name, p.Text, p.Field)
				}
			}
		}
	}
	if tried < 40 {
		t.Errorf("only %d members", tried)
	}
}
