package cluster

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// memLog is a log in memory whose stores can be made to hang.
type memLog struct {
	*raft.InmemStore
	mu    sync.Mutex
	since time.Time
	block chan struct{}
	reads int
	told  []position // by a leader
}

func newMemLog() *memLog { return &memLog{InmemStore: raft.NewInmemStore()} }

func (l *memLog) hang() (release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ch := make(chan struct{})
	l.block = ch
	return sync.OnceFunc(func() {
		l.mu.Lock()
		l.block = nil
		l.mu.Unlock()
		close(ch)
	})
}

func (l *memLog) StoreLogs(logs []*raft.Log) error {
	l.mu.Lock()
	l.since = time.Now()
	block := l.block
	l.mu.Unlock()
	if block != nil {
		<-block
	}
	defer func() {
		l.mu.Lock()
		l.since = time.Time{}
		l.mu.Unlock()
	}()
	return l.InmemStore.StoreLogs(logs)
}

func (l *memLog) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

func (l *memLog) GetLog(index uint64, log *raft.Log) error {
	l.mu.Lock()
	l.reads++
	l.mu.Unlock()
	return l.InmemStore.GetLog(index, log)
}

func (l *memLog) StoreStarted() (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.since, !l.since.IsZero()
}

func (l *memLog) CommittedAt(index, term uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, position{index, term})
}

// heard returns the last committed position that a leader told, or the zero position.
func (l *memLog) heard() position {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.told) == 0 {
		return position{}
	}
	return l.told[len(l.told)-1]
}
