package pcs

import "testing"

// TestAllocations bounds what the fold calls for every record.
func TestAllocations(t *testing.T) {
	r := Decode(goodBody(t))
	payload := make([]byte, 0, 512)
	tuple := r.Tuple(F9)
	for name, call := range map[string]func(){
		"CheckID":      func() { _ = r.CheckID() },
		"Tuple":        func() { r.Tuple(F9) },
		"payload":      func() { _, _ = r.AppendPayload(payload, F9) },
		"SignedDigest": func() { r.SignedDigest(tuple) },
		"InputsDigest": func() { r.InputsDigest(tuple) },
	} {
		if n := testing.AllocsPerRun(100, call); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkCheckID(b *testing.B) {
	r := Decode(goodBody(b))
	b.ReportAllocs()
	for b.Loop() {
		if f := r.CheckID(); f != nil {
			b.Fatal(f)
		}
	}
}

func BenchmarkTuple(b *testing.B) {
	r := Decode(goodBody(b))
	for _, p := range []Profile{F9, Py, ES, Go} {
		b.Run(p.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.Tuple(p)
			}
		})
	}
}

func BenchmarkPayload(b *testing.B) {
	r := Decode(goodBody(b))
	buf := make([]byte, 0, 512)
	for p := F9; p <= LastProfile; p++ {
		b.Run(p.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.AppendPayload(buf, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDigests(b *testing.B) {
	r := Decode(goodBody(b))
	t := r.Tuple(F9)
	b.Run("signed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.SignedDigest(t)
		}
	})
	b.Run("inputs", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.InputsDigest(t)
		}
	})
}
