// Package pgscript makes psql scripts that keep the audit list of a ledger in PostgreSQL. It opens no
// connection to a database: who may write there runs psql.
package pgscript

import (
	"bufio"
	_ "embed"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/recount-ledger/recount/wire"
)

// Schema is a psql script that makes the tables and views, and leaves those that are there as they are.
//
//go:embed schema.sql
var Schema string

var (
	//go:embed begin.sql
	beginSQL string
	//go:embed load.sql
	loadSQL string
)

// columns of recount_audit, in the order of values.
const columns = "seq, log_time, received_at, node, request_id, pcs_id, shard_id, epoch, key_id, status, " +
	"outcome, accepted, reason_code, " +
	"reason, recomputed_d_hat, policy, evidence, first_seq, generation"

// Cursor is a position in the ledger. The tables are filled up to event Seq, with the outcomes of Generation. The zero Cursor
// is that of empty tables.
type Cursor struct {
	Generation uint32
	Seq        uint64
}

// String returns the generation and the seq, separated by a blank.
func (c Cursor) String() string { return fmt.Sprintf("%d %d", c.Generation, c.Seq) }

// ParseCursor reads what String writes, and what psql -At prints for the two columns of recount_cursor.
func ParseCursor(s string) (c Cursor, err error) {
	parts := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" \t\n,|", r) })
	if len(parts) == 2 {
		var g, n uint64
		g, err = strconv.ParseUint(parts[0], 10, 32)
		if err == nil {
			n, err = strconv.ParseUint(parts[1], 10, 63)
		}
		if c = (Cursor{uint32(g), n}); err == nil && (c.Seq == 0 || c.Generation > 0) {
			return c, nil
		}
	}
	return Cursor{}, fmt.Errorf("%q: must be the generation and the seq of recount_cursor, such as \"1 4065\"", s)
}

// script writes one batch. Rows go into temporary tables; one statement at its end brings them into the tables
// and moves the cursor. A script that is cut anywhere therefore changes nothing.
type script struct {
	w    *bufio.Writer
	rows uint64
}

// begin starts a batch: the rows follow.
func begin(to io.Writer) *script {
	s := &script{w: bufio.NewWriter(to)}
	_, _ = s.w.WriteString(beginSQL) // a bufio.Writer keeps its first error for Flush
	s.copyInto("recount_in_rows (" + columns + ")")
	return s
}

func (s *script) copyInto(table string) { fmt.Fprintf(s.w, "COPY pg_temp.%s FROM STDIN;\n", table) }

func (s *script) endCopy() { _, _ = s.w.WriteString("\\.\n") }

// row adds a submission.
func (s *script) row(i *wire.AuditItem) error {
	values, err := valuesOf(i)
	if err != nil {
		return fmt.Errorf("event %d: %w", i.Seq, err)
	}
	s.rows++
	s.line(values)
	return nil
}

// all adds submissions.
func (s *script) all(items []wire.AuditItem) error {
	for i := range items {
		if err := s.row(&items[i]); err != nil {
			return err
		}
	}
	return nil
}

// line writes one row in the text format of COPY.
func (s *script) line(values []*string) {
	for i, v := range values {
		if i > 0 {
			_ = s.w.WriteByte('\t')
		}
		if v == nil {
			_, _ = s.w.WriteString(`\N`)
		} else {
			_, _ = s.w.WriteString(escape(*v))
		}
	}
	_ = s.w.WriteByte('\n')
}

// abandon ends a batch of which nothing is to happen. The next one begins with empty temporary tables.
func (s *script) abandon() error {
	s.endCopy()
	return s.w.Flush()
}

// load ends a batch: the tables are at after, and are to be at next.
func (s *script) load(cluster string, after, next Cursor, patterns []string) error {
	s.endCopy()
	s.copyInto("recount_in_patterns")
	for i := range patterns {
		s.line([]*string{&patterns[i]})
	}
	s.endCopy()
	s.copyInto("recount_in_batch")
	s.line([]*string{&cluster, number(after.Generation), number(after.Seq), number(next.Generation), number(next.Seq),
		number(s.rows), number(len(patterns))})
	s.endCopy()
	_, _ = s.w.WriteString(loadSQL)
	return s.w.Flush()
}

// valuesOf returns the columns of a row. Nil is a null.
func valuesOf(i *wire.AuditItem) ([]*string, error) {
	logTime, err := moment(i.LogTime)
	if err != nil {
		return nil, fmt.Errorf("log_time: %w", err)
	}
	received, err := moment(i.ReceivedAt)
	if err != nil {
		return nil, fmt.Errorf("received_at: %w", err)
	}
	var epoch, dHat, first *string
	if i.PCSID != "" {
		epoch = number(i.Epoch)
	}
	if i.RecomputedDHat != nil {
		text := i.RecomputedDHat.String()
		dHat = &text
	}
	if i.FirstSeq != 0 {
		first = number(i.FirstSeq)
	}
	accepted, evidence := strconv.FormatBool(i.Accepted), strconv.FormatBool(i.Evidence)
	return []*string{number(i.Seq), &logTime, &received, &i.Node, known(i.RequestID), known(i.PCSID),
		known(i.ShardID), epoch, known(i.KeyID), number(i.Status), &i.Outcome, &accepted, &i.ReasonCode, &i.Reason,
		dHat, &i.Policy, &evidence, first, number(i.Generation)}, nil
}

// known is nil for the empty text: there is none.
func known(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func number[T int | int64 | uint32 | uint64](n T) *string {
	s := fmt.Sprint(n)
	return &s
}

// moment is a time to the microsecond, which PostgreSQL keeps, and never later than it was.
func moment(s string) (string, error) {
	t, err := wire.ParseTime(s)
	if err != nil {
		return "", err
	}
	return t.UTC().Truncate(time.Microsecond).Format("2006-01-02T15:04:05.000000Z"), nil
}

var copyEscapes = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", string(utf8.RuneError))

// escape writes a text for COPY. A text of PostgreSQL holds no NUL and nothing but UTF-8: what it cannot hold
// becomes U+FFFD.
func escape(s string) string {
	return copyEscapes.Replace(strings.ToValidUTF8(s, string(utf8.RuneError)))
}
