package main

import (
	"context"
	"hash/fnv"
	"net/http"
	"sync"

	"github.com/recount-ledger/recount/client"
)

const (
	batchRecords = 256 // in one request, as many as a node takes at once
	laneRecords  = 64  // queued and under way for each lane, on average
)

// lanes send records in batches. The records of one key are in one lane. A lane has one request under way, with the
// records that have come meanwhile, so it keeps their order and is as fast as the cluster.
type lanes struct {
	going  context.Context // ends when nothing more is to be sent
	send   func([]request)
	queued chan struct{} // records queued and under way

	mu      sync.Mutex
	waiting [][]request // by lane
	busy    []bool
	turn    int
	all     sync.WaitGroup
}

// newLanes returns lanes that give send one record, or several that can be a batch.
func newLanes(going context.Context, n int, send func([]request)) *lanes {
	return &lanes{
		going:   going,
		send:    send,
		queued:  make(chan struct{}, laneRecords*n),
		waiting: make([][]request, n),
		busy:    make([]bool, n),
	}
}

// put queues a record. It blocks while too much is queued. The key "" keeps no order.
func (l *lanes) put(q request) error {
	select {
	case l.queued <- struct{}{}:
	case <-l.going.Done():
	}
	if err := l.going.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	lane := l.turn
	if q.orderKey != "" {
		h := fnv.New32a()
		_, _ = h.Write([]byte(q.orderKey)) // it has no errors
		lane = int(h.Sum32() % uint32(len(l.busy)))
	} else {
		l.turn = (l.turn + 1) % len(l.busy)
	}
	l.waiting[lane] = append(l.waiting[lane], q)
	if !l.busy[lane] {
		l.busy[lane] = true
		l.all.Go(func() { l.drain(lane) })
	}
	return nil
}

func (l *lanes) wait() { l.all.Wait() }

// drain sends what a lane has until it has nothing.
func (l *lanes) drain(lane int) {
	for {
		next := l.next(lane)
		if len(next) == 0 {
			return
		}
		if l.going.Err() == nil {
			l.send(next)
		}
		for range next {
			<-l.queued
		}
	}
}

// next takes the records of the next request of a lane.
func (l *lanes) next(lane int) []request {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.waiting[lane]
	n := 0
	for n < len(all) && n < batchRecords && (n == 0 || all[0].isPlain() && all[n].isPlain()) {
		n++
	}
	l.busy[lane] = n > 0
	l.waiting[lane] = all[n:]
	return all[:n:n]
}

// isPlain reports whether a request is that of a record alone, as a batch can have it.
func (j *request) isPlain() bool {
	return j.http.Path == client.SubmitPath && len(j.http.Header) == 0 && !j.http.Chunked &&
		j.http.Method == http.MethodPost
}

// sendAll makes the request of one record or of several, and reports what came of each.
func (a recordCommands) sendAll(ctx context.Context, c *client.Client, all []request, report func(result)) {
	if len(all) == 1 {
		report(a.send(ctx, c, all[0]))
		return
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	bodies := make([][]byte, len(all))
	for i, q := range all {
		bodies[i] = q.http.Body
	}
	for i, o := range client.SubmitBatch(ctx, c, bodies) {
		report(newResult(all[i], o.Response, o.Err))
	}
}

// batches reports whether records may share requests. The order of a file and the expectations of a corpus are about
// one request for each record.
func (f *submitFlags) batches() bool { return !f.dry && f.check == "" && f.order != orderFile }
