package operator

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// TestLoggedOperation: the log keeps an operation under the member names of its first form.
func TestLoggedOperation(t *testing.T) {
	most := uint64(3)
	o := wire.PendingOperation{Name: "activate", Generation: 2, Diff: "d", MaxNewFlips: &most, Force: true, Policy: "p",
		Scope: "shard", Subject: "lab"}
	stored, err := json.Marshal(loggedOperation(o))
	const want = `{"act":"activate","generation":2,"diff":"d","max_new_flips":3,"force":true,"policy":"p",` +
		`"scope":"shard","subject":"lab"}`
	if err != nil || string(stored) != want {
		t.Errorf("%s, %v", stored, err)
	}
	if back, err := decodeOperation(want); err != nil || !reflect.DeepEqual(*back, o) {
		t.Errorf("%+v, %v", back, err)
	}
}
