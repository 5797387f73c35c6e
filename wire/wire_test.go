package wire

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/recount-ledger/recount/nano"
)

func TestSubmitAnswerKeepsZero(t *testing.T) {
	text, err := json.Marshal(SubmitAnswer{RecomputedDHat: nano.Ptr(0)})
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	if v, ok := m["recomputed_D_hat"]; !ok || v != 0.0 {
		t.Errorf("recomputed_D_hat: %v", v)
	}
	if text, err = json.Marshal(SubmitAnswer{}); err != nil {
		t.Fatal(err)
	}
	clear(m)
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	if v, ok := m["recomputed_D_hat"]; ok { // a client of the predecessor formats what is there
		t.Errorf("recomputed_D_hat: %v", v)
	}
}

func TestProblems(t *testing.T) {
	seen := map[string]bool{}
	for _, info := range Codes() {
		if seen[info.Code.Slug()] || info.Status < 400 || info.Title == "" || info.About == "" || info.ReasonCode == "" {
			t.Errorf("%+v", info)
		}
		seen[info.Code.Slug()] = true
		p := NewProblem(info.Code, "")
		if p.Status != info.Status || p.Text != info.Title || p.Type != "/problems/"+info.Code.Slug() {
			t.Errorf("%+v", p)
		}
	}
	p := NewProblem(CodeOverloaded, "queue full").WithRetry(1500 * time.Millisecond)
	if p.RetryAfterSeconds() != 2 || p.Error() != "overloaded: queue full" {
		t.Errorf("%+v", p)
	}
	if NewProblem("nonsense", "").Code != CodeInternal {
		t.Error("an unknown code is not internal")
	}
}
