package export

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

// recordColumns are the columns of records.csv. They are derived from verdicts.ndjson alone.
var recordColumns = []string{"seq", "log_time", "received_at", "node", "remote", "request_id", "shard_id", "epoch",
	"pcs_id", "key_id",
	"was_outcome", "was_accepted", "was_reason_code", "was_policy", "was_generation",
	"outcome", "accepted", "status", "reason_code", "reasons", "reason", "policy", "generation",
	"now_outcome", "now_accepted", "now_reason_code", "now_policy", "now_generation",
	"D_hat", "recomputed_D_hat", "recomputed_budget", "replayed", "reverified", "evidence", "inputs_signed",
	"first_seq"}

// records writes records.csv (RFC 4180, line feeds, UTF-8).
type records struct{ csv *csv.Writer }

func newRecords(w io.Writer) *records {
	r := &records{csv.NewWriter(w)}
	_ = r.csv.Write(recordColumns) // buffered, flush returns the error
	return r
}

func (r *records) add(i *wire.AuditItem) error {
	was, now := answerCells(&i.Was), answerCells(i.Now)
	cells := []string{number(i.Seq), i.LogTime, i.ReceivedAt, i.Node, i.Remote, i.RequestID, i.ShardID,
		strconv.FormatInt(i.Epoch, 10),
		i.PCSID, i.KeyID}
	cells = append(cells, was...)
	cells = append(cells, i.Outcome, strconv.FormatBool(i.Accepted), strconv.Itoa(i.Status), i.ReasonCode,
		strings.Join(i.Reasons, " "), i.Reason, i.Policy, number(uint64(i.Generation)))
	cells = append(cells, now...)
	first := ""
	if i.FirstSeq != 0 {
		first = number(i.FirstSeq)
	}
	signed := []string{decimal(i.DHat), decimal(i.RecomputedDHat), i.RecomputedBudget.String()}
	for n := range cells {
		cells[n] = Defused(cells[n])
	}
	cells = append(cells, signed...) // numbers, which may be negative
	return r.csv.Write(append(cells, strconv.FormatBool(i.Replayed), strconv.FormatBool(i.Reverified),
		strconv.FormatBool(i.Evidence), strconv.FormatBool(i.InputsSigned), first))
}

func (r *records) flush() error {
	r.csv.Flush()
	return r.csv.Error()
}

// answerCells returns the five cells of a response at another time.
func answerCells(a *wire.AuditAnswer) []string {
	if a == nil {
		return make([]string, 5)
	}
	return []string{a.Outcome, strconv.FormatBool(a.Accepted), a.ReasonCode, a.Policy, number(uint64(a.Generation))}
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

func decimal(n *nano.Nano) string {
	if n == nil {
		return ""
	}
	return n.String()
}

// formulaStarts are the characters, with their wide forms, at which a spreadsheet takes a cell for a formula.
const formulaStarts = "=+-@\uff1d\uff0b\uff0d\uff20"

// Defused makes a text safe as a cell of a table that a spreadsheet opens. An apostrophe is put before text
// that would be a formula, at the beginning of a cell and where a program that splits lines at semicolons would
// begin one. Control characters become dots, and invisible characters \u escapes. The original bytes are in
// events.ndjson.
func Defused(s string) string {
	var b strings.Builder
	starts := true
	for _, r := range s {
		if starts && strings.ContainsRune(formulaStarts, r) {
			b.WriteByte('\'')
		}
		starts = starts && r == ' ' || r == ';' || r == '|'
		switch {
		case unicode.IsControl(r):
			b.WriteByte('.')
			starts = true
		case unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp):
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
