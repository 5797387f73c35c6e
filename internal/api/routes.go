package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// route is one line of the table of routes and roles.
type route struct {
	method, path string
	roles        []wire.Role // who may use it; nil is everybody, without credentials
	op           bool        // an operation that changes the ledger: authenticated again and proposed by the leader
	second       bool        // needs two actors if auth.two_person is on
	basic        bool        // Basic Auth is accepted too, if configured
	noted        bool        // in the audit stream although it is no operation
	long         bool        // an answer that may take long, and so ends with the credentials of its request
	serve        handler
}

// Sets of roles for the table.
var (
	everybody []wire.Role
	metering  = []wire.Role{wire.RoleMetrics, wire.RoleAuditor, wire.RoleResponder, wire.RoleOperator}
	reading   = []wire.Role{wire.RoleAuditor, wire.RoleResponder, wire.RoleOperator}
	incident  = []wire.Role{wire.RoleResponder, wire.RoleOperator}
	operating = []wire.Role{wire.RoleOperator}
)

// Freshness of the reads that do not ask for another.
const (
	local        = wire.ConsistencyLocal
	linearizable = wire.ConsistencyLinearizable
)

// routeTable lists every route of a node and who may use it. Handlers cannot be reached in any other way:
// register builds the routes from the table, and a handler that was registered elsewhere keeps the server from
// starting.
//
// A record is public to everybody who knows its pcs_id, so that an agent can look up its outcome without
// credentials. The id is a hash of the record, which nobody can guess. Checkpoints, tiles and proofs are public too:
// they hold hashes, times and kinds of events, and no payload.
var routeTable = []route{
	{method: "POST", path: "/v1/pcs/submit", roles: everybody, serve: (*server).submit},
	{method: "POST", path: "/v1/pcs/submit-batch", roles: everybody, serve: (*server).submitBatch},
	{method: "POST", path: "/v1/pcs/check", roles: metering, serve: (*server).check},
	{method: "GET", path: "/v1/pcs/:pcs_id", roles: everybody, serve: serveRead(linearizable, lookup, backwards...)},
	{method: "GET", path: "/v1/pcs/:pcs_id/history", roles: reading, serve: serveRead(linearizable, history)},
	{method: "GET", path: "/v1/pcs/:pcs_id/receipt", roles: everybody, serve: (*server).receipt},
	{method: "GET", path: "/v1/pcs/:pcs_id/bundle", roles: reading, serve: (*server).bundle},
	{method: "GET", path: "/v1/pcs", roles: reading, serve: serveRead(local, complete, "prefix", "limit")},

	{method: "GET", path: "/v1/audit", roles: reading, long: true, serve: (*server).audit},
	{method: "GET", path: "/v1/audit/stream", roles: reading, serve: (*server).tailAudit},
	{method: "GET", path: "/v1/events", roles: reading, long: true, serve: (*server).events},
	{method: "GET", path: "/v1/events/:seq", roles: reading, serve: serveRead(local, oneEvent)},
	{
		method: "GET",
		path:   "/v1/shards",
		roles:  reading,
		serve:  serveRead(local, listShards, append([]string{"silent", "limit", "cursor"}, backwards...)...),
	},
	{method: "GET", path: "/v1/shards/:shard_id", roles: reading, serve: serveRead(local, oneShard, backwards...)},
	{method: "GET", path: "/v1/cluster", roles: reading, serve: serveRead(local, describeCluster)},
	{method: "POST", path: "/v1/cluster/members", roles: operating, op: true, serve: serveOp(fromBody, addMember)},
	{
		method: "POST",
		path:   "/v1/cluster/members/:node_id/promote",
		roles:  operating,
		op:     true,
		serve:  serveOp(fromBody, promoteMember),
	},
	{
		method: "POST",
		path:   "/v1/cluster/members/:node_id/remove",
		roles:  operating,
		op:     true,
		serve:  serveOp(fromBody, removeMember),
	},
	{
		method: "POST",
		path:   "/v1/cluster/members/:node_id/address",
		roles:  operating,
		op:     true,
		serve:  serveOp(fromBody, moveMember),
	},
	{
		method: "POST",
		path:   "/v1/cluster/invitations",
		roles:  operating,
		op:     true,
		serve:  serveOp(fromBody, inviteMember),
	},
	{
		method: "POST",
		path:   "/v1/cluster/invitations/:node_id/withdraw",
		roles:  operating,
		op:     true,
		serve:  serveOp(fromBody, withdrawInvitation),
	},
	{
		method: "POST",
		path:   "/v1/cluster/leader",
		roles:  operating,
		op:     true,
		serve:  serveOp(fromBody, transferLeadership),
	},
	{
		method: "POST",
		path:   "/v1/cluster/version",
		roles:  operating,
		op:     true,
		serve:  serveOp(fromBody, raiseVersion),
	},
	{method: "GET", path: "/v1/digest", roles: reading, serve: serveRead(local, digest, "seq", "edge")},

	{
		method: "GET",
		path:   "/v1/policies",
		roles:  reading,
		serve:  serveRead(linearizable, listPolicies, byEvent...),
	},
	{
		method: "GET",
		path:   "/v1/policies/:policy_id",
		roles:  reading,
		serve:  serveRead(linearizable, onePolicy, byEvent...),
	},
	{method: "POST", path: "/v1/policies", roles: incident, op: true, serve: serveOp(policyRequest, publishPolicy)},
	{
		method: "POST",
		path:   "/v1/policies/:policy_id/apply",
		roles:  incident,
		op:     true,
		second: true,
		serve:  serveOp(fromBody, applyPolicy),
	},

	{method: "GET", path: "/v1/keys", roles: reading, serve: serveRead(linearizable, listKeys, byEvent...)},
	{
		method: "GET",
		path:   "/v1/keys/:key_id",
		roles:  reading,
		serve:  serveRead(linearizable, oneKey, byEvent...),
	},
	{method: "POST", path: "/v1/keys", roles: operating, op: true, serve: serveOp(fromBody, addKey)},
	{method: "POST", path: "/v1/keys/:key_id/revoke", roles: incident, op: true, serve: serveOp(fromBody, revokeKey)},
	{method: "POST", path: "/v1/keys/:key_id/retire", roles: operating, op: true, serve: serveOp(fromBody, retireKey)},
	{
		method: "POST",
		path:   "/v1/keys/:key_id/retire-secret",
		roles:  operating,
		op:     true,
		serve:  serveOp(fromBody, retireSecret),
	},

	{method: "GET", path: "/v1/operations", roles: reading, serve: serveRead(linearizable, listOperations, "from_seq", "limit")},
	{
		method: "GET",
		path:   "/v1/freezes",
		roles:  reading,
		serve:  serveRead(linearizable, listFreezes, byEvent...),
	},
	{method: "POST", path: "/v1/freezes", roles: incident, op: true, serve: serveOp(fromBody, freeze)},
	{method: "POST", path: "/v1/thaw", roles: incident, op: true, second: true, serve: serveOp(fromBody, thaw)},
	{
		method: "GET",
		path:   "/v1/known-shards",
		roles:  reading,
		serve:  serveRead(linearizable, listKnownShards, byEvent...),
	},
	{method: "POST", path: "/v1/known-shards", roles: incident, op: true, serve: serveOp(fromBody, addKnownShards)},

	{method: "GET", path: "/v1/generations", roles: reading, serve: serveRead(linearizable, listGenerations)},
	{method: "GET", path: "/v1/generations/:generation", roles: reading, serve: serveRead(linearizable, oneGeneration)},
	{
		method: "GET",
		path:   "/v1/generations/:generation/diff",
		roles:  reading,
		serve:  serveRead(linearizable, diff, "position"),
	},
	{method: "GET", path: "/v1/generations/:generation/flips", roles: reading, long: true, serve: (*server).flips},
	{method: "GET", path: "/v1/generations/:generation/progress", roles: reading, long: true, serve: (*server).progress},
	{method: "POST", path: "/v1/generations", roles: incident, op: true, serve: serveOp(fromBody, startGeneration)},
	{
		method: "POST",
		path:   "/v1/generations/:generation/activate",
		roles:  incident,
		op:     true,
		second: true,
		serve:  serveOp(fromBody, activate),
	},
	{
		method: "POST",
		path:   "/v1/generations/rollback",
		roles:  incident,
		op:     true,
		second: true,
		serve:  serveOp(fromBody, rollback),
	},
	{
		method: "DELETE",
		path:   "/v1/generations/:generation",
		roles:  incident,
		op:     true,
		serve:  serveOp(fromQuery, dropGeneration),
	},

	{method: "GET", path: "/v1/approvals", roles: reading, serve: serveRead(linearizable, listApprovals, "all")},
	{method: "POST", path: "/v1/approvals", roles: incident, op: true, serve: serveOp(fromBody, approve)},

	{method: "GET", path: "/v1/whoami", roles: metering, serve: serveRead(local, whoami)},
	{method: "GET", path: "/v1/tokens", roles: reading, serve: (*server).listTokens},
	{method: "POST", path: "/v1/tokens", roles: operating, op: true, serve: serveOp(fromBody, createToken)},
	{
		method: "POST",
		path:   "/v1/tokens/:token_id/revoke",
		roles:  operating,
		op:     true,
		serve:  serveOp(fromBody, revokeToken),
	},

	{method: "POST", path: "/v1/copies", roles: operating, noted: true, serve: (*server).createCopy},
	{method: "GET", path: "/v1/copies", roles: operating, serve: (*server).listCopies},
	{method: "GET", path: "/v1/copies/:copy_id", roles: operating, serve: (*server).oneCopy},
	{method: "DELETE", path: "/v1/copies/:copy_id", roles: operating, noted: true, serve: (*server).removeCopy},
	{method: "GET", path: "/v1/copies/:copy_id/files/:name", roles: operating, long: true, serve: (*server).copyFile},

	{method: "GET", path: "/checkpoint", roles: everybody, serve: (*server).checkpoint},
	{method: "GET", path: "/v1/checkpoints", roles: everybody, serve: (*server).checkpoints},
	{method: "GET", path: "/tile/:level/*", roles: everybody, serve: (*server).tile},
	{method: "GET", path: "/v1/log/proof/inclusion", roles: everybody, serve: (*server).inclusion},
	{method: "GET", path: "/v1/log/proof/consistency", roles: everybody, serve: (*server).consistency},

	{method: "GET", path: "/metrics", roles: metering, basic: true, serve: (*server).metricsPage},
	{method: "GET", path: "/livez", roles: everybody, serve: (*server).livez},
	{method: "GET", path: "/readyz", roles: everybody, serve: (*server).readyz},
	{method: "GET", path: "/health", roles: everybody, serve: (*server).health},
	{method: "GET", path: "/version", roles: everybody, serve: (*server).version},
	{method: "GET", path: "/openapi.yaml", roles: everybody, serve: (*server).openapi},
	{method: "GET", path: "/openapi.json", roles: everybody, serve: (*server).openapiJSON},
	{method: "GET", path: "/problems/:slug", roles: everybody, serve: (*server).problemPage},
}

