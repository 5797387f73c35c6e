package main

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// TestDigestOfASwitch: right after an activation a node may be an event behind. What it says of the outcomes is
// of the generation of before, which is no difference between nodes.
func TestDigestOfASwitch(t *testing.T) {
	switched, behind := newNode(t), newNode(t)
	switched.digest.Generation, switched.digest.State = 2, strings.Repeat("2d", 32)
	var late atomic.Int64 // answers until the second node has folded the activation
	var control string
	behind.override = func(w http.ResponseWriter, r *http.Request) bool {
		d := behind.digest
		if r.URL.Path != "/v1/digest" {
			return false
		}
		if late.Add(-1) < 0 {
			d = switched.digest
		}
		if control != "" {
			d.Control = control
		}
		answer(w, d)
		return true
	}
	dir := dev(t, switched, behind)
	for _, command := range []string{"digest", "cluster status", "digest --seq 42"} {
		for _, c := range []struct {
			late          int64
			control, want string
			code          int
		}{
			{0, "", "at seq 42", exitOK},
			{3, "", "at seq 42", exitOK},
			{1 << 40, "", "has not folded the last activation yet", exitUnavailable},
			{1 << 40, strings.Repeat("5e", 32), "differ at seq 42", exitVerify},
		} {
			late.Store(c.late)
			control = c.control
			r := run(t, "", append(strings.Fields(command), "--timeout", "700ms", "--dev", dir)...)
			if r.code != c.code || !strings.Contains(r.err, c.want) {
				t.Errorf("%s, %d answers late: %+v", command, c.late, r)
			}
		}
	}
}
