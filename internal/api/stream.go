package api

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// lineStream writes a response of JSON lines that ends with a trailer. After the first line an error can only
// cut the stream, which a client detects by the missing trailer.
type lineStream struct {
	c      echo.Context
	w      *echo.Response
	out    *bufio.Writer
	lines  *json.Encoder
	chosen bool // the client chose the media type by Accept
	count  int  // lines
}

func newLineStream(c echo.Context, chosen bool) *lineStream {
	out := bufio.NewWriterSize(c.Response(), 32<<10)
	return &lineStream{
		c:      c,
		w:      c.Response(),
		out:    out,
		lines:  json.NewEncoder(out),
		chosen: chosen,
	}
}

// begin sends the header, once.
func (l *lineStream) begin() {
	if l.w.Committed {
		return
	}
	l.w.Header().Set(echo.HeaderContentType, wire.MediaNDJSON)
	if l.chosen {
		l.w.Header().Add("Vary", "Accept")
	}
	l.w.WriteHeader(http.StatusOK)
}

// writeLines writes one line for each item and sends them.
func writeLines[T any](l *lineStream, items []T) error {
	return l.write(len(items), func(i int) error {
		fillEmpty(&items[i])
		return l.lines.Encode(&items[i])
	})
}

// write calls line for the next n lines and sends them.
func (l *lineStream) write(n int, line func(i int) error) error {
	if err := extend(l.c); err != nil {
		return err
	}
	l.begin()
	for i := range n {
		if err := line(i); err != nil {
			return err
		}
	}
	l.count += n
	return l.out.Flush()
}

// end writes the trailer, to which it adds the number of lines.
func (l *lineStream) end(t wire.Trailer) error {
	l.begin()
	t.Trailer, t.Count = true, l.count
	if err := l.lines.Encode(t); err != nil {
		return err
	}
	return l.out.Flush()
}

// wantsNDJSON looks for the media type in Accept. It does not honour a quality of zero, which nobody sends.
func wantsNDJSON(h http.Header) bool {
	for part := range strings.SplitSeq(strings.Join(h.Values("Accept"), ","), ",") {
		media, _, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(media), wire.MediaNDJSON) {
			return true
		}
	}
	return false
}
