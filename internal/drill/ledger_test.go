package drill

import (
	"cmp"
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/canary"
	"github.com/recount-ledger/recount/internal/incident"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/sample"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// The faults of a ledger. A drill on a ledger with one of them must fail.
const (
	sound             = ""
	takesAttacker     = "node 2 takes the attacker's records"
	keepsForgery      = "node 2 keeps a forged record"
	losesRecord       = "the incident misses a record"
	knowsAttacker     = "the incident calls the attacker's shards known"
	otherFlip         = "another record flips"
	nodesDiffer       = "the digests differ"
	escalates         = "honest records are escalated"
	refusesAttack     = "the attack is refused"
	ignoresEpochs     = "nobody stands behind the attacker"
	refusesHonest     = "node 2 refuses an honest record after the incident"
	silentAfter       = "node 2 answers nobody after the incident"
	frozenOnOne       = "node 2 is not frozen"
	noRepeats         = "node 2 answers no repeat during the freeze"
	acceptsUnderFrost = "canaries are accepted during the freeze"
	acceptsAfter      = "canaries are accepted after the recount"
	staysFrozen       = "the thaw fails"
)

// ledger plays the nodes of a cluster over HTTPS, and the answers of recount about it.
type ledger struct {
	*testing.T
	fault  string
	nodes  int
	ring   *verify.KeySet
	leaked string // id of the key
	late   func() // called when the attack is over

	mu                            sync.Mutex
	entries                       []*entry
	revoked, frozen, lax, settled bool // settled: a generation without the attack is active
	asked                         []string
}

// entry is one record that was not refused.
type entry struct {
	rec       *pcs.Record
	key       string // that signed it, "" for none
	escalated bool
}

// newLedger returns a drill on a cluster with one fault.
func newLedger(t *testing.T, scenario, fault string) (*ledger, *drill) {
	t.Helper()
	l := &ledger{T: t, fault: fault, nodes: 2}
	c := &cluster{nodes: l.nodes, dir: "DIR", patience: callTimeout / 2}
	if fault == frozenOnOne { // its answer must come in time
		c.patience = callTimeout
	}
	l.late = func() { // what stays silent from then on costs the whole time
		if fault == silentAfter || fault == noRepeats {
			c.patience = 5 * time.Second
		}
	}
	var keys []verify.Key
	for secret, records := range map[string]**sample.Records{honestSecret: &c.honest, leakedSecret: &c.leaked} {
		key, errKey := verify.NewHMACKey([]byte(secret))
		made, errMade := sample.New([]byte(secret))
		if errKey != nil || errMade != nil {
			t.Fatal(errKey, errMade)
		}
		keys, *records = append(keys, key), made
		if secret == leakedSecret {
			l.leaked = key.ID
		}
	}
	l.ring = verify.NewKeySet(keys)
	cfg := client.Config{HTTP2: true}
	for i := range l.nodes {
		server := httptest.NewUnstartedServer(l.node(i))
		server.EnableHTTP2 = true // one connection for all loaders
		server.StartTLS()
		t.Cleanup(server.Close)
		cfg.Endpoints = append(cfg.Endpoints, server.URL)
		block := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
		cfg.CA = append(cfg.CA, pem.EncodeToMemory(block)...)
	}
	var err error
	if c.client, err = client.New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.client.Close)
	d := &drill{cluster: c, bundles: "BUNDLES", cfg: Config{
		Scenario:    scenario,
		Submissions: 200,
		Run:         l.run,
		Progress:    func(string, ...any) {},
	}}
	return l, d
}

// node answers for one node.
func (l *ledger) node(i int) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+client.SubmitPath, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client gave up
		}
		status, v := l.judge(i, body)
		reply(w, status, v)
	})
	mux.HandleFunc("GET /v1/audit", func(w http.ResponseWriter, r *http.Request) { reply(w, 200, l.audit(i, r)) })
	mux.HandleFunc("GET /v1/policies", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, wire.PoliciesPage{
			Items: []wire.PolicyAnswer{{ID: "older"}, {ID: "good", InForce: true}, {ID: "newer"}},
		})
	})
	mux.HandleFunc("POST /v1/policies", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 201, wire.PolicyAnswer{ID: "lax"})
	})
	mux.HandleFunc("POST /v1/policies/lax/apply", func(w http.ResponseWriter, _ *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lax = true
		reply(w, 200, wire.ApplyAnswer{Policy: "lax", Seq: 9})
	})
	return mux
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// judge answers one submission.
func (l *ledger) judge(node int, body []byte) (int, any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	rec := pcs.Decode(body)
	key := l.ring.Check(rec, verify.Facts{}).KeyID
	attack := key != "" && key == l.leaked || key == ""
	refuse := func(code wire.Code) (int, any) {
		p := wire.NewProblem(code, "")
		return p.Status, p
	}
	second := node == 1
	switch at := slices.IndexFunc(l.entries, func(e *entry) bool { return e.rec.PCSID == rec.PCSID }); {
	case second && l.settled && !attack && l.fault == refusesHonest:
		return refuse(wire.CodeBadSignature)
	case second && l.settled && !attack && l.fault == silentAfter,
		second && l.frozen && at >= 0 && l.fault == noRepeats:
		return refuse(wire.CodeNotReady)
	case at >= 0:
		return 200, wire.SubmitAnswer{PCSID: rec.PCSID, Replayed: true}
	case key == "" && (!l.lax || l.fault == refusesAttack):
		return refuse(wire.CodeBadSignature)
	case key == l.leaked && (l.revoked && !(second && l.fault == takesAttacker) || l.fault == refusesAttack):
		return refuse(wire.CodeKeyNotAllowed)
	case l.frozen && !(second && l.fault == frozenOnOne):
		return refuse(wire.CodeFrozen)
	}
	e := &entry{rec: rec, key: key, escalated: !attack && l.fault == escalates}
	for _, other := range l.entries {
		behind := other.rec.ShardID == rec.ShardID && other.rec.Epoch >= rec.Epoch && !other.escalated
		e.escalated = e.escalated || behind && l.fault != ignoresEpochs
	}
	l.entries = append(l.entries, e)
	if e.escalated {
		return 202, wire.SubmitAnswer{PCSID: rec.PCSID, Escalated: true}
	}
	return 200, wire.SubmitAnswer{PCSID: rec.PCSID, Accepted: true}
}

