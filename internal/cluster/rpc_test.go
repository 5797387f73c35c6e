package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/cluster/frames"
)

// stranger is a connection to n1 with the certificate of a member, that says about itself what it is told to say.
func (b *box) stranger(r certs.Request) *frames.Conn {
	b.t.Helper()
	crt, key, err := b.ca.Issue(r)
	if err != nil {
		b.t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(crt, key)
	if err != nil {
		b.t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", b.voters[0].PeerAddr, &tls.Config{
		InsecureSkipVerify: true, // the server is under test, not the client
		NextProtos:         []string{alpnRPC},
		Certificates:       []tls.Certificate{cert},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	c := frames.NewConn(conn)
	b.t.Cleanup(c.Close)
	return c
}

// TestHandlersRefuse: a call with a right certificate still needs the hello of the member that this node knows, and a
// path that has a handler. A refused call runs no handler.
func TestHandlersRefuse(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	c, err := b.open("n1", nil)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	c.Handle("/count", func(context.Context, string, []byte) ([]byte, error) { ran++; return []byte("done"), nil })
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	n2 := b.stranger(certs.Request{URIs: []string{NodeURI(testCluster, "n2")}, Client: true})
	id := strings.Repeat("ab", 16)
	good := hello{incarnation: id, boot: id, founders: digestOf(b.voters), last: 1}
	other, lost := good, good
	other.founders = digestOf(b.voters[:1])
	lost.incarnation = strings.Repeat("cd", 16)
	post := func(path, hello string) frames.Response {
		resp, err := n2.Call(short(t, 20*time.Second), frames.Request{Path: path, Hello: hello})
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	if resp := post("/count", good.String()); resp.Code != "" || string(resp.Body) != "done" || ran != 1 {
		t.Fatalf("a member: %q %q, ran %d times", resp.Code, resp.Body, ran)
	}
	n9 := b.stranger(certs.Request{URIs: []string{NodeURI(testCluster, "n9")}, Client: true})
	resp, err := n9.Call(short(t, 20*time.Second), frames.Request{Path: "/count", Hello: good.String()})
	if err != nil || resp.Code != CodeNoMember || ran != 1 {
		t.Errorf("no member: %+v, %v, ran %d times", resp, err, ran)
	}
	for name, c := range map[string]struct{ path, hello, code string }{
		"no hello":           {"/count", "", codeRefused},
		"no hello of ours":   {"/count", "hello", codeRefused},
		"other voters":       {"/count", other.String(), codeOtherFounders},
		"another disk":       {"/count", lost.String(), codeRefused},
		"no handler":         {"/none", good.String(), CodeNoHandler},
		"a path below":       {"/count/x", good.String(), CodeNoHandler},
		"a path above":       {"/count/../none", good.String(), CodeNoHandler},
		"in another case":    {"/COUNT", good.String(), CodeNoHandler},
		"not below /cluster": {"/cluster/", good.String(), CodeNoHandler},
		"no path":            {"", good.String(), CodeNoHandler},
	} {
		resp := post(c.path, c.hello)
		if resp.Code != c.code || len(resp.Body) == 0 {
			t.Errorf("%s: %q %q", name, resp.Code, resp.Body)
		}
		if refused := c.code != CodeNoHandler; refused != (resp.Hello == "") {
			t.Errorf("%s: n1 says of itself %q", name, resp.Hello)
		}
	}
	if ran != 1 {
		t.Errorf("a refused call ran the handler: %d times", ran)
	}
	if n := b.nodes["n1"].c.PeerRefusals(); n != 4 {
		t.Errorf("%d refusals are counted, there were 4", n)
	}
}

// TestHandleRefuses: a path is registered once, and is a path.
func TestHandleRefuses(t *testing.T) {
	b := newBox(t, "n1")
	c, err := b.open("n1", nil)
	if err != nil {
		t.Fatal(err)
	}
	none := func(context.Context, string, []byte) ([]byte, error) { return nil, nil }
	c.Handle("/x", none)
	for _, path := range []string{"/x", "x", "", pathTerm, pathReadIndex} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was registered", path)
				}
			}()
			c.Handle(path, none)
		}()
	}
}

