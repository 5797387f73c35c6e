package api

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

// TestAppendAuditPage: the text of a page is that of encoding/json, byte for byte, whatever its fields hold.
func TestAppendAuditPage(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 5_000 {
		samePage(t, randomOf[wire.AuditPage](t, rng))
	}
	samePage(t, wire.AuditPage{})
	samePage(t, wire.AuditPage{Items: make([]wire.AuditItem, 2)})
}

// TestAppendAuditPageKnowsEveryField: each field by itself changes the text, or the comparison above could miss it.
func TestAppendAuditPageKnowsEveryField(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	eachField(t, rng, func(page wire.AuditPage) string { return string(appendAuditPage(nil, &page)) })
	eachField(t, rng, func(item wire.AuditItem) string { return string(appendAuditItem(nil, &item)) })
	eachField(t, rng, func(a wire.AuditAnswer) string { return string(appendAuditAnswer(nil, &a)) })
}

// eachField sets one field after the other to something else than zero, and compares the text with that of no field.
func eachField[T any](t *testing.T, rng *rand.Rand, text func(T) string) {
	t.Helper()
	var none T
	for field := range reflect.TypeFor[T]().Fields() {
		var v T
		member := reflect.ValueOf(&v).Elem().FieldByIndex(field.Index)
		for member.IsZero() {
			randomMember(t, rng, field.Name, member)
		}
		got := text(v)
		if got == text(none) {
			t.Errorf("%s is not in the text", field.Name)
		}
		sameText(t, []byte("before "+got), &v)
	}
}

func samePage(t *testing.T, page wire.AuditPage) {
	t.Helper()
	sameText(t, appendAuditPage([]byte("before "), &page), &page)
}

// BenchmarkAuditPage writes a page of 100 items, by hand and with encoding/json.
func BenchmarkAuditPage(b *testing.B) {
	hex, at := strings.Repeat("ab12", 16), wire.TimeNS(1_767_225_600_123_456_789)
	item := wire.AuditItem{
		Seq: 1_000_000, LogTime: at, ReceivedAt: at, Node: "n1", RequestID: hex[:16], PCSID: hex, ShardID: "bench-001",
		Epoch: 33, KeyID: hex[:16], Status: 200, Outcome: wire.OutcomeAccepted, Accepted: true, ReasonCode: "ok",
		DHat: nano.Ptr(1_234_567_890), RecomputedDHat: nano.Ptr(1_234_567_890), RecomputedBudget: 123_456_789,
		Policy: hex, InputsSigned: true, Remote: "192.0.2.1", Generation: 1,
		Was: wire.AuditAnswer{
			Generation: 1, Outcome: wire.OutcomeAccepted, Accepted: true, Status: 200, ReasonCode: "ok", Policy: hex,
		},
	}
	page := wire.AuditPage{Items: make([]wire.AuditItem, 100)}
	for i := range page.Items {
		page.Items[i] = item
	}
	b.Run("by hand", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			appendAuditPage(make([]byte, 0, auditItemSize*(1+len(page.Items))), &page)
		}
	})
	b.Run("encoding json", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			fillEmpty(&page)
			if _, err := json.Marshal(&page); err != nil {
				b.Fatal(err)
			}
		}
	})
}
