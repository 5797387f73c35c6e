package wire

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"
)

func TestNanoText(t *testing.T) {
	for text, n := range map[string]Nano{
		"0": 0, "3": 3_000_000_000, "1.412345679": 1_412_345_679, "-0.5": -500_000_000, "0.000000001": 1,
		"-0.000000001": -1, "9223372036.854775807": math.MaxInt64, "-9223372036.854775807": -math.MaxInt64,
	} {
		if n.String() != text {
			t.Errorf("%d: %s, want %s", int64(n), n, text)
		}
		var back Nano
		if err := json.Unmarshal([]byte(text), &back); err != nil || back != n {
			t.Errorf("%s: %d, %v", text, int64(back), err)
		}
	}
	if got := Nano(math.MinInt64).String(); got != "-9223372036.854775808" {
		t.Error(got)
	}
	for _, bad := range []string{"", "-", ".5", "1.", "1e3", "1.0000000001", "9223372036.854775808", "99999999999999999999", "1.2.3", "+1", "0x1", "1_0"} {
		if n, err := ParseNano(bad); !errors.Is(err, ErrNano) {
			t.Errorf("%q: %d, %v", bad, int64(n), err)
		}
	}
}

func TestSubmitAnswerKeepsZero(t *testing.T) {
	text, err := json.Marshal(SubmitAnswer{RecomputedDHat: NanoPtr(0)})
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
