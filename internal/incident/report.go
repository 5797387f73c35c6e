// Package incident makes the report of an incident: numbers for programs, and a page without scripts for people to read, print and
// hand on. It asks nobody; cmd/recount fills it from the ledger.
package incident

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// Origin says where, when and by whom a report was written, and of which state of the log it speaks.
type Origin struct {
	Cluster    string   `json:"cluster"`    // as the writer names it: a context, a directory, endpoints
	ClusterID  string   `json:"cluster_id"` // as its nodes name it
	Author     string   `json:"author"`     // the actor that the nodes know; "" where they want no credentials
	Role       string   `json:"role,omitempty"`
	Credential string   `json:"credential,omitempty"`
	WrittenAt  string   `json:"written_at"` // RFC 3339, by the clock of the writer
	LogSeq     uint64   `json:"log_seq"`
	LogDigest  string   `json:"log_digest"` // of the events 1..LogSeq, hex
	Generation uint32   `json:"generation"` // that gave the outcomes
	Reason     string   `json:"reason"`
	Ticket     string   `json:"ticket"`
	Bundle     string   `json:"bundle"` // directory of the report
	Next       []string `json:"next"`   // command lines
}

// Key is the report of a key in other hands.
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

// Bypass is the report of a verifier that let forgeries in.
type Bypass struct {
	State    string              `json:"state"`                  // how far the response has come: StateFound to StateDone
	Canaries []Canaries          `json:"canaries"`               // each round of this run
	Freeze   *wire.FreezeAnswer  `json:"freeze,omitempty"`       // of everything, while it holds
	Policies []wire.PolicyAnswer `json:"policies"`               // all that were published
	Acts     []Act               `json:"acts"`                   // of operators, on policies and generations
	Fix      string              `json:"fix,omitempty"`          // id of the policy that mends it
	Dangers  []string            `json:"dangers"`                // what that policy lets in that a person must mean
	Recount  uint32              `json:"recounted,omitempty"`    // the generation under the fix
	Diff     *wire.DiffAnswer    `json:"diff,omitempty"`         // what it changes
	Planned  []string            `json:"planned,omitempty"`      // what a dry run leaves out
	Activate string              `json:"activate,omitempty"`     // command line
	Thaw     string              `json:"thaw,omitempty"`         // command line
	Changes  map[string]int      `json:"would_change,omitempty"` // of the newest records alone: "accepted->refused": n
	Origin
	Tally // of the submissions that the recount changes, by what they were and become: "accepted->refused"
}

// Values of Bypass.State.
const (
	StateFound  = "found"  // nothing was done yet
	StateFrozen = "frozen" // new submissions are refused
	StateBuilt  = "built"  // history is folded under the fix, beside the generation that answers
	StateActive = "active" // the fix answers; a freeze still holds
	StateDone   = "done"   // the fix answers, and submissions are taken again
)

// Canaries counts what became of a round of known-bad submissions.
type Canaries struct {
	At         string `json:"at"`
	Sent       int    `json:"sent"`
	Refused    int    `json:"refused"`
	LetThrough int    `json:"let_through"`
	Frozen     int    `json:"frozen"` // stopped by a freeze alone
	NoAnswer   int    `json:"no_answer"`
}

// Act is what an operator has done, in words.
type Act struct {
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
	Expected    bool   `json:"expected"` // registered with known-shards
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
	ByAddress     map[string]int `json:"by_address"`     // from where they came; "" counts those of which no address was recorded
	UnknownShards []string       `json:"unknown_shards"` // those that nobody registered as expected, sorted
	Shards        []Shard        `json:"shards"`         // unexpected ones first, then those with more submissions
	Hours         []Hour         `json:"hours"`          // those in which something came, in order

	submissions int
	shards      map[string]*Shard
	hours       map[time.Time]map[string]int
}

// NewTally counts nothing yet.
func NewTally() Tally {
	return Tally{ByShard: map[string]int{}, ByOutcome: map[string]int{}, ByAddress: map[string]int{}, UnknownShards: []string{},
		Shards: []Shard{}, Hours: []Hour{}, shards: map[string]*Shard{}, hours: map[time.Time]map[string]int{}}
}

// Add counts a submission under an outcome. The error is that of a log time that is none.
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

// Submissions is how many were added.
func (t *Tally) Submissions() int { return t.submissions }

// Finish makes the lists of shards and hours; expected tells which shards somebody registered.
func (t *Tally) Finish(expected func(shard string) bool) {
	t.UnknownShards, t.Shards, t.Hours = []string{}, []Shard{}, []Hour{}
	for _, id := range slices.Sorted(maps.Keys(t.shards)) {
		s := *t.shards[id]
		if s.Expected = expected(id); !s.Expected {
			t.UnknownShards = append(t.UnknownShards, id)
		}
		t.Shards = append(t.Shards, s)
	}
	slices.SortStableFunc(t.Shards, func(x, y Shard) int {
		if x.Expected != y.Expected {
			return map[bool]int{false: -1, true: 1}[x.Expected]
		}
		return cmp.Compare(y.Submissions, x.Submissions)
	})
	for _, hour := range slices.SortedFunc(maps.Keys(t.hours), time.Time.Compare) {
		t.Hours = append(t.Hours, Hour{wire.Time(hour), t.hours[hour]})
	}
}

// Address counts the submissions that came from one address.
type Address struct {
	Address string // "" when none was recorded
	Count   int
}

// Addresses are those that submissions came from, with more submissions first.
func (t *Tally) Addresses() []Address {
	out := make([]Address, 0, len(t.ByAddress))
	for _, address := range slices.Sorted(maps.Keys(t.ByAddress)) {
		out = append(out, Address{address, t.ByAddress[address]})
	}
	slices.SortStableFunc(out, func(x, y Address) int { return cmp.Compare(y.Count, x.Count) })
	return out
}
