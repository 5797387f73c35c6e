package limit

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"
)

const second = int64(time.Second)

func TestBucketsHoldTheirRate(t *testing.T) {
	b := NewBuckets(64, 10, Burst(10))
	taken := 0
	for now := int64(0); now < 5*second; now += second / 200 {
		if _, ok := b.take("a", now); ok {
			taken++
		}
	}
	if taken < 69 || taken > 70 { // 20 at once, then 10 per second
		t.Errorf("%d taken in 5 s", taken)
	}
	if _, ok := b.take("b", 5*second); !ok {
		t.Error("one source empties the bucket of another")
	}
	for ok := true; ok; _, ok = b.take("a", 5*second) {
	}
	if wait, ok := b.take("a", 5*second); ok || wait <= 0 || wait > time.Second/10 {
		t.Errorf("%v %v", wait, ok)
	}
	if b := NewBuckets(64, 0, Burst(0)); b != nil {
		t.Error("rate 0 is no limit")
	} else if _, ok := b.Take("a"); !ok {
		t.Error("no limit refuses")
	}
}

func TestWaitIsRight(t *testing.T) {
	for _, rate := range []float64{0.01, 0.5, 3, 1000} {
		b := NewBuckets(8, rate, Burst(rate))
		now := int64(0)
		for range 5 {
			wait, ok := b.take("a", now)
			for ok {
				wait, ok = b.take("a", now)
			}
			if _, early := b.take("a", now+int64(wait)/2); early {
				t.Errorf("rate %v: a token before the time that was told", rate)
			}
			now += int64(wait) + 1000
			if _, ok := b.take("a", now); !ok {
				t.Errorf("rate %v: no token after %v", rate, wait)
			}
		}
	}
}

// TestPeek: a look at a bucket gives what a draw would give, takes nothing and makes no source known.
func TestPeek(t *testing.T) {
	b := NewBuckets(ways, 1, 3) // one set, so that a ninth source displaces one of eight
	for i := range 3 {
		if wait, ok := b.peek("a", 0); !ok || wait != 0 {
			t.Fatalf("after %d draws: %v %v", i, wait, ok)
		}
		if _, ok := b.take("a", 0); !ok {
			t.Fatalf("draw %d failed after a look", i)
		}
	}
	if wait, ok := b.peek("a", second/4); ok || wait != 750*time.Millisecond {
		t.Errorf("an empty bucket: %v %v", wait, ok)
	}
	if _, ok := b.peek("a", second); !ok {
		t.Error("a look does not see what was refilled")
	}
	for i := range 100 {
		if _, ok := b.peek(fmt.Sprint("unknown ", i), 0); !ok {
			t.Error("an unknown source has a full bucket")
		}
	}
	if _, ok := b.peek("a", 0); ok {
		t.Error("looks at unknown sources displaced a known one")
	}
	var none *Buckets
	if wait, ok := none.Peek("a"); !ok || wait != 0 {
		t.Error("no limit refuses")
	}
}

// TestBurst: a bucket holds what comes in two seconds, and a source whose rate is tiny still has one token.
func TestBurst(t *testing.T) {
	for rate, want := range map[float64]float64{0: 1, 0.01: 1, 0.5: 1, 0.75: 1.5, 100: 200} {
		if got := Burst(rate); got != want {
			t.Errorf("rate %v: %v, want %v", rate, got, want)
		}
	}
	b, taken := NewBuckets(8, 1, 60), 0
	for ok := true; ok; taken++ {
		_, ok = b.take("a", 0)
	}
	if taken != 61 { // the last one was refused
		t.Errorf("%d draws from a bucket of 60", taken-1)
	}
}

