package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/corpus"
	"github.com/recount-ledger/recount/wire"
)

// Case is one line of a corpus that can be sent and checked.
type Case corpus.Line

// Rule is one line of rules.json.
type Rule struct {
	Rule     string
	Statuses []int
}

// Load reads a corpus.
func Load(path string) ([]Case, error) {
	lines, err := corpus.Load(path)
	out := make([]Case, len(lines))
	for i, l := range lines {
		out[i] = Case(l)
	}
	return out, err
}

// Rules reads the first status of every rule.
func Rules(path string) (map[string]int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var rules []Rule
	if err := json.Unmarshal(b, &rules); err != nil {
		return nil, err
	}
	first := make(map[string]int, len(rules))
	for _, r := range rules {
		first[r.Rule] = r.Statuses[0]
	}
	return first, nil
}

// Bytes are the exact body of the case.
func (c *Case) Bytes() ([]byte, error) { return (*corpus.Line)(c).Bytes() }

// Answer is the response of a node to a submission. The members that a problem lacks stay zero.
type Answer struct {
	Status           int             `json:"-"`
	Raw              json.RawMessage `json:"-"`
	Accepted         *bool           `json:"accepted"`
	Escalated        bool            `json:"escalated"`
	RecomputedDHat   *float64        `json:"recomputed_D_hat"`
	RecomputedBudget *float64        `json:"recomputed_budget"`
	PCSID            string          `json:"pcs_id"`
	Outcome          string          `json:"outcome"`
	ReasonCode       string          `json:"reason_code"`
	Seq              uint64          `json:"seq"`
	Replayed         bool            `json:"replayed"`
	Error            string          `json:"error"`
}

// Send posts the case to a node.
func (c *Case) Send(ctx context.Context, web *http.Client, api string) (Answer, error) {
	body, err := c.Bytes()
	if err != nil {
		return Answer{}, err
	}
	method, path := http.MethodPost, "/v1/pcs/submit"
	if c.Method != "" {
		method = c.Method
	}
	if c.Path != "" {
		path = c.Path
	}
	var r io.Reader = bytes.NewReader(body)
	if c.Chunked {
		r = struct{ io.Reader }{r}
	}
	if method == http.MethodGet {
		r = nil
	}
	req, err := http.NewRequestWithContext(ctx, method, api+path, r)
	if err != nil {
		return Answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	for k, v := range c.Headers {
		req.Header.Set(k, v)
	}
	resp, err := web.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Status: resp.StatusCode, Raw: raw}
	if json.Valid(raw) {
		err = json.Unmarshal(raw, &a)
	}
	return a, err
}

// Check compares an answer with the corpus and with the rules, which give the status that counts. k keeps the answers of
// earlier cases.
func (c *Case) Check(a Answer, first map[string]int, k *corpus.Checker) error {
	want := first[c.Rule]
	if c.Rule == "REPLAY" { // a replay has the status of what it repeats
		want = c.Expect.Status[0]
	}
	if a.Status != want {
		return fmt.Errorf("%s (%s): status %d, want %d: %s", c.ID, c.Rule, a.Status, want, a.Raw)
	}
	r := corpus.Response{ID: c.ID, Submission: c.Path == "" || c.Path == client.SubmitPath, Status: a.Status}
	var err error
	switch {
	case !r.Submission || !json.Valid(a.Raw):
	case a.Status >= 400:
		r.Problem = new(wire.Problem)
		err = json.Unmarshal(a.Raw, r.Problem)
	default:
		r.Answer = new(wire.SubmitAnswer)
		err = json.Unmarshal(a.Raw, r.Answer)
	}
	if err != nil {
		return fmt.Errorf("%s (%s): %w: %s", c.ID, c.Rule, err, a.Raw)
	}
	if diffs := k.Check(c.Expect, r); len(diffs) > 0 {
		return fmt.Errorf("%s (%s): %s: %s", c.ID, c.Rule, strings.Join(diffs, "; "), a.Raw)
	}
	return nil
}

// Call sends a JSON request and reads the JSON answer; a status other than 2xx is an error that quotes the answer.
func Call(ctx context.Context, client *http.Client, method, url string, request, into any) error {
	var body io.Reader
	if request != nil {
		b, err := json.Marshal(request)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("%s %s: %d: %s", method, url, resp.StatusCode, text)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}
