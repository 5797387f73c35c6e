// Package incident renders the report of an incident: numbers for programs, and a page without scripts for
// people to read, print and pass on. It requests nothing itself. cmd/recount fills the report from the ledger.
package incident

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// Origin describes where, when and by whom a report was written, and the state of the log that it covers.
type Origin struct {
	Cluster    string   `json:"cluster"`    // as the writer names it: a context, a directory, endpoints
	ClusterID  string   `json:"cluster_id"` // as its nodes name it
	Author     string   `json:"author"`     // the actor as the nodes know it, "" if no credentials are needed
	Role       string   `json:"role,omitempty"`
	Credential string   `json:"credential,omitempty"`
	WrittenAt  string   `json:"written_at"` // RFC 3339, by the clock of the writer
	LogSeq     uint64   `json:"log_seq"`
	LogDigest  string   `json:"log_digest"` // of the events 1..LogSeq, hex
	Generation uint32   `json:"generation"` // that produced the outcomes
	Reason     string   `json:"reason"`
	Ticket     string   `json:"ticket"`
	Bundle     string   `json:"bundle"` // directory of the report
	Next       []string `json:"next"`   // command lines
}

// Key is the report of a compromised key.
type Key struct {
	KeyID       string `json:"key_id"`
	Owner       string `json:"owner"`
	RevokedSeq  uint64 `json:"revoked_seq"`
	Since       string `json:"since"`
	SignedSince int    `json:"signed_since"` // submissions with log time from Since on, up to RevokedSeq
	Hindsight   uint32 `json:"hindsight_generation,omitempty"`
	Origin
	Tally // of what it signed since
}

// Bypass is the report of a verifier that accepted forgeries.
type Bypass struct {
	State      string              `json:"state"`                  // progress of the response: StateFound to StateDone
	Canaries   []Canaries          `json:"canaries"`               // each round of this run
	Freeze     *wire.FreezeAnswer  `json:"freeze,omitempty"`       // of everything, while it is in force
	Policies   []wire.PolicyAnswer `json:"policies"`               // all published ones
	Operations []Operation         `json:"operations"`             // of operators, on policies and generations
	Fix        string              `json:"fix,omitempty"`          // id of the policy with the fix
	Dangers    []string            `json:"dangers"`                // what that policy accepts and an operator must intend
	Recount    uint32              `json:"recounted,omitempty"`    // the generation under the fix
	Diff       *wire.DiffAnswer    `json:"diff,omitempty"`         // the changes of that generation
	Planned    []string            `json:"planned,omitempty"`      // steps that a dry run omits
	Activate   string              `json:"activate,omitempty"`     // command line
	Thaw       string              `json:"thaw,omitempty"`         // command line
	Changes    map[string]int      `json:"would_change,omitempty"` // of the newest records alone: "accepted->refused": n
	Origin
	Tally // of the submissions that the recount changes, by old and new outcome: "accepted->refused"
}

// Values of Bypass.State.
const (
	StateFound  = "found"  // nothing was done yet
	StateFrozen = "frozen" // new submissions are refused
	StateBuilt  = "built"  // history is folded under the fix, beside the active generation
	StateActive = "active" // the fix is active; a freeze is still in force
	StateDone   = "done"   // the fix is active, and submissions are accepted again
)

// Canaries counts the outcomes of a round of known-bad submissions.
type Canaries struct {
	At         string `json:"at"`
	Sent       int    `json:"sent"`
	Refused    int    `json:"refused"`
	LetThrough int    `json:"let_through"`
	Frozen     int    `json:"frozen"` // refused only because of a freeze
	NoAnswer   int    `json:"no_answer"`
}

// Operation describes an operation in words.
type Operation struct {
	Seq    uint64 `json:"seq"`
	At     string `json:"at"`
	Actor  string `json:"actor"`
	What   string `json:"what"`
	Reason string `json:"reason"`
	Ticket string `json:"ticket"`
}

// Shard counts the submissions of one shard.
type Shard struct {
	ShardID     string `json:"shard_id"`
	Submissions int    `json:"submissions"`
	Known       bool   `json:"known"` // registered with known-shards
	FirstSeq    uint64 `json:"first_seq"`
	FirstAt     string `json:"first_at"` // log time
	LastSeq     uint64 `json:"last_seq"`
	LastAt      string `json:"last_at"`
}