// TestCrowdDoesNotWashOut: a source that is over its rate stays known while a million others come by.
func TestCrowdDoesNotWashOut(t *testing.T) {
	b := NewBuckets(1024, 1, Burst(1))
	noisy := 0
	for i := range 1_000_000 {
		now := int64(i) * second / 100_000 // ten seconds
		b.take(fmt.Sprint("crowd ", i), now)
		if i%100 == 0 {
			if _, ok := b.take("noisy", now); ok {
				noisy++
			}
		}
	}
	if noisy > 12 {
		t.Errorf("%d tokens in 10 s at one per second and a burst of 2", noisy)
	}
}

func TestMemoryIsFixed(t *testing.T) {
	b := NewBuckets(65536, 1, Burst(1))
	size := uintptr(len(b.sets)) * unsafe.Sizeof(set{})
	if size > 65536*SlotBytes || size < 65536*(SlotBytes-1) {
		t.Errorf("%d bytes", size)
	}
	t.Logf("65,536 sources take %d bytes", size)
	if n := testing.AllocsPerRun(1000, func() { b.Take("a") }); n != 0 {
		t.Errorf("%v allocations per call", n)
	}
}

func TestPrefix(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"2001:db8:1:2::1": "2001:db8:1:2::/64", "2001:db8:1:3::1": "2001:db8:1:3::/64", "fe80::1%eth0": "fe80::/64",
		"": "", "what": "what",
	} {
		if got := Prefix(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { Prefix("192.0.2.1") }); n != 0 {
		t.Errorf("%v allocations for an IPv4 address", n)
	}
}

// load sends what each source of a population sends, at random times, and says which part of it passed.
func load(f *Fair, seconds int, rates map[string]float64) map[string]float64 {
	rng := rand.New(rand.NewPCG(1, 2))
	sent, passed := map[string]int{}, map[string]int{}
	names := slices.Sorted(maps.Keys(rates))
	const step = second / 200
	for now := int64(0); now < int64(seconds)*second; now += step {
		for i, first := 0, rng.IntN(len(names)); i < len(names); i++ { // nobody is always first
			name := names[(first+i)%len(names)]
			for range poisson(rng, rates[name]/200) {
				sent[name]++
				if _, ok := f.take(name, 1, now); ok {
					passed[name]++
				}
			}
		}
	}
	out := map[string]float64{}
	for name, n := range sent {
		out[name] = float64(passed[name]) / float64(n)
	}
	return out
}

func poisson(rng *rand.Rand, mean float64) (n int) {
	for p := rng.Float64(); p > math.Exp(-mean); n++ {
		p *= rng.Float64()
	}
	return n
}

// TestExampleOfThePage: the table of docs/rate-limits.md, nine quiet keys and a noisy one at a node that takes 100 per
// second.
func TestExampleOfThePage(t *testing.T) {
	const seconds = 200
	rates := map[string]float64{"noisy": 500}
	for i := range 9 {
		rates[fmt.Sprint("quiet ", i)] = 5
	}
	f := NewFair(16384, 100, 200, 50)
	passed := load(f, seconds, rates)
	for name, part := range passed {
		if name != "noisy" && part != 1 {
			t.Errorf("%s: %.1f %% pass, the page says all", name, 100*part)
		}
	}
	if noisy := 500*passed["noisy"] - 200.0/seconds; noisy < 54 || noisy > 56 { // without the burst of the beginning
		t.Errorf("the noisy one gets %.1f per second, the page says 55", noisy)
	}
}

// TestNoisyOneGetsWhatTheOthersLeave: a thousand quiet sources and one that sends ten times what is taken.
func TestNoisyOneGetsWhatTheOthersLeave(t *testing.T) {
	rates := map[string]float64{"0": 1000}
	for i := range 1000 {
		rates[fmt.Sprint(i+1)] = 0.08
	}
	f := NewFair(4096, 100, 200, 50)
	got := load(f, 30, rates)
	quiet, least := 0.0, 1.0
	for name, part := range got {
		if name != "0" {
			quiet += part / float64(len(got)-1)
			least = min(least, part)
		}
	}
	t.Logf("quiet: %.4f of what they sent, the worst of them %.2f; noisy: %.4f of what it sent", quiet, least, got["0"])
	if quiet < 0.99 || got["0"] < 0.015 || got["0"] > 0.03 {
		t.Errorf("quiet %.4f, noisy %.4f", quiet, got["0"])
	}
}