// RouteRoles is one line of the table for use by others: documentation, tests.
type RouteRoles struct {
	Method, Path string      // path as the HTTP contract writes it, /v1/pcs/{pcs_id}
	Roles        []wire.Role // nil is everybody
	Operation    bool
	Second       bool // needs two actors if auth.two_person is on
	Basic        bool // Basic Auth is accepted too, if configured
}

// Routes returns the table of routes and roles in order.
func Routes() []RouteRoles {
	out := make([]RouteRoles, len(routeTable))
	for i, r := range routeTable {
		parts := strings.Split(r.path, "/")
		for j, p := range parts {
			if name, ok := strings.CutPrefix(p, ":"); ok {
				parts[j] = "{" + name + "}"
			} else if p == "*" { // one or more elements: only tiles have them
				parts[j] = "{tile}"
			}
		}
		out[i] = RouteRoles{
			Method:    r.method,
			Path:      strings.Join(parts, "/"),
			Roles:     slices.Clone(r.roles),
			Operation: r.op,
			Second:    r.second,
			Basic:     r.basic,
		}
	}
	return out
}

// table returns the routes of this server. /metrics may have its own listener.
func (s *server) table() []route {
	if !s.MetricsApart {
		return routeTable
	}
	return slices.DeleteFunc(slices.Clone(routeTable), func(r route) bool { return r.path == "/metrics" })
}