// audit lists the accepted records of a shard.
func (l *ledger) audit(node int, r *http.Request) wire.AuditPage {
	l.mu.Lock()
	defer l.mu.Unlock()
	page := wire.AuditPage{Items: []wire.AuditItem{}}
	for i, e := range l.entries {
		if e.rec.ShardID == r.URL.Query().Get("shard") && !e.escalated {
			page.Items = append(page.Items, wire.AuditItem{Seq: uint64(i + 1), Epoch: e.rec.Epoch})
		}
	}
	if node == 1 && l.fault == keepsForgery {
		page.Items = append(page.Items, wire.AuditItem{Seq: 77, Epoch: 401})
	}
	return page
}

// attack reports whether a record is one that a recount takes out.
func (l *ledger) attack(e *entry) bool { return e.key == "" || e.key == l.leaked && l.revoked }

// run plays recount.
func (l *ledger) run(_ context.Context, args []string) (exit int, stdout, stderr []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v, exit := l.command(args)
	stdout, err := json.Marshal(v)
	if err != nil {
		l.Error(err)
	}
	return exit, stdout, []byte("recount: " + args[0] + " failed\n")
}

func (l *ledger) command(args []string) (v any, exit int) {
	name := args[0]
	if slices.Contains([]string{"shard", "incident", "generation"}, name) {
		name += " " + args[1]
	}
	l.asked = append(l.asked, name)
	switch name {
	case "incident key":
		return l.incident(args[2]), 0
	case "generation start":
		if at := slices.Index(args, "--policy"); args[at+1] != "good" {
			l.Errorf("recounted under %q", args)
		}
		return wire.GenerationAnswer{Generation: 2}, 0
	case "generation diff":
		return l.diff(), 0
	case "generation activate":
		if !slices.Contains(args, "the digest") {
			l.Errorf("activated without the digest that was read: %q", args)
		}
		l.activate()
		l.late()
		return wire.ActivateAnswer{Generation: 2, Reporters: []string{"a", "b"}}, 0
	case "freeze":
		l.frozen = true
		l.late()
	case "thaw":
		if l.fault == staysFrozen {
			return nil, 5
		}
		l.frozen = false
	case "canary":
		return l.canaries()
	case "digest":
		if l.fault == nodesDiffer {
			return nil, exitVerify
		}
	}
	return nil, 0
}

func (l *ledger) incident(key string) incident.Key {
	if key != l.leaked {
		l.Errorf("the key %q is revoked, not the leaked one", key)
	}
	l.revoked = true
	k := incident.Key{KeyID: key, RevokedSeq: 9, Hindsight: 2, Tally: incident.NewTally()}
	for i, e := range l.entries {
		if e.key != l.leaked {
			continue
		}
		k.SignedSince++
		item := wire.AuditItem{Seq: uint64(i + 1), LogTime: "2026-01-02T03:04:05Z", ShardID: e.rec.ShardID}
		if err := k.Add(&item, wire.OutcomeAccepted); err != nil {
			l.Error(err)
		}
	}
	k.Finish(func(shard string) bool { return shard[:4] == "lab-" || l.fault == knowsAttacker })
	if l.fault == losesRecord {
		k.SignedSince--
	}
	return k
}

func (l *ledger) diff() wire.DiffAnswer {
	d := wire.DiffAnswer{Events: uint64(len(l.entries)), Digest: "the digest"}
	for _, e := range l.entries {
		if l.attack(e) {
			d.Direct++
		} else if e.escalated {
			d.Indirect++
		}
	}
	if l.fault == otherFlip {
		d.Direct++
	}
	d.Flips = d.Direct + d.Indirect
	return d
}

// activate takes the attack out, so nobody stands behind it any more.
func (l *ledger) activate() {
	l.entries = slices.DeleteFunc(l.entries, l.attack)
	slices.SortStableFunc(l.entries, func(a, b *entry) int { return cmp.Compare(a.rec.Epoch, b.rec.Epoch) })
	for _, e := range l.entries {
		e.escalated = false
	}
	l.lax, l.settled = false, true
}

func (l *ledger) canaries() (r canary.Report, exit int) {
	r.Sent, r.Refused = 8*l.nodes, 7*l.nodes
	switch {
	case !l.lax && l.fault != acceptsAfter:
		r.Refused = r.Sent
		return r, exitOK
	case l.frozen && l.fault != acceptsUnderFrost:
		r.Frozen = l.nodes
	default:
		r.LetThrough = l.nodes
	}
	return r, exitVerify
}
