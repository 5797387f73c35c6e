package harness

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

// Case is one line of a corpus; testdata/README.md says what the members mean.
type Case struct {
	ID    string
	Rule  string
	Body  *string
	Parts []struct {
		Text  string
		B64   string
		Count int
	}
	Method, Path string
	Headers      map[string]string
	Chunked      bool
	Expect       struct {
		Status     []int
		Class      string
		Accepted   *bool
		PCSID      string    `json:"pcs_id"`
		DHat       []float64 `json:"d_hat"`
		Budget     []float64
		SameAs     string  `json:"same_as"`
		MaxSeconds float64 `json:"max_seconds"`
	}
}

// Rule is one line of rules.json.
type Rule struct {
	Rule     string
	Statuses []int
}

// Load reads a corpus.
func Load(path string) ([]Case, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []Case
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var c Case
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return nil, fmt.Errorf("%s line %d: %w", path, len(out)+1, err)
		}
		out = append(out, c)
	}
	return out, lines.Err()
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
func (c *Case) Bytes() ([]byte, error) {
	if c.Body != nil {
		return []byte(*c.Body), nil
	}
	var out []byte
	for _, p := range c.Parts {
		piece := []byte(p.Text)
		if p.B64 != "" {
			raw, err := base64.StdEncoding.DecodeString(p.B64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.ID, err)
			}
			piece = raw
		}
		out = append(out, bytes.Repeat(piece, max(p.Count, 1))...)
	}
	return out, nil
}

// Answer is what a node said to a submission; the members that a problem lacks stay zero.
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
func (c *Case) Send(ctx context.Context, client *http.Client, api string) (Answer, error) {
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
	resp, err := client.Do(req)
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

// Check compares an answer with what the corpus and the rules say; earlier holds the answers of earlier cases by id.
func (c *Case) Check(a Answer, first map[string]int, earlier map[string]Answer) error {
	want := first[c.Rule]
	if c.Rule == "REPLAY" { // a replay has the status of what it repeats
		want = c.Expect.Status[0]
	}
	if a.Status != want {
		return fmt.Errorf("%s (%s): status %d, want %d: %s", c.ID, c.Rule, a.Status, want, a.Raw)
	}
	if a.Status >= 400 && a.Error == "" {
		return fmt.Errorf("%s (%s): status %d without an error text", c.ID, c.Rule, a.Status)
	}
	e := c.Expect
	if e.Accepted != nil && (a.Accepted == nil || *a.Accepted != *e.Accepted) {
		return fmt.Errorf("%s (%s): accepted is not %v: %s", c.ID, c.Rule, *e.Accepted, a.Raw)
	}
	if e.PCSID != "" && a.PCSID != e.PCSID && a.Status < 300 {
		return fmt.Errorf("%s (%s): pcs_id %q", c.ID, c.Rule, a.PCSID)
	}
	if a.Status < 300 {
		if err := c.checkValues(a); err != nil {
			return err
		}
	}
	if e.Class != "ok" && e.Class != "replay" && e.Class != "http" && e.Class != a.ReasonCode {
		return fmt.Errorf("%s (%s): reason_code %q, want %q", c.ID, c.Rule, a.ReasonCode, e.Class)
	}
	if e.SameAs != "" && a.Status < 300 {
		if err := sameOutcome(earlier[e.SameAs], a); err != nil {
			return fmt.Errorf("%s (%s): not as %s: %w", c.ID, c.Rule, e.SameAs, err)
		}
	}
	return nil
}

const resolution = 2e-9

func (c *Case) checkValues(a Answer) error {
	if d := c.Expect.DHat; len(d) > 0 && (a.RecomputedDHat == nil || *a.RecomputedDHat < d[0]-resolution || *a.RecomputedDHat > d[len(d)-1]+resolution) {
		return fmt.Errorf("%s (%s): recomputed_D_hat is not within %v: %s", c.ID, c.Rule, d, a.Raw)
	}
	if len(c.Expect.Budget) == 0 {
		return nil
	}
	for _, b := range c.Expect.Budget {
		if a.RecomputedBudget != nil && *a.RecomputedBudget > b-resolution && *a.RecomputedBudget < b+resolution {
			return nil
		}
	}
	return fmt.Errorf("%s (%s): recomputed_budget is not one of %v: %s", c.ID, c.Rule, c.Expect.Budget, a.Raw)
}

func sameOutcome(first, again Answer) error {
	if first.Status != again.Status || *first.Accepted != *again.Accepted || first.Escalated != again.Escalated ||
		first.ReasonCode != again.ReasonCode || first.Seq != again.Seq {
		return fmt.Errorf("%s\nbefore: %s", again.Raw, first.Raw)
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