// register builds the routes from the table.
func (s *server) register(e *echo.Echo) {
	for _, r := range s.table() {
		e.Add(r.method, r.path, func(c echo.Context) error {
			if !r.op && viaOf(c) != "" { // other nodes forward operations and nothing else
				return wire.NewProblem(wire.CodeNotFound, "")
			}
			if err := s.auth.authorize(r, c); err != nil {
				return err
			}
			if done, err := s.forward(r, c); done || err != nil {
				return err
			}
			if r.long {
				return s.serveLong(c, r.serve)
			}
			return r.serve(s, c)
		})
	}
}

// checkRoutes rejects handlers that did not come from the table, and inconsistent lines.
func checkRoutes(built []*echo.Route, table []route) error {
	var have, want []string
	for _, r := range built {
		have = append(have, r.Method+" "+r.Path)
	}
	for _, r := range table {
		want = append(want, r.method+" "+r.path)
		if r.second && !r.op {
			return fmt.Errorf("%w: %s %s needs two actors and is no operation", errConfig, r.method, r.path)
		}
		if r.op && (len(r.roles) == 0 || r.method == http.MethodGet) {
			return fmt.Errorf("%w: %s %s is an operation that everybody may do or that reads", errConfig,
				r.method, r.path)
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		return fmt.Errorf("%w: routes without an entry in the table of roles, or entries without a route:\n%v\n%v",
			errConfig, have, want)
	}
	return nil
}