// TestLongBodies: a body that is longer than maxRPCBody is not sent, and one that long is no response, so that no peer
// fills this node's memory.
func TestLongBodies(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3")
	c1 := b.start("n1", nil)
	c2, err := b.open("n2", nil)
	if err != nil {
		t.Fatal(err)
	}
	c2.Handle("/long", func(_ context.Context, _ string, body []byte) ([]byte, error) {
		return bytes.Repeat([]byte{'x'}, maxRPCBody+len(body)), nil
	})
	if err := c2.Start(); err != nil {
		t.Fatal(err)
	}
	if out, err := c1.Call(short(t, time.Minute), "n2", "/long", nil); err != nil || len(out) != maxRPCBody {
		t.Errorf("the longest: %d bytes, %v", len(out), err)
	}
	out, err := c1.Call(short(t, time.Minute), "n2", "/long", []byte{1})
	if !errors.Is(err, ErrUnreachable) || out != nil {
		t.Errorf("one byte more: %d bytes, %v", len(out), err)
	}
	var remote *RemoteError
	if _, err := c1.Call(short(t, time.Minute), "n2", "/long", make([]byte, maxRPCBody+1)); !errors.As(err, &remote) ||
		remote.Code != CodeTooLarge {
		t.Errorf("a long request: %v", err)
	}
}

