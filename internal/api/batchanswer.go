package api

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// maxPieces is more than the groups that a batch can have: all but the last are full in records or in bytes.
const maxPieces = 2 + wire.MaxBatchLines/GroupRecords + 64<<20/GroupBytes

// batchAnswer sends a response in pieces while the body is read. Many clients read no response before they have sent
// everything. So what they do not read waits in memory, counted with the bodies of submissions, and never keeps the
// handler from reading on.
type batchAnswer struct {
	w       *echo.Response
	control *http.ResponseController
	held    *atomic.Int64
	pieces  chan []byte
	done    chan struct{}
	failed  atomic.Bool // the client is gone
}

// stream begins a response in pieces.
func (b *batchCall) stream() *batchAnswer {
	b.header().Set(echo.HeaderContentType, wire.MediaNDJSON)
	w := b.c.Response()
	a := &batchAnswer{
		w:       w,
		control: http.NewResponseController(w),
		held:    &b.bodies,
		pieces:  make(chan []byte, maxPieces),
		done:    make(chan struct{}),
	}
	_ = a.control.EnableFullDuplex() // HTTP/2 always is
	w.WriteHeader(http.StatusOK)
	go a.write()
	return a
}

// send queues a piece of the response. It returns false if the client is gone.
func (a *batchAnswer) send(text []byte) bool {
	if a.failed.Load() {
		return false
	}
	a.held.Add(int64(len(text)))
	a.pieces <- text
	return true
}

// close waits until everything is sent.
func (a *batchAnswer) close() {
	close(a.pieces)
	<-a.done
}

func (a *batchAnswer) write() {
	defer close(a.done)
	for text := range a.pieces {
		if !a.failed.Load() {
			// The writer may not support deadlines. Then the server's own limit applies.
			_ = a.control.SetWriteDeadline(time.Now().Add(writeTimeout))
			_, err := a.w.Write(text)
			if err == nil {
				err = a.control.Flush()
			}
			a.failed.Store(err != nil)
		}
		a.held.Add(-int64(len(text)))
	}
}
