package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// createCopy makes a copy of the log of this node. The copy has what the parameter consistency asks for.
func (s *server) createCopy(c echo.Context) error {
	p := readParams(c, "consistency", "min_seq")
	want := p.read(wire.ConsistencyLinearizable)
	if err := p.err(); err != nil {
		return err
	}
	_, cancel, _, err := s.fresh(c, want)
	if err != nil {
		return err
	}
	cancel() // the copy itself may take longer than a read
	_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(createCopyTimeout))
	a, err := s.Ledger.Copies.Create(c.Request().Context())
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusCreated, &a)
}

// createCopyTimeout bounds the time in which a copy is made: a memtable is written, and files are linked.
const createCopyTimeout = 2 * time.Minute

// noParams checks the query of a route that reads nothing of the ledger. Clients may send the freshness that they ask of
// all reads.
func noParams(c echo.Context) error {
	p := readParams(c, "consistency", "min_seq")
	p.read(wire.ConsistencyLocal)
	return p.err()
}

func (s *server) listCopies(c echo.Context) error {
	if err := noParams(c); err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, &wire.CopiesPage{Node: s.NodeID, Items: s.Ledger.Copies.Copies()})
}

func (s *server) oneCopy(c echo.Context) error {
	if err := noParams(c); err != nil {
		return err
	}
	a, err := s.Ledger.Copies.Copy(c.Param("copy_id"))
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, &a)
}

func (s *server) removeCopy(c echo.Context) error {
	if err := noParams(c); err != nil {
		return err
	}
	if err := s.Ledger.Copies.Remove(c.Param("copy_id")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// copyFile sends a file, or the part that the header Range names. The tag of the file is its hash.
func (s *server) copyFile(c echo.Context) error {
	if err := noParams(c); err != nil {
		return err
	}
	name, err := pathParam(c, "name")
	if err != nil {
		return err
	}
	f, err := s.Ledger.Copies.Open(c.Request().Context(), c.Param("copy_id"), name)
	if err != nil {
		return err
	}
	if err := checkRange(c.Request().Header.Get("Range"), f.Size); err != nil {
		return errors.Join(err, f.Close())
	}
	w := c.Response()
	w.Header().Set(echo.HeaderContentType, echo.MIMEOctetStream)
	w.Header().Set("ETag", `"`+f.SHA256+`"`)
	http.ServeContent(w, c.Request(), "", time.Time{}, &progressing{f, c})
	return f.Close()
}

// checkRange accepts one range that begins within a file of size bytes, or none.
func checkRange(header string, size int64) error {
	if header == "" {
		return nil
	}
	from, to, ok := strings.Cut(strings.TrimPrefix(header, "bytes="), "-")
	first, err := strconv.ParseInt(from, 10, 64)
	last, lastErr := first, error(nil)
	if to != "" {
		last, lastErr = strconv.ParseInt(to, 10, 64)
	}
	if !ok || !strings.HasPrefix(header, "bytes=") || err != nil || lastErr != nil || first < 0 || first >= size ||
		last < first {
		return badParameter("Range", fmt.Sprintf("must be one range that begins within the %d bytes of the file", size))
	}
	return nil
}

// progressing moves the deadline of the response with every read, so that only a client that takes nothing ends it.
type progressing struct {
	CopyContent
	c echo.Context
}

func (p *progressing) Read(b []byte) (int, error) {
	if err := extend(p.c); err != nil {
		return 0, err
	}
	return p.CopyContent.Read(b)
}
