package api

import (
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// Operation describes an operation for the audit stream, whether it was done or rejected.
type Operation struct {
	Actor, Role string // name and role of the caller, empty if not known
	Route       string // method and template, such as "POST /v1/policies"
	// the object in the path, such as a key id, at most maxTarget bytes; empty if the path names none
	Target    string
	Status    int // of the response
	OpID      string
	RequestID string
}

// maxTarget bounds Operation.Target, because a path may be long.
const maxTarget = 128

// Context keys under which a request carries what is known of an operation.
const (
	actorKey = "operation.actor"
	roleKey  = "operation.role"
	opKey    = "operation.op_id"
)

// noteActor stores the actor as soon as it is known. The audit stream then names the actor even if the request
// is rejected later.
func noteActor(c echo.Context, actor, role string) {
	c.Set(actorKey, actor)
	c.Set(roleKey, role)
}

// takeOp validates the common fields of an operation and stores its op_id.
func takeOp(c echo.Context, a wire.Op) error {
	if err := checkOp(a); err != nil {
		return err
	}
	c.Set(opKey, a.OpID)
	return nil
}

// recordOperation passes an operation to the audit stream after the response.
func (s *server) recordOperation(c echo.Context, status int) {
	at := endpoint{c.Request().Method, c.Path()}
	if s.Operations == nil || !s.operations[at] {
		return
	}
	text := func(key string) string { t, _ := c.Get(key).(string); return t }
	target := strings.Join(c.ParamValues(), " ")
	s.Operations(Operation{
		Actor:     text(actorKey),
		Role:      text(roleKey),
		Route:     at.method + " " + at.path,
		Target:    target[:min(len(target), maxTarget)],
		Status:    status,
		OpID:      text(opKey),
		RequestID: currentID(c),
	})
}