// Hour counts the submissions of one hour of log time.
type Hour struct {
	Start     string         `json:"start"`
	ByOutcome map[string]int `json:"by_outcome"`
}

// Tally counts submissions in the order of the log.
type Tally struct {
	FirstSeq      uint64         `json:"first_seq,omitempty"`
	LastSeq       uint64         `json:"last_seq,omitempty"`
	ByShard       map[string]int `json:"by_shard"`
	ByOutcome     map[string]int `json:"by_outcome"`
	ByAddress     map[string]int `json:"by_address"`     // by sender; "" counts those without a recorded address
	UnknownShards []string       `json:"unknown_shards"` // those that are not registered as known, sorted
	Shards        []Shard        `json:"shards"`         // unknown ones first, then those with more submissions
	Hours         []Hour         `json:"hours"`          // hours with submissions, in order

	submissions int
	shards      map[string]*Shard
	hours       map[time.Time]map[string]int
}

// NewTally returns an empty tally.
func NewTally() Tally {
	return Tally{
		ByShard:       map[string]int{},
		ByOutcome:     map[string]int{},
		ByAddress:     map[string]int{},
		UnknownShards: []string{},
		Shards:        []Shard{},
		Hours:         []Hour{},
		shards:        map[string]*Shard{},
		hours:         map[time.Time]map[string]int{},
	}
}

// Add counts a submission under an outcome. It returns an error if the log time is invalid.
func (t *Tally) Add(i *wire.AuditItem, outcome string) error {
	at, err := wire.ParseTime(i.LogTime)
	if err != nil {
		return err
	}
	if t.FirstSeq == 0 {
		t.FirstSeq = i.Seq
	}
	t.LastSeq = i.Seq
	t.submissions++
	t.ByShard[i.ShardID]++
	t.ByOutcome[outcome]++
	t.ByAddress[i.Remote]++
	s := t.shards[i.ShardID]
	if s == nil {
		s = &Shard{ShardID: i.ShardID, FirstSeq: i.Seq, FirstAt: i.LogTime}
		t.shards[i.ShardID] = s
	}
	s.Submissions++
	s.LastSeq, s.LastAt = i.Seq, i.LogTime
	hour := at.UTC().Truncate(time.Hour)
	if t.hours[hour] == nil {
		t.hours[hour] = map[string]int{}
	}
	t.hours[hour][outcome]++
	return nil
}

// Submissions returns the number of submissions added.
func (t *Tally) Submissions() int { return t.submissions }

// Finish creates the lists of shards and hours. known reports whether a shard is registered as known.
func (t *Tally) Finish(known func(shard string) bool) {
	t.UnknownShards, t.Shards, t.Hours = []string{}, []Shard{}, []Hour{}
	for _, id := range slices.Sorted(maps.Keys(t.shards)) {
		s := *t.shards[id]
		if s.Known = known(id); !s.Known {
			t.UnknownShards = append(t.UnknownShards, id)
		}
		t.Shards = append(t.Shards, s)
	}
	slices.SortStableFunc(t.Shards, func(x, y Shard) int {
		if x.Known != y.Known {
			return map[bool]int{false: -1, true: 1}[x.Known]
		}
		return cmp.Compare(y.Submissions, x.Submissions)
	})
	for _, hour := range slices.SortedFunc(maps.Keys(t.hours), time.Time.Compare) {
		t.Hours = append(t.Hours, Hour{wire.Time(hour), t.hours[hour]})
	}
}

// Address counts the submissions that came from one address.
type Address struct {
	Address string // "" if none was recorded
	Count   int
}

// Addresses lists the addresses of submissions, those with more submissions first.
func (t *Tally) Addresses() []Address {
	out := make([]Address, 0, len(t.ByAddress))
	for _, address := range slices.Sorted(maps.Keys(t.ByAddress)) {
		out = append(out, Address{address, t.ByAddress[address]})
	}
	slices.SortStableFunc(out, func(x, y Address) int { return cmp.Compare(y.Count, x.Count) })
	return out
}
