package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/internal/tilepath"
	"github.com/recount-ledger/recount/wire"
)

// Evidence gives out what others can check without trusting this node. Errors are problems, or ErrNotFound for
// events that this node has not folded.
type Evidence interface {
	// Checkpoint returns the newest signed checkpoint, a C2SP note.
	Checkpoint() ([]byte, error)
	// Checkpoints lists those that this node signed and keeps, with sizes less than before, the largest first.
	Checkpoints(before uint64, limit int) (*wire.CheckpointPage, error)
	// Tile returns the first width hashes, 1 to 256, of a tile, 32 bytes each (C2SP tlog-tiles).
	Tile(level uint8, number uint64, width int) ([]byte, error)
	// Entries returns the first width leaves of a bundle, each behind its length in two bytes.
	Entries(ctx context.Context, number uint64, width int) ([]byte, error)
	// Inclusion proves that event seq is among the first size events, seq at most size.
	Inclusion(seq, size uint64) (*wire.InclusionAnswer, error)
	// Consistency proves that the first to events begin with the first from events, from at least 1 and at most
	// to.
	Consistency(from, to uint64) (*wire.ConsistencyAnswer, error)
	// Receipt returns the receipt of a submission that names a pcs_id, seq 0 for the one that stands. It waits a
	// second at most for the checkpoint that covers the event.
	Receipt(ctx context.Context, pcsID string, seq uint64) ([]byte, error)
	// Bundle returns a receipt with everything that is needed to judge the record again, payloads included.
	Bundle(ctx context.Context, pcsID string, seq uint64) ([]byte, error)
}

// maxCheckpoints bounds a page of checkpoints.
const maxCheckpoints = 1000

// immutable is for what never changes: a tile of a given width.
const immutable = "public, max-age=31536000, immutable"

// checkpoint sends the newest checkpoint as text.
func (s *server) checkpoint(c echo.Context) error {
	if err := noParams(c); err != nil {
		return err
	}
	note, err := s.Ledger.Evidence.Checkpoint()
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, "text/plain; charset=utf-8", note)
}

// checkpoints lists the checkpoints that this node signed.
func (s *server) checkpoints(c echo.Context) error {
	p := readParams(c, "limit", "before")
	limit, before := p.number("limit", 100, 1, maxCheckpoints), p.number("before", 1<<62, 1, 1<<62)
	if err := p.err(); err != nil {
		return err
	}
	page, err := s.Ledger.Evidence.Checkpoints(before, int(limit))
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, page)
}

// tile sends a tile of hashes, or a bundle of leaves.
func (s *server) tile(c echo.Context) error {
	if err := noParams(c); err != nil {
		return err
	}
	number, width, ok := tilepath.Parse(c.Param("*"))
	level, err := strconv.ParseUint(c.Param("level"), 10, 8)
	entries := c.Param("level") == "entries"
	if !ok || !entries && (err != nil || level > mostLevel || strconv.FormatUint(level, 10) != c.Param("level")) {
		return wire.NewProblem(wire.CodeNotFound,
			"no such tile; the paths are those of C2SP tlog-tiles, such as /tile/0/x001/067.p/5")
	}
	var b []byte
	if entries {
		b, err = s.Ledger.Evidence.Entries(c.Request().Context(), number, width)
	} else {
		b, err = s.Ledger.Evidence.Tile(uint8(level), number, width)
	}
	if err != nil {
		return err
	}
	c.Response().Header().Set("Cache-Control", immutable)
	return c.Blob(http.StatusOK, echo.MIMEOctetStream, b)
}

// mostLevel is that of the highest tiles.
const mostLevel = 63

// inclusion proves that an event is in the tree of the first events.
func (s *server) inclusion(c echo.Context) error {
	return proof(s, c, "seq", "size", s.Ledger.Evidence.Inclusion)
}

// consistency proves that one tree begins with another one.
func (s *server) consistency(c echo.Context) error {
	return proof(s, c, "from", "to", s.Ledger.Evidence.Consistency)
}

// proof answers with a proof about two positions, of which the lesser one comes first.
func proof[A any](s *server, c echo.Context, lesser, greater string, prove func(a, b uint64) (A, error)) error {
	p := readParams(c, lesser, greater, "consistency", "min_seq")
	want := p.read(wire.ConsistencyLocal)
	a, b := p.required(lesser), p.required(greater)
	if p.err() == nil && a > b {
		p.fail(lesser, "is greater than "+greater)
	}
	if err := p.err(); err != nil {
		return err
	}
	_, cancel, _, err := s.fresh(c, want)
	if err != nil {
		return err
	}
	defer cancel()
	answer, err := prove(a, b)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, answer)
}

// required reads the number of an event that must be there.
func (p *params) required(name string) uint64 {
	if p.values.Get(name) == "" {
		p.fail(name, "is required: the number of an event")
	}
	return p.number(name, 0, 1, 1<<61)
}

// receipt sends the receipt of the outcome that stands for a record, or of one of its submissions.
func (s *server) receipt(c echo.Context) error { return aboutRecord(s, c, s.Ledger.Evidence.Receipt) }

// bundle sends the bundle of the outcome that stands for a record, or of one of its submissions.
func (s *server) bundle(c echo.Context) error { return aboutRecord(s, c, s.Ledger.Evidence.Bundle) }

// aboutRecord sends a text about one submission of a record.
func aboutRecord(s *server, c echo.Context, of func(context.Context, string, uint64) ([]byte, error)) error {
	p := readParams(c, "seq", "consistency", "min_seq")
	want, id := p.read(wire.ConsistencyLinearizable), strings.ToLower(c.Param("pcs_id"))
	seq := p.number("seq", 0, 1, 1<<61)
	if !isHash(id) {
		p.fail("pcs_id", "must be 64 hex digits")
	}
	if err := p.err(); err != nil {
		return err
	}
	ctx, cancel, _, err := s.fresh(c, want)
	if err != nil {
		return err
	}
	defer cancel()
	text, err := of(ctx, id, seq)
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, "text/plain; charset=utf-8", text)
}

// receiptOf returns the receipt of a submission that was just answered, if the request prefers to wait for it
// (RFC 7240), and says so in a header. Without one the answer stands all the same.
func (s *server) receiptOf(c echo.Context, pcsID string, seq uint64) string {
	if seq == 0 || !isHash(pcsID) || !prefersWait(c.Request().Header) {
		return ""
	}
	text, err := s.Ledger.Evidence.Receipt(c.Request().Context(), pcsID, seq)
	if err != nil {
		return ""
	}
	c.Response().Header().Set("Preference-Applied", "wait")
	return string(text)
}

// prefersWait looks for wait among the preferences, with or without a number of seconds.
func prefersWait(h http.Header) bool {
	for _, line := range h.Values("Prefer") {
		for preference := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(preference, "=")
			if strings.EqualFold(strings.TrimSpace(name), "wait") {
				return true
			}
		}
	}
	return false
}
