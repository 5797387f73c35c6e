package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	membersName   = "members.json"
	membersFormat = 1
	membersSave   = 5 * time.Second  // interval at which the commit indexes of members are saved
	standingFor   = 30 * time.Second // time for which a statement of another node is valid
	askPause      = 200 * time.Millisecond
)

// hello is the statement of a node about itself at the start of every Raft stream and in every peer RPC, in
// both directions.
type hello struct {
	incarnation string // of its directory
	boot        string // of its process, because messages of different processes may overtake each other
	founders    string // digest of the ids of the founding members, foundingUnknown while its log is empty
	last        uint64 // last index of its log
	commit      uint64 // commit index that it knows
}

func (h hello) String() string { return string(h.append(nil)) }

func (h hello) append(b []byte) []byte {
	for _, text := range []string{h.incarnation, h.boot, h.founders} {
		b = append(append(b, text...), ' ')
	}
	b = append(strconv.AppendUint(b, h.last, 10), ' ')
	return strconv.AppendUint(b, h.commit, 10)
}

func parseHello(s string) (h hello, err error) {
	var last string
	commit := s
	for _, part := range []*string{&h.incarnation, &h.boot, &h.founders, &last} {
		*part, commit, _ = strings.Cut(commit, " ")
	}
	h.last, err = strconv.ParseUint(last, 10, 64)
	if err == nil {
		h.commit, err = strconv.ParseUint(commit, 10, 64)
	}
	var again [160]byte
	if err != nil || string(h.append(again[:0])) != s || !isIncarnation(h.incarnation) || !isIncarnation(h.boot) ||
		len(h.founders) != 32 {
		return hello{}, errors.New("a node did not say its incarnation and founders; does it run another release?")
	}
	if h.commit > h.last {
		return hello{}, fmt.Errorf("a node says that entries up to %d are committed and that its log ends at %d",
			h.commit, h.last)
	}
	return h, nil
}

// idsDigest returns the digest of ids, regardless of their order.
func idsDigest(ids []string) string {
	ids = slices.Sorted(slices.Values(ids))
	h := sha256.Sum256([]byte(strings.Join(ids, "\n")))
	return hex.EncodeToString(h[:16])
}

// memberFile is the content of members.json: what this node has seen of the others.
type memberFile struct {
	Format  int                  `json:"format"`
	Members map[string]memberRow `json:"members"`
	Sum     string               `json:"sum"`
}

type memberRow struct {
	Incarnation string `json:"incarnation"`
	Committed   uint64 `json:"committed"` // its log has held the entries up to here, permanently
}

func (f *memberFile) sum() *string { return &f.Sum }
func (f *memberFile) newest() int  { return membersFormat }

// roster remembers the other members, and which of them deny that this node is a member.
type roster struct {
	cfg     *Config
	log     *slog.Logger
	path    string
	members *membership
	boot    string // of this process
	state   func() (last, commit uint64)

	saving sync.Mutex // one writer of the file, acquired before mu

	mu      sync.Mutex
	known   map[string]memberRow
	written map[string]bool // members whose incarnation is in the file
	dirty   bool
	boots   map[string]string    // by member, its process that was admitted last
	agreed  map[string]time.Time // members that accept this node
	differs map[string]time.Time // nodes of this cluster's authority that have other founding members
	denied  map[string]denial    // members that take this node for another one

	refusals atomic.Uint64
	told     atomic.Bool            // the log says that this node was removed
	gone     atomic.Pointer[string] // who said so, once a majority of the other voters has
}

func newRoster(cfg *Config, members *membership, state func() (last, commit uint64)) (*roster, error) {
	r := &roster{
		cfg:     cfg,
		log:     cfg.Logger,
		path:    filepath.Join(cfg.Dir, membersName),
		members: members,
		state:   state,
		boot:    newIdentity(cfg).Incarnation,
		written: map[string]bool{},
		boots:   map[string]string{},
		agreed:  map[string]time.Time{},
		differs: map[string]time.Time{},
		denied:  map[string]denial{},
	}
	var err error
	if r.known, err = readMembers(r.path); err != nil {
		return nil, err
	}
	for id := range r.known {
		r.written[id] = true
	}
	return r, nil
}

// readMembers reads the file. Without a file no member is known.
func readMembers(path string) (map[string]memberRow, error) {
	f := memberFile{}
	found, err := readSummed(path, &f)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return map[string]memberRow{}, nil
	case f.Format != membersFormat:
		return nil, fmt.Errorf("%w: %s has format %d, this release knows %d; run the release that wrote it",
			ErrInconsistent, path, f.Format, membersFormat)
	case f.Members == nil:
		return nil, inconsistent("%s names no members", path)
	}
	for id, row := range f.Members {
		if !isIncarnation(row.Incarnation) {
			return nil, inconsistent("%s: member %q has the incarnation %q", path, id, row.Incarnation)
		}
	}
	return f.Members, nil
}

// isIncarnation reports whether s is 128 bits in hex.
func isIncarnation(s string) bool {
	var raw [16]byte
	if len(s) != hex.EncodedLen(len(raw)) {
		return false
	}
	_, err := hex.Decode(raw[:], []byte(s))
	return err == nil
}

