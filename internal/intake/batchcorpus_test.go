package intake_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/corpus"
	"github.com/recount-ledger/recount/internal/intake"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// corpusKeys are the keys that the published records are signed with, as nodes read them.
func corpusKeys(t *testing.T) (out []verify.Key) {
	t.Helper()
	for _, secret := range []string{"TRi84rjRdeJ4EasHWrOxVf6pckZqFBd+quSuUAPsTq0=", "previous-shared-key"} {
		k, err := verify.NewHMACKey([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, k)
	}
	public, err := base64.StdEncoding.DecodeString("+CpgkgeQRd0qAM1WygfHS4iIs5ceeUpNz+A69X/KbpY=")
	if err != nil {
		t.Fatal(err)
	}
	k, err := verify.NewEd25519Key(public)
	if err != nil {
		t.Fatal(err)
	}
	return append(out, k)
}

// corpusBodies are the bodies of the published cases that can be a line, those of hostile input among them.
func corpusBodies(t *testing.T) (out [][]byte) {
	t.Helper()
	for _, name := range []string{"good-hmac.ndjson", "good-ed25519.ndjson", "bad-input.ndjson"} {
		lines, err := corpus.Load(filepath.Join("../../testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for i := range min(len(lines), 700) {
			body, err := lines[i].Bytes()
			if err != nil {
				t.Fatal(err)
			}
			if len(body) > 0 && len(body) < 100<<10 && !bytes.ContainsAny(body, "\n") {
				out = append(out, body)
			}
		}
	}
	return out
}

var eventNumber = regexp.MustCompile(`event \d+`)

// told has what a client is told of a record, apart from positions and times, which depend on the events before it, and
// from whether a forgery was logged, which depends on the pace.
func told(t *testing.T, r api.Submitted) string {
	t.Helper()
	var p *wire.Problem
	var m map[string]any
	var v any = r.Answer
	if r.Err != nil {
		if !errors.As(r.Err, &p) {
			t.Fatal(r.Err)
		}
		v = p
	}
	text, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	delete(m, "seq")
	delete(m, "received_at")
	if first, ok := m["first"].(map[string]any); ok {
		delete(first, "seq")
		delete(first, "received_at")
	}
	if m["code"] == string(wire.CodeBadSignature) {
		for _, name := range []string{"generation", "outcome", "policy"} {
			delete(m, name)
		}
	}
	return eventNumber.ReplaceAllString(fmt.Sprint(m), "event N")
}

// TestCorpusInBatches: each published record gets in a batch what it gets alone, whatever is in the batch with it, and
// when all of them come again.
func TestCorpusInBatches(t *testing.T) {
	bodies := corpusBodies(t)
	plenty := func(o *intake.Options) { o.QueueBytes = 64 << 20 }
	one, many := newBenchOf(t, corpusKeys(t), plenty), newBenchOf(t, corpusKeys(t), plenty)
	outcomes := map[string]int{}
	for round := range 2 {
		batch, err := many.Batch(here)
		if err != nil {
			t.Fatal(err)
		}
		for from := 0; from < len(bodies); from += 100 {
			group := bodies[from:min(from+100, len(bodies))]
			for i, got := range batch.Submit(t.Context(), group) {
				answer, err := one.Submit(t.Context(), group[i], here)
				want := told(t, api.Submitted{Answer: answer, Err: err})
				if text := told(t, got); text != want {
					t.Errorf("round %d, body %d, in a batch\n%s\nalone\n%s\n%.300s", round+1, from+i, text, want, group[i])
				}
				outcomes[fmt.Sprint(one.code(err))]++
			}
		}
	}
	if outcomes[""] < 500 || len(outcomes) < 5 {
		t.Errorf("the corpus is too plain: %v", outcomes)
	}
}
