package api

import (
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/wire"
)

// auditItemSize is room for the text of nearly every item of the audit list.
const auditItemSize = 1024

// writeAuditPage is writeJSON for a page of the audit list, which is longer than other answers.
func writeAuditPage(c echo.Context, page *wire.AuditPage) error {
	body := make([]byte, 0, auditItemSize*(1+len(page.Items)))
	return c.Blob(http.StatusOK, wire.MediaJSON, appendAuditPage(body, page))
}

// writeAuditLines is writeLines for the audit list.
func writeAuditLines(l *lineStream, items []wire.AuditItem) error {
	text := make([]byte, 0, auditItemSize)
	return l.write(len(items), func(i int) error {
		text = append(appendAuditItem(text[:0], &items[i]), '\n')
		_, err := l.out.Write(text)
		return err
	})
}

// appendAuditPage appends the text that encoding/json gives for a page without empty lists.
func appendAuditPage(dst []byte, page *wire.AuditPage) []byte {
	dst = append(dst, `{"items":[`...)
	for i := range page.Items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendAuditItem(dst, &page.Items[i])
	}
	dst = appendText(append(dst, `],"next_cursor":`...), page.NextCursor)
	dst = strconv.AppendUint(append(dst, `,"applied_seq":`...), page.AppliedSeq, 10)
	dst = strconv.AppendUint(append(dst, `,"generation":`...), uint64(page.Generation), 10)
	if page.AsOf != 0 {
		dst = strconv.AppendUint(append(dst, `,"as_of":`...), page.AsOf, 10)
	}
	return append(dst, '}')
}

// appendAuditItem appends the text that encoding/json gives for an item without empty lists.
func appendAuditItem(dst []byte, a *wire.AuditItem) []byte {
	dst = strconv.AppendUint(append(dst, `{"seq":`...), a.Seq, 10)
	dst = appendText(append(dst, `,"log_time":`...), a.LogTime)
	dst = appendText(append(dst, `,"received_at":`...), a.ReceivedAt)
	dst = appendText(append(dst, `,"node":`...), a.Node)
	dst = appendOptionalText(dst, `,"request_id":`, a.RequestID)
	dst = appendText(append(dst, `,"pcs_id":`...), a.PCSID)
	dst = appendText(append(dst, `,"shard_id":`...), a.ShardID)
	dst = strconv.AppendInt(append(dst, `,"epoch":`...), a.Epoch, 10)
	dst = appendText(append(dst, `,"key_id":`...), a.KeyID)
	dst = strconv.AppendInt(append(dst, `,"status":`...), int64(a.Status), 10)
	dst = appendText(append(dst, `,"outcome":`...), a.Outcome)
	dst = strconv.AppendBool(append(dst, `,"accepted":`...), a.Accepted)
	dst = appendText(append(dst, `,"reason_code":`...), a.ReasonCode)
	dst = appendTexts(append(dst, `,"reasons":`...), a.Reasons)
	dst = appendText(append(dst, `,"reason":`...), a.Reason)
	dst = appendOptional(dst, `,"D_hat":`, a.DHat)
	if dst = append(dst, `,"recomputed_D_hat":`...); a.RecomputedDHat == nil {
		dst = append(dst, "null"...)
	} else {
		dst = appendNano(dst, *a.RecomputedDHat)
	}
	dst = appendNano(append(dst, `,"recomputed_budget":`...), a.RecomputedBudget)
	dst = appendText(append(dst, `,"policy":`...), a.Policy)
	dst = strconv.AppendBool(append(dst, `,"replayed":`...), a.Replayed)
	dst = strconv.AppendBool(append(dst, `,"reverified":`...), a.Reverified)
	dst = strconv.AppendBool(append(dst, `,"inputs_signed":`...), a.InputsSigned)
	dst = strconv.AppendBool(append(dst, `,"evidence":`...), a.Evidence)
	if a.FirstSeq != 0 {
		dst = strconv.AppendUint(append(dst, `,"first_seq":`...), a.FirstSeq, 10)
	}
	dst = appendOptionalText(dst, `,"remote":`, a.Remote)
	dst = strconv.AppendUint(append(dst, `,"generation":`...), uint64(a.Generation), 10)
	dst = appendAuditAnswer(append(dst, `,"was":`...), &a.Was)
	if a.Now != nil {
		dst = appendAuditAnswer(append(dst, `,"now":`...), a.Now)
	}
	return append(dst, '}')
}

func appendAuditAnswer(dst []byte, a *wire.AuditAnswer) []byte {
	dst = strconv.AppendUint(append(dst, `{"generation":`...), uint64(a.Generation), 10)
	dst = appendText(append(dst, `,"outcome":`...), a.Outcome)
	dst = strconv.AppendBool(append(dst, `,"accepted":`...), a.Accepted)
	if a.Status != 0 {
		dst = strconv.AppendInt(append(dst, `,"status":`...), int64(a.Status), 10)
	}
	dst = appendOptionalText(dst, `,"reason_code":`, a.ReasonCode)
	dst = appendOptionalText(dst, `,"policy":`, a.Policy)
	return append(dst, '}')
}

// appendOptionalText appends a member unless its text is empty.
func appendOptionalText(dst []byte, name, text string) []byte {
	if text == "" {
		return dst
	}
	return appendText(append(dst, name...), text)
}
