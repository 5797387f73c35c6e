package cluster

import (
	"bytes"
	"syscall"
	"testing"
	"time"
)

// BenchmarkCall calls another node from 64 goroutines at a time, in one process, so that both sides are in its figures.
// CPU-ns/op is the time of the processors for one call.
func BenchmarkCall(b *testing.B) {
	box := newBox(b, "n1", "n2")
	c1 := box.start("n1", nil)
	box.start("n2", nil)
	body := bytes.Repeat([]byte("x"), 64)
	b.ReportAllocs()
	b.SetParallelism(32) // times GOMAXPROCS
	before := processorTime(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c1.Call(b.Context(), "n2", "/echo", body); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "CPU-ns/op")
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
