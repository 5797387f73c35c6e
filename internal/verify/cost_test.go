package verify

import (
	"encoding/base64"
	"sync"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
)

// TestAllocations: a check of a known client, a repeated check and a verdict without a fault need no memory.
func TestAllocations(t *testing.T) {
	made := 0
	pool := sync.Pool{New: func() any { made++; return new(int) }}
	for range 100 {
		pool.Put(pool.Get())
	}
	if made > 10 {
		t.Skip("pools of this build forget at random, as under the race detector")
	}
	keySet := NewKeySet([]Key{mustHMAC(t, "k")})
	policy := DefaultPolicy()
	for _, mode := range []Mode{Raw, SHA256} {
		rec := goodRecord(t, nil)
		signHMAC(t, rec, "k", pcs.F9, mode)
		facts := keySet.Check(rec, Facts{})
		if v := Evaluate(policy, rec, facts, 0); v.Reason != ReasonOK {
			t.Fatalf("%s: %+v", mode, v)
		}
		for name, call := range map[string]func(){
			"Find":     func() { keySet.Find(rec, facts) },
			"Recheck":  func() { keySet.Recheck(rec, facts) },
			"Evaluate": func() { Evaluate(policy, rec, facts, 0) },
		} {
			if n := testing.AllocsPerRun(100, call); n >= 1 {
				t.Errorf("%s %s: %v allocations", mode, name, n)
			}
		}
	}
}

func BenchmarkRecheck(b *testing.B) {
	keySet := NewKeySet([]Key{mustHMAC(b, "k")})
	for _, p := range []pcs.Profile{pcs.F9, pcs.Py} {
		for _, mode := range []Mode{Raw, SHA256} {
			rec := goodRecord(b, nil)
			signHMAC(b, rec, "k", p, mode)
			facts := keySet.Check(rec, Facts{})
			b.Run(p.String()+"-"+mode.String(), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if ok, _ := keySet.Recheck(rec, facts); !ok {
						b.Fatal("does not verify")
					}
				}
			})
		}
	}
}

func BenchmarkCheckHinted(b *testing.B) {
	keySet := NewKeySet([]Key{mustHMAC(b, "k")})
	rec := goodRecord(b, nil)
	signHMAC(b, rec, "k", pcs.Py, Raw)
	hint := keySet.Check(rec, Facts{})
	b.ReportAllocs()
	for b.Loop() {
		keySet.Check(rec, hint)
	}
}

func BenchmarkCheckForged(b *testing.B) {
	keySet := NewKeySet([]Key{mustHMAC(b, "k")})
	rec := goodRecord(b, nil)
	rec.Sig = base64.StdEncoding.EncodeToString(make([]byte, 32))
	b.ReportAllocs()
	for b.Loop() {
		keySet.Check(rec, Facts{})
	}
}

func BenchmarkJudge(b *testing.B) {
	rec := goodRecord(b, nil)
	p := DefaultPolicy()
	b.ReportAllocs()
	for b.Loop() {
		Evaluate(p, rec, someFacts, 0)
	}
}