// TestRareSourceIsServed: a source that comes once a minute is always a new one, and the noisy one keeps the bucket empty.
func TestRareSourceIsServed(t *testing.T) {
	f := NewFair(1024, 10, 20, 5)
	for now := int64(0); now < 600*second; now += second / 100 {
		f.take("noisy", 1, now)
		if now%(60*second) == 30*second {
			if _, ok := f.take("rare", 1, now); !ok {
				t.Errorf("refused at %v", time.Duration(now))
			}
		}
	}
}

func TestEqualsGetEqualParts(t *testing.T) {
	rates := map[string]float64{}
	for i := range 10 {
		rates[fmt.Sprint(i)] = 100
	}
	for name, part := range load(NewFair(1024, 100, 200, 50), 60, rates) {
		if part < 0.08 || part > 0.125 {
			t.Errorf("%s got %.3f of what it sent, not a tenth", name, part)
		}
	}
}

func TestFairHoldsItsRateAndBurst(t *testing.T) {
	for _, rate := range []float64{0.01, 5, 100} {
		burst := max(1, 2*rate)
		f := NewFair(64, rate, burst, rate/2)
		taken := 0
		for {
			if _, ok := f.take("a", 1, 0); !ok {
				break
			}
			taken++
		}
		if float64(taken) != math.Floor(burst) {
			t.Errorf("rate %v: a burst of %d", rate, taken)
		}
		for i := range 50_000 { // ten seconds, any number of sources
			if _, ok := f.take(fmt.Sprint(i%7), 1, int64(i)*second/5000); ok {
				taken++
			}
		}
		if limit := burst + rate/2 + 10*rate + 1; float64(taken) > limit {
			t.Errorf("rate %v: %d taken, the bucket holds %v", rate, taken, limit)
		}
	}
}

func TestSharesLeaveRoom(t *testing.T) {
	s, total, used := NewShares(), int64(1000), int64(0)
	var shares []Share
	for {
		l, ok := s.Enter("noisy", 10, total-used)
		if !ok {
			break
		}
		used += 10
		shares = append(shares, l)
	}
	if used < 490 || used > 510 {
		t.Errorf("one source holds %d of 1000", used)
	}
	if _, ok := s.Enter("quiet", 10, total-used); !ok {
		t.Error("no room for another")
	}
	for _, l := range shares {
		l.Leave()
	}
	if _, ok := s.Enter("noisy", 10, total-10); !ok {
		t.Error("what was given back is not free")
	}
}

// TestCrowdOfStrangers: keys that send now and then are served, whatever comes from addresses that were never seen before.
func TestCrowdOfStrangers(t *testing.T) {
	for _, perSecond := range []int{100, 200, 400, 2000} {
		all, strangers := NewFair(1<<10, 100, 200, 50), NewFair(1<<10, 100, 200, 50)
		served, forged, next := 0, 0, 0
		const seconds, keys = 60, 20
		for at := range seconds * perSecond {
			now := int64(at) * 1e9 / int64(perSecond)
			next++
			if _, ok := strangers.take(fmt.Sprint("address ", next), 1, now); ok {
				if _, ok := all.spare(1, now); ok {
					forged++
				}
			}
			if at%(perSecond/2) == 0 { // two a second
				if _, ok := all.take(fmt.Sprint("key ", at*2/perSecond%keys), 1, now); ok {
					served++
				}
			}
		}
		if served != 2*seconds || forged > 100*seconds+250 || forged < 90*seconds {
			t.Errorf("%d strangers a second: %d of %d of the keys served, %d strangers", perSecond, served, 2*seconds, forged)
		}
	}
}