// hello returns the statement of this node about itself.
func (r *roster) hello() hello {
	last, commit := r.state()
	return hello{incarnation: r.cfg.self.Incarnation, boot: r.boot, founders: *r.members.founding.Load(), last: last,
		commit: commit}
}

// admit checks the hello of member id. A member that was never seen is saved before it is admitted.
func (r *roster) admit(id, text string) (hello, error) {
	h, err := parseHello(text)
	if err == nil {
		err = r.compare(id, h)
	}
	if err != nil {
		r.refusals.Add(1)
		return h, fmt.Errorf("%w: %s: %w", errRefused, id, err)
	}
	return h, nil
}

func (r *roster) compare(id string, h hello) error {
	founders, removed := *r.members.founding.Load(), r.members.removed(id)
	now := r.members.now()
	m, member := now.member(id)
	last, _ := r.state()
	r.mu.Lock()
	if h.founders != founders && h.founders != foundingUnknown && founders != foundingUnknown {
		r.differs[id] = time.Now()
		r.mu.Unlock()
		return errOtherFounders
	}
	if removed != 0 {
		delete(r.agreed, id)
		r.mu.Unlock()
		return fmt.Errorf("%w %d", errRemoved, removed)
	}
	row, found := r.known[id]
	joined, index := r.joinedFrom(id)
	if found && joined == h.incarnation && row.Incarnation != joined { // the row is of a directory that came first
		row, found = memberRow{}, false
		delete(r.written, id)
	}
	if err := r.refusal(id, h, row, found, joined); err != nil {
		r.mu.Unlock()
		return err
	}
	if !found && (!member || !m.Votes() && index < now.index) {
		if !member && now.votes(r.cfg.NodeID) && h.commit > last {
			r.denied[id] = denial{reason: errForked.Error(), stranger: true, at: time.Now()}
		}
		r.mu.Unlock()
		return nil // it may wait to be added, or this node does not know yet who added it, or from which directory
	}
	if h.commit > row.Committed || !found {
		r.known[id] = memberRow{h.incarnation, max(h.commit, row.Committed)}
		r.dirty = true
	}
	written := r.written[id]
	r.mu.Unlock()
	if !written { // also if an earlier save failed, or is in progress for another message
		if err := r.save(); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.differs, id)
	r.agreed[id], r.boots[id] = time.Now(), h.boot
	return nil
}

// refusal compares the hello of id with its row, and with the incarnation that the ledger names, if any. r.mu must be
// held.
func (r *roster) refusal(id string, h hello, row memberRow, found bool, joined string) error {
	switch {
	case r.lostVoter(id, h, found):
		return errLostVoter
	case joined != "" && joined != h.incarnation:
		return errOtherDirectory
	case found && row.Incarnation != h.incarnation:
		return fmt.Errorf("it was seen with incarnation %.8s and comes with %.8s: its directory was lost or "+
			"exchanged; stop it, remove it, and add a new node id",
			row.Incarnation, h.incarnation)
	case h.last < row.Committed && r.boots[id] != h.boot:
		return fmt.Errorf("its log ends at %d and held committed entries up to %d: it lost a part of its log; "+
			"stop it, remove it, and add a new node id",
			h.last, row.Committed)
	}
	return nil
}

// joinedFrom is Config.JoinedFrom. Without it, every answer is known.
func (r *roster) joinedFrom(id string) (incarnation string, index uint64) {
	if r.cfg.JoinedFrom == nil {
		return "", math.MaxUint64
	}
	return r.cfg.JoinedFrom(id)
}

// lostVoter reports whether a voter comes without the log that it had: with none, or, to a node that never met it,
// with nothing but its founding although the members have changed since. It may have founded the cluster once more
// while nobody answered that knows it, and members that were added later do not know it. r.mu must be held.
func (r *roster) lostVoter(id string, h hello, met bool) bool {
	now := r.members.now()
	return now.votes(id) && (h.founders == foundingUnknown || !met && h.last <= 1 && now.index > 1)
}

// save writes the members if there is something new.
func (r *roster) save() error {
	r.saving.Lock()
	defer r.saving.Unlock()
	r.mu.Lock()
	f := memberFile{Format: membersFormat, Members: map[string]memberRow{}}
	for id, row := range r.known {
		f.Members[id] = row
	}
	dirty := r.dirty
	r.dirty = false
	r.mu.Unlock()
	if !dirty {
		return nil
	}
	if err := writeSummed(r.path, &f); err != nil {
		r.mu.Lock()
		r.dirty = true
		r.mu.Unlock()
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range f.Members {
		r.written[id] = true
	}
	return nil
}

// run saves from time to time until the cluster closes.
func (r *roster) run(stop context.Context) {
	tick := time.NewTicker(membersSave)
	defer tick.Stop()
	for {
		select {
		case <-stop.Done():
		case <-tick.C:
		}
		r.sayRemoved()
		if err := r.save(); err != nil {
			r.log.Error("cluster: what is known of the members could not be written down", "error", err)
		}
		if stop.Err() != nil {
			return
		}
	}
}
