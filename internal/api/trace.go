package api

import (
	"cmp"
	"maps"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/internal/laps"
	"github.com/recount-ledger/recount/wire"
)

// Trace follows one request with submissions. *trace.Story implements it.
type Trace interface {
	// Group begins records that enter the log together. The watch travels with them.
	Group() laps.Watch
	// ID is the id of the trace, 32 hexadecimal digits.
	ID() string
	// End is called once, after the response. about has texts, whole numbers and booleans, and no payload,
	// no key and no address.
	End(about map[string]any)
}

// follow begins the trace of a request, if it is to be traced.
func (s *server) follow(c echo.Context, began time.Time) {
	if s.Follow == nil {
		return
	}
	if x, ok := c.(*call); ok {
		x.trace = s.Follow(c.Request().Header["Traceparent"], began)
	}
}

// watchOf returns the watch for records that enter the log together.
func watchOf(c echo.Context) laps.Watch {
	if x, ok := c.(*call); ok && x.trace != nil {
		return x.trace.Group()
	}
	return laps.Start()
}

// explain notes the outcome of one submission for its trace. p is nil unless the response is a problem. The text of a
// problem is left out, because it may quote the record.
func explain(c echo.Context, answer *wire.SubmitAnswer, p *wire.Problem) {
	x, ok := c.(*call)
	switch {
	case !ok || x.trace == nil:
	case p != nil:
		x.about = map[string]any{
			"recount.outcome": p.OutcomeLabel(),
			"recount.error":   string(p.Code),
			"recount.pcs_id":  p.PCSID,
			"recount.seq":     p.Seq,
		}
	default:
		x.about = map[string]any{
			"recount.outcome":     answer.Outcome,
			"recount.reason_code": answer.ReasonCode,
			"recount.replayed":    answer.Replayed,
			"recount.pcs_id":      answer.PCSID,
			"recount.shard_id":    answer.ShardID,
			"recount.seq":         answer.Seq,
		}
	}
}

// explainBatch notes the number of the records of a batch for its trace.
func explainBatch(c echo.Context, records int) {
	if x, ok := c.(*call); ok && x.trace != nil {
		x.about = map[string]any{"recount.records": records}
	}
}

// endTrace ends the trace of a request, and returns its id, "" for none.
func (x *call) endTrace(route string, status int, id string) string {
	if x.trace == nil {
		return ""
	}
	about := map[string]any{
		"http.request.method":       http.MethodPost,
		"http.route":                route,
		"http.response.status_code": cmp.Or(status, http.StatusOK),
		"recount.request_id":        id,
	}
	maps.Copy(about, x.about)
	x.trace.End(about)
	return x.trace.ID()
}
