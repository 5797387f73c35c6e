package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// standEvery lies between two looks at the credentials of an answer that takes long.
const standEvery = time.Second

// serveLong answers a request for as long as its credentials stand. Then the context of the request ends, and what is
// being sent to a slow reader is cut off.
func (s *server) serveLong(c echo.Context, serve handler) error {
	if s.NoAuth {
		return serve(s, c)
	}
	ctx, cancel := context.WithCancelCause(c.Request().Context())
	c.SetRequest(c.Request().WithContext(ctx))
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(s.StandEvery)
		defer tick.Stop()
		for standing := true; standing; standing = s.auth.stand(c) {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
		cancel(wire.NewProblem(wire.CodeUnauthorized, "the credentials are revoked or have expired"))
		_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now())
	})
	err := serve(s, c)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	cancel(nil)
	watch.Wait() // it may not touch the response afterwards
	return err
}

// extend gives the reader of a long answer another writeTimeout, unless the context of the request has ended.
func extend(c echo.Context) error {
	// The writer may not support deadlines. Then the server's own limit applies.
	_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(writeTimeout))
	return c.Request().Context().Err()
}
