package api

import (
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// Act is what the audit stream says of an act of an operator, done or refused.
type Act struct {
	Actor, Role string // who, and in which role; empty when that is not known
	Route       string // method and template, such as "POST /v1/policies"
	Target      string // what the path names, such as a key id, at most maxTarget bytes; empty when it names nothing
	Status      int    // of the answer
	OpID        string
	RequestID   string
}

// maxTarget bounds Act.Target: a path may be long.
const maxTarget = 128

// Names under which a request carries what is known of an act.
const (
	actorKey = "act.actor"
	roleKey  = "act.role"
	opKey    = "act.op_id"
)

// noteActor says who is acting, as soon as that is known. Whatever happens to the request afterwards, a refusal included,
// the audit stream then names the actor.
func noteActor(c echo.Context, actor, role string) {
	c.Set(actorKey, actor)
	c.Set(roleKey, role)
}

// takeAct bounds what an operator says about an act and notes its op_id.
func takeAct(c echo.Context, a wire.Act) error {
	if err := checkAct(a); err != nil {
		return err
	}
	c.Set(opKey, a.OpID)
	return nil
}

// recordAct hands an act to whoever keeps the audit stream, when it has been answered.
func (s *server) recordAct(c echo.Context, status int) {
	route := c.Request().Method + " " + c.Path()
	if s.Acts == nil || !s.acts[route] {
		return
	}
	text := func(key string) string { t, _ := c.Get(key).(string); return t }
	target := strings.Join(c.ParamValues(), " ")
	s.Acts(Act{Actor: text(actorKey), Role: text(roleKey), Route: route, Target: target[:min(len(target), maxTarget)], Status: status, OpID: text(opKey), RequestID: currentID(c)})
}
