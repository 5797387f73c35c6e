package api

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

// answerSize is room for the text of nearly every answer to a submission.
const answerSize = 768

// writeAnswer is writeJSON for the answer to a submission, of which there are more than of everything else.
func writeAnswer(c echo.Context, status int, a *wire.SubmitAnswer) error {
	c.Response().Header()[echo.HeaderContentType] = jsonType
	return c.Blob(status, wire.MediaJSON, appendAnswer(make([]byte, 0, answerSize), a))
}

// appendAnswer appends the text that encoding/json gives for an answer without empty lists.
func appendAnswer(dst []byte, a *wire.SubmitAnswer) []byte {
	dst = strconv.AppendBool(append(dst, `{"accepted":`...), a.Accepted)
	dst = strconv.AppendBool(append(dst, `,"escalated":`...), a.Escalated)
	dst = appendOptional(dst, `,"recomputed_D_hat":`, a.RecomputedDHat)
	dst = appendNano(append(dst, `,"recomputed_budget":`...), a.RecomputedBudget)
	dst = appendText(append(dst, `,"reason":`...), a.Reason)
	dst = appendText(append(dst, `,"pcs_id":`...), a.PCSID)
	dst = appendText(append(dst, `,"outcome":`...), a.Outcome)
	dst = appendText(append(dst, `,"reason_code":`...), a.ReasonCode)
	dst = appendTexts(append(dst, `,"reasons":`...), a.Reasons)
	dst = strconv.AppendUint(append(dst, `,"seq":`...), a.Seq, 10)
	dst = appendText(append(dst, `,"received_at":`...), a.ReceivedAt)
	dst = appendText(append(dst, `,"policy":`...), a.Policy)
	dst = strconv.AppendUint(append(dst, `,"generation":`...), uint64(a.Generation), 10)
	dst = strconv.AppendBool(append(dst, `,"replayed":`...), a.Replayed)
	dst = strconv.AppendBool(append(dst, `,"reverified":`...), a.Reverified)
	dst = strconv.AppendBool(append(dst, `,"inputs_signed":`...), a.InputsSigned)
	dst = appendText(append(dst, `,"node":`...), a.Node)
	dst = appendText(append(dst, `,"shard_id":`...), a.ShardID)
	dst = strconv.AppendInt(append(dst, `,"epoch":`...), a.Epoch, 10)
	dst = appendOptional(dst, `,"D_hat":`, a.DHat)
	if a.Receipt != "" {
		dst = appendText(append(dst, `,"receipt":`...), a.Receipt)
	}
	return append(dst, '}')
}

// appendTexts appends a list of strings, an empty one for nil.
func appendTexts(dst []byte, texts []string) []byte {
	dst = append(dst, '[')
	for i, text := range texts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(dst, text)
	}
	return append(dst, ']')
}

func appendOptional(dst []byte, name string, n *nano.Nano) []byte {
	if n == nil {
		return dst
	}
	return appendNano(append(dst, name...), *n)
}

func appendNano(dst []byte, n nano.Nano) []byte {
	dst, _ = n.AppendText(dst) // it has no errors
	return dst
}

// plainText marks the bytes that JSON has as they are.
var plainText = func() (plain [256]bool) {
	for c := ' '; c <= '~'; c++ {
		plain[c] = !strings.ContainsRune(`"\<>&`, c)
	}
	return plain
}()

// appendText appends a string in quotes. encoding/json writes those that need an escape or are not ASCII.
func appendText(dst []byte, s string) []byte {
	for i := range len(s) {
		if !plainText[s[i]] {
			text, _ := json.Marshal(s) // a string has no errors
			return append(dst, text...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}