// TestReadIndexTellsThePosition: the log of a follower that reads learns which entry the leader has committed, by
// index and term.
func TestReadIndexTellsThePosition(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	lead := b.leader()
	follower := b.followers(lead)[0]
	want, err := lead.c.Propose([]byte("x")).Wait(short(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	var index uint64
	until(t, "the follower reads by the leader", func() bool { // it may not know the leader yet
		index, err = follower.c.ReadIndex(short(t, 10*time.Second))
		return err == nil
	})
	if index != want {
		t.Fatalf("read index %d, want %d", index, want)
	}
	if got := follower.logs.heard(); got != (position{want, lead.c.Term()}) {
		t.Errorf("the log heard of %+v, the leader committed entry %d in term %d", got, want, lead.c.Term())
	}
	if got := lead.logs.heard(); got != (position{}) {
		t.Errorf("the leader's own log heard of %+v", got)
	}
}

// TestReadIndexOfAFollower: a node that does not lead confirms no read, and says so by its code.
func TestReadIndexOfAFollower(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	lead := b.leader()
	follower, other := b.followers(lead)[0], b.followers(lead)[1]
	var remote *RemoteError
	_, err := other.c.Call(short(t, 10*time.Second), follower.id, pathReadIndex, nil)
	if !errors.As(err, &remote) || remote.Code != codeNotLeader {
		t.Errorf("asked for a read: %v", err)
	}
	until(t, "the follower reads by the leader", func() bool {
		_, err := follower.c.ReadIndex(short(t, time.Second))
		return err == nil
	})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lead.c.ReadIndex(ended); !errors.Is(err, ErrNotConfirmed) || !errors.Is(err, context.Canceled) {
		t.Errorf("a read that nobody waits for: %v", err)
	}
	out, err := other.c.Call(short(t, 10*time.Second), follower.id, pathTerm, queryFitness)
	if err != nil || len(out) != termResponseSize+1 || binary.BigEndian.Uint64(out) == 0 {
		t.Errorf("term and fitness: %x, %v", out, err)
	}
	out, err = other.c.Call(short(t, 10*time.Second), follower.id, pathTerm, nil)
	if err != nil || len(out) != termResponseSize {
		t.Errorf("term alone, as earlier releases ask for it: %x, %v", out, err)
	}
}

// TestHelloText: what a node says about itself is read back as it is. Everything else is refused.
func TestHelloText(t *testing.T) {
	id := strings.Repeat("0f", 16)
	good := hello{incarnation: id, boot: id, founders: id, last: 7, commit: 7}
	if got, err := parseHello(good.String()); err != nil || got != good {
		t.Errorf("%+v, %v", got, err)
	}
	text := good.String()
	for name, bad := range map[string]string{
		"empty":               "",
		"one member less":     text[:strings.LastIndex(text, " ")],
		"one member more":     text + " 1",
		"a blank more":        strings.Replace(text, " ", "  ", 1),
		"a line feed":         text + "\n",
		"short incarnation":   text[2:],
		"no hex":              "zz" + text[2:],
		"a sign":              strings.Replace(text, " 7 7", " +7 7", 1),
		"commit above last":   strings.Replace(text, " 7 7", " 7 8", 1),
		"negative":            strings.Replace(text, " 7 7", " -7 7", 1),
		"voters are not long": strings.Replace(text, id+" 7", id[1:]+" 7", 1),
	} {
		if h, err := parseHello(bad); err == nil {
			t.Errorf("%s: %q gives %+v", name, bad, h)
		}
	}
	if long := lengthPrefixed(strings.Repeat("x", 300)); len(long) != 256 || long[0] != 255 {
		t.Errorf("a text that is too long for its prefix: %d bytes, prefix %d", len(long), long[0])
	}
}

// TestDefaultsOfAConfig: zero values become the defaults, others stay, and no lease is longer than the heartbeat.
func TestDefaultsOfAConfig(t *testing.T) {
	for _, c := range []struct{ in, want Timings }{
		{Timings{}, Timings{2 * time.Second, 2 * time.Second, 2 * time.Second, 50 * time.Millisecond}},
		{Timings{Heartbeat: time.Minute}, Timings{time.Minute, time.Minute, 2 * time.Second, 50 * time.Millisecond}},
		{Timings{Heartbeat: time.Second}, Timings{time.Second, time.Second, time.Second, 50 * time.Millisecond}},
		{Timings{Heartbeat: 3 * time.Second, Election: time.Second, CommitTimeout: 1},
			Timings{3 * time.Second, time.Second, time.Second, 1}},
	} {
		cfg := Config{Timings: c.in, NodeID: "n2", Voters: []Voter{{"n1", "a:1"}, {"n2", "b:1"}}}
		cfg.setDefaults()
		if cfg.Timings != c.want {
			t.Errorf("%+v: %+v, want %+v", c.in, cfg.Timings, c.want)
		}
		if cfg.PeerAdvertise != "b:1" || cfg.MaxClockSkew != DefaultMaxClockSkew || cfg.Logger == nil ||
			cfg.Clock == nil || cfg.Elapsed == nil || cfg.Fatal == nil || cfg.dial == nil {
			t.Errorf("%+v", cfg)
		}
	}
	if cfg := (Config{PeerAdvertise: "x:1", MaxClockSkew: 1}); true {
		if cfg.setDefaults(); cfg.PeerAdvertise != "x:1" || cfg.MaxClockSkew != 1 {
			t.Errorf("what was set is replaced: %+v", cfg)
		}
	}
}

// TestFitnessOfVoters: a voter counts as fit by its last response alone, and for a bounded time.
func TestFitnessOfVoters(t *testing.T) {
	var f fitness
	start := time.Now()
	all := founded([]Voter{{ID: "n1"}, {ID: "n2"}, {ID: "n3"}}).now()
	fit := append(make([]byte, termResponseSize), 1)
	unfit := make([]byte, termResponseSize+1)
	for _, step := range []struct {
		id       string
		response []byte
		want     int
	}{
		{"n2", fit, 1}, {"n3", fit, 2}, {"n2", fit, 2}, {"n2", unfit, 1},
		{"n2", fit, 2}, {"n2", fit[:termResponseSize], 1}, // of an earlier release
		{"n3", append(fit, 1), 0}, // of one that nobody knows
	} {
		f.note(step.id, start, step.response)
		if got := f.others(all, start.Add(time.Second), time.Second); got != step.want {
			t.Errorf("%s says %x: %d are fit, want %d", step.id, step.response[termResponseSize:], got, step.want)
		}
	}
	f.note("n2", start, fit)
	if got := f.others(all, start.Add(time.Second+1), time.Second); got != 0 {
		t.Errorf("%d are fit by a response that is too old", got)
	}
}

// TestPendingSet: proposals in flight are waited for, and none is added after the end began.
func TestPendingSet(t *testing.T) {
	var p pendingSet
	for range 2 {
		if !p.add() {
			t.Fatal("refused")
		}
	}
	p.finish()
	p.refuse()
	p.refuse() // again is harmless
	if p.add() || !p.refusing() {
		t.Error("added after the end began")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	p.wait(ended) // returns by its context: one is in flight
	select {
	case <-p.idle:
		t.Error("idle with one in flight")
	default:
	}
	p.finish()
	p.wait(t.Context())
	var none pendingSet
	none.refuse()
	none.wait(t.Context()) // nothing was in flight
}

// TestRemovedNodeGetsNothing: a node that was removed reaches no handler, whatever it asks for.
func TestRemovedNodeGetsNothing(t *testing.T) {
	b := newBox(t, "n1", "n2", "n3").startAll()
	n3 := b.stranger(certs.Request{URIs: []string{NodeURI(testCluster, "n3")}, Client: true})
	own := b.nodes["n3"].c.peer.roster.hello().String()
	b.stop("n3")
	b.change("remove n3", func(ctx context.Context, c *Cluster) error { return c.Remove(ctx, "n3") })
	until(t, "n1 knows it", func() bool { return b.nodes["n1"].c.members.removed("n3") != 0 })
	for _, path := range []string{"/v1/seed/make", "/v1/seed/read", pathTerm, "/none"} {
		resp, err := n3.Call(short(t, 20*time.Second), frames.Request{Path: path, Hello: own})
		if err != nil || resp.Code != CodeRemoved || resp.Hello != "" {
			t.Errorf("%s: %q %q, %v", path, resp.Code, resp.Body, err)
		}
	}
}
