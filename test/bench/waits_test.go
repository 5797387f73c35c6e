package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/laps"
)

// TestWaitOf: a stack counts for what its goroutine waits for, and a loop without work for nothing.
func TestWaitOf(t *testing.T) {
	const (
		packer = internal + "propose.(*Packer[go.shape.x])."
		submit = packer + "enqueue " + packer + "Submit " + internal + "intake.(*batch).append " + internal + "api.(*server).submit"
		fold   = internal + "fsm.(*Generation).prepare " + internal + "fsm.next " + internal + "fsm.follow"
	)
	for _, c := range []struct{ stack, want string }{
		{"runtime.selectgo " + submit, waitOutcome},
		{"sync.(*Mutex).Lock " + submit, waitLock},
		{"sync.(*RWMutex).RLock " + internal + "log.(*Store).enter", waitLock},
		{"runtime.selectgo " + packer + "enqueue " + packer + "Accept " + internal + "node.(*Node).acceptForward", waitForward},
		{"runtime.selectgo " + internal + "cluster.Future.Wait " + packer + "attempt " + packer + "deliver", waitCommit},
		{"runtime.selectgo " + internal + "fsm.(*Generation).Outcomes " + packer + "answer " + packer + "send", waitFold},
		{"sync.(*WaitGroup).Wait github.com/cockroachdb/pebble/v2.(*DB).Apply " + internal + "log.(*Store).StoreLogs", waitSync},
		{"runtime.selectgo " + internal + "fsm.(*Derived).WaitIndex " + fold, waitDerived},
		{"sync.(*WaitGroup).Wait " + internal + "fsm.checkAll " + fold, waitCheckers},
		{"runtime.selectgo " + packer + "run " + internal + "propose.New[go.shape.x].gowrap1", ""},
		{"runtime.selectgo " + internal + "log.(*Store).Wait " + internal + "fsm.follow", ""},
		{"", ""},
	} {
		if got := waitOf(strings.Fields(c.stack)); got != c.want {
			t.Errorf("%s: %q, want %q", c.stack, got, c.want)
		}
	}
	rows := strings.Join(waitOrder, ",")
	for _, r := range waitRules {
		if strings.Count(rows, r.row) != 1 {
			t.Errorf("%q is not in one row of %s", r.row, rows)
		}
	}
}

// answerWith has a server send one response with a header, and returns the answer of a link that reads laps.
func answerWith(t *testing.T, header string) (*link, error) {
	t.Helper()
	here, there := net.Pipe()
	t.Cleanup(func() { here.Close(); there.Close() })
	go func() {
		fmt.Fprintf(there, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%s\r\nContent-Length: 2\r\n\r\n{}", header)
	}()
	l := &link{conn: tls.Client(here, nil), in: bufio.NewReader(here), laps: true}
	_, err := l.answer()
	return l, err
}

// TestLappedOf: the parts of an answer are those of its header and the rest, and together the time of the answer.
func TestLappedOf(t *testing.T) {
	l, err := answerWith(t, laps.Header+": 1,2,300,4000,500,60,7")
	if err != nil {
		t.Fatal(err)
	}
	of, err := lappedOf(5*time.Millisecond, l.header)
	if err != nil || of.parts[1] != time.Microsecond || of.parts[4] != 4*time.Millisecond || of.parts[0] != 130*time.Microsecond {
		t.Errorf("%+v: %v", of, err)
	}
	sum := time.Duration(0)
	for _, p := range of.parts {
		sum += p
	}
	if sum != of.took {
		t.Errorf("the parts of %v are %v together", of.took, sum)
	}
	for _, bad := range []string{"", "1,2,3", "1,2,3,4,5,6,x", "1,2,3,4,5,6,7,8"} {
		if _, err := lappedOf(time.Second, []byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

// TestLapTable: a column is the mean of the answers near a quantile, so its rows sum up to it.
func TestLapTable(t *testing.T) {
	var answers []lapped
	for i := range 1000 {
		took := time.Duration(1000-i) * time.Millisecond
		l := lapped{took: took}
		l.parts[0], l.parts[4] = took/4, took-took/4
		answers = append(answers, l)
	}
	var out strings.Builder
	lapTable(&out, answers, answers[:100])
	rows := map[string][]string{}
	for line := range strings.Lines(out.String()) {
		if name := strings.TrimRight(line[:34], " "); len(line) > 34 {
			rows[name] = strings.Fields(line[34:])
		}
	}
	// of the sorted answers of 1 to 1000 ms, those of 451 to 550 ms and of 986 to 995 ms
	for name, want := range map[string]string{
		lapNames[0]: "125.12 247.62", lapNames[4]: "375.38 742.88", "sum: seen by the client": "500.50 990.50",
	} {
		if got := strings.Join(rows[name][:2], " "); got != want {
			t.Errorf("%s: %s, want %s\n%s", name, got, want, out.String())
		}
	}
}

// TestWaitingReport: waits are per record of a node, with the leader first, and syncs per append.
func TestWaitingReport(t *testing.T) {
	w := &waiting{conns: 64, sent: []sample{{records: 1, seconds: 1}}, records: 100, appends: [3]float64{1, 5, 10}}
	for i := range w.blocked {
		w.blocked[i] = map[string]int64{waitSync: int64(i+1) * 1e8}
		w.queued[i] = histogram{upper: []float64{2e-3}, counts: []float64{100}}
	}
	var out strings.Builder
	w.report(&out, 1)
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{waitSync + " 2000.0 3000.0 1000.0", "anything, for a processor 1000.0 1000.0 1000.0",
		"sync of one append, milliseconds 40.0 30.0 100.0", "records in an append 20.0 10.0 100.0"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
