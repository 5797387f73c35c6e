package node

import (
	"sync"
	"time"
)

// meter measures how fast a generation folds.
type meter struct {
	mu   sync.Mutex
	at   time.Time
	seq  uint64
	rate float64
}

// note takes the position reached; the rate is that of the last seconds.
func (m *meter) note(seq uint64, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at.IsZero() {
		m.at, m.seq = now, seq
		return
	}
	if span := now.Sub(m.at); span >= time.Second {
		rate := float64(seq-m.seq) / span.Seconds()
		if m.rate == 0 {
			m.rate = rate
		}
		m.rate = (m.rate + rate) / 2
		m.at, m.seq = now, seq
	}
}

func (m *meter) perSecond() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rate
}
