package api

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/wire"
)

// params reads a query string once and strictly. A parameter that the route does not know, a repeated or empty
// one and a wrong value are errors, because a list with an ignored filter is wrong. The first problem is kept
// and returned by err.
type params struct {
	c          echo.Context
	values     url.Values
	generation uint32 // that a cursor names, 0 for none
	minSeq     uint64 // the event that a cursor needs, 0 for none
	asOfTime   int64  // the log time of the request, 0 for none; known after then
	problem    error
}

func readParams(c echo.Context, known ...string) *params {
	values, err := url.ParseQuery(c.Request().URL.RawQuery)
	p := &params{c: c, values: values}
	if err != nil {
		p.fail("query", "not well-formed")
	}
	for name, all := range values {
		switch {
		case !slices.Contains(known, name) && slices.Contains(backwards, name):
			p.fail(name, lookBackDetail(known))
		case !slices.Contains(known, name):
			p.fail(printable(name), "unknown parameter; known are "+strings.Join(known, ", "))
		case len(all) > 1:
			p.fail(printable(name), "given more than once")
		case strings.TrimSpace(all[0]) == "":
			p.fail(name, "has no value: give one, or leave the parameter out")
		}
	}
	return p
}

// printable keeps hostile parameter names out of the response.
func printable(name string) string {
	if len(name) > 40 {
		name = name[:40]
	}
	return strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f && r != '<' && r != '"' {
			return r
		}
		return '?'
	}, name)
}

func (p *params) fail(name, detail string) { p.keep(badParameter(name, detail)) }

// keep keeps the first fault, also one of the path. A nil fault is none.
func (p *params) keep(fault error) {
	if p.problem == nil {
		p.problem = fault
	}
}

// err returns the first fault.
func (p *params) err() error { return p.problem }

func (p *params) text(name string, longest int) string {
	v := p.values.Get(name)
	if len(v) > longest {
		p.fail(name, "longer than "+strconv.Itoa(longest)+" bytes")
	}
	return v
}

// shard reads the id of one shard. It rejects an id that no record can have, because an empty result would look
// like an answer.
func (p *params) shard(name string) string {
	v := p.values.Get(name)
	if v != "" {
		if why := pcs.CheckShardID(v); why != "" {
			p.fail(name, why)
		}
	}
	return v
}

// key reads the id of one key.
func (p *params) key(name string) string {
	v := p.text(name, 128)
	if strings.Contains(v, "*") {
		p.fail(name, "is a pattern; give the id of one key")
	}
	return v
}

func (p *params) oneOf(name, otherwise string, allowed ...string) string {
	v := p.values.Get(name)
	if v == "" {
		return otherwise
	}
	if !slices.Contains(allowed, v) {
		p.fail(name, "must be one of "+strings.Join(allowed, ", "))
	}
	return v
}

// number reads a decimal in lowest..highest. An absent parameter gives otherwise.
func (p *params) number(name string, otherwise, lowest, highest uint64) uint64 {
	v := p.values.Get(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil || n < lowest || n > highest {
		p.fail(name, "must be a whole number in "+strconv.FormatUint(lowest, 10)+".."+strconv.FormatUint(highest, 10))
	}
	return n
}

// moment reads an RFC 3339 date-time as ns since 1970. An absent parameter gives 0.
func (p *params) moment(name string) int64 {
	v := p.values.Get(name)
	if v == "" {
		return 0
	}
	ns, ok := nanoseconds(v)
	if !ok {
		p.fail(name, mustBeMoment)
	}
	return ns
}

const mustBeMoment = "must be an RFC 3339 date-time such as 2026-01-02T15:04:05Z, later than 1970-01-01T00:00:00Z"

// nanoseconds parses a date-time as ns since 1970. It rejects 1970 itself and everything before, because 0
// means that there is no bound.
func nanoseconds(text string) (int64, bool) {
	t, err := wire.ParseTime(text)
	if err != nil || !t.After(time.Unix(0, 0)) || t.UTC().Year() > 2261 {
		return 0, false
	}
	return t.UnixNano(), true
}

// digits reads the first digits of an id. what names the kind of object.
func (p *params) digits(name, what string) string {
	v := strings.ToLower(p.values.Get(name))
	if v != "" && (len(v) < 8 || len(v) > 64 || strings.Trim(v, "0123456789abcdef") != "") {
		p.fail(name, "must be the id of a "+what+", or at least its first 8 hex digits")
	}
	return v
}

// addresses reads one address, or a range of them such as 10.0.0.0/8.
func (p *params) addresses(name string) netip.Prefix {
	v := p.values.Get(name)
	if v == "" {
		return netip.Prefix{}
	}
	if a, err := netip.ParseAddr(v); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen())
	}
	r, err := netip.ParsePrefix(v)
	if err != nil || r.Addr().Is4In6() {
		p.fail(name, "must be an address such as 10.0.0.7 or a range of addresses such as 10.0.0.0/8")
		return netip.Prefix{}
	}
	return r.Masked()
}

// position reads the number of an event, or a time.
func (p *params) position(name string) (seq uint64, ns int64) {
	v := p.values.Get(name)
	if strings.Trim(v, "0123456789") == "" {
		return p.number(name, 0, 1, 1<<63-1), 0
	}
	ns, ok := nanoseconds(v)
	if !ok {
		p.fail(name, "must be the number of an event or "+strings.TrimPrefix(mustBeMoment, "must be "))
	}
	return 0, ns
}

// read returns the freshness and the generation that the query asks for.
func (p *params) read(otherwise string) Read {
	return Read{
		Consistency: p.oneOf("consistency", otherwise, wire.ConsistencyLocal, wire.ConsistencySession,
			wire.ConsistencyLinearizable),
		MinSeq:     max(p.number("min_seq", 0, 0, 1<<63-1), p.minSeq),
		Generation: p.generation,
		AsOfTime:   p.asOfTime,
	}
}

// pathParam returns the decoded path parameter. Echo routes on the escaped path if there is one.
func pathParam(c echo.Context, name string) (string, error) {
	v := c.Param(name)
	if c.Request().URL.RawPath == "" {
		return v, nil
	}
	v, err := url.PathUnescape(v)
	if err != nil {
		return "", badParameter(name, "wrong percent-encoding")
	}
	return v, nil
}
