// Package seed gives a node that joins a cluster a copy of the log of a member, so that Raft sends only what came
// after. The copy comes at a bounded rate, and from a follower if there is one. Replaying a long log over Raft
// takes the leader's time for every entry.
//
// A member answers four calls of the peer port, each for members of the newest configuration alone:
//
//	/v1/seed/offer   how large its log is, and whether it leads
//	/v1/seed/make    a copy for the caller: made by the first call, then told until it is ready
//	/v1/seed/read    a part of a file of that copy, at most maxPart bytes
//	/v1/seed/done    the caller needs the copy no more
//
// Source answers them with package copies, which bounds the rate and removes copies that nobody uses. Receiver calls
// them. It keeps everything below events.seed/ in the directory of the node:
//
//	plan.json   the member and its files with sizes and hashes, written before the first file
//	log/        the files; what is there after a crash is hashed and used again
//	ready       written once all hashes agree and the log was opened and read to its end
//
// Install puts events.seed/log in the place of the empty events/ before the node opens its log. Each step is a rename
// that a start after a crash finishes. A log that has an entry is never replaced.
//
// A stopped node whose log is damaged uses the same calls and a Receiver of its own: Fetch, with events.repair/
// instead of events.seed/. Switch then puts the copy in the place of the damaged log, which it keeps as
// events.damaged-1.
//
// The package does not decide what is committed: a copy ends at an entry that its member has folded. It proves no
// history either. The digests in the log are compared when the node folds them, as with entries from Raft.
package seed

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/recount-ledger/recount/wire"
)

// Paths of the calls between nodes.
const (
	OfferPath = "/v1/seed/offer"
	MakePath  = "/v1/seed/make"
	ReadPath  = "/v1/seed/read"
	DonePath  = "/v1/seed/done"
)

// maxPart bounds the bytes of one answer to ReadPath.
const maxPart = 256 << 10

// maxFiles bounds the files of a copy. A log of 1 TiB has some 20,000 tables.
const maxFiles = 200_000

// Names below the directory of the node.
const (
	eventsName = "events"
	seedName   = "events.seed"
	planName   = "plan.json"
	logName    = "log"
	readyName  = "ready"

	droppedSuffix = ".dropped" // of seedName while it is removed
)

// DefaultFrom is the size of a log in bytes from which a joining node copies it.
const DefaultFrom = 8 << 20

// Errors of a member's answers and files. None of them stops the node, which asks another member.
var (
	errBadAnswer = errors.New("seed: the member sent an answer that makes no sense")
	errDamaged   = errors.New("seed: a file is not what the member said")
	errNoRoom    = errors.New("seed: too little disk space for the copy of the log")
	errWrite     = errors.New("seed: cannot write the copy of the log")
	errBehind    = errors.New("seed: the copy does not reach as far as this node had acknowledged")
)

// offer is the answer to OfferPath.
type offer struct {
	Bytes uint64 `json:"bytes"` // of the log on the disk
	Seq   uint64 `json:"seq"`   // last event folded
	Leads bool   `json:"leads"`
	Can   bool   `json:"can"` // it keeps copies
}

// part is the request of ReadPath, and with ID alone that of DonePath.
type part struct {
	ID     string `json:"id"`
	Name   string `json:"name,omitempty"`
	Offset int64  `json:"offset,omitempty"`
	Bytes  int    `json:"bytes,omitempty"`
}

var (
	fileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
	hexSum   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	copyID   = regexp.MustCompile(`^[a-z0-9]{16,64}$`)
)

// checkCopy refuses the answer of a member that could reach outside the directory of the copy, or that contradicts
// itself.
func checkCopy(a *wire.CopyAnswer, member, clusterID string) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{errBadAnswer}, args...)...)
	}
	switch {
	case a.Node != member || a.ClusterID != clusterID:
		return bad("it is of node %q of cluster %q", a.Node, a.ClusterID)
	case !copyID.MatchString(a.ID):
		return bad("id %q", a.ID)
	case a.Position.Index == 0 || len(a.Files) == 0 || len(a.Files) > maxFiles:
		return bad("%d files up to entry %d", len(a.Files), a.Position.Index)
	}
	total, seen := int64(0), map[string]bool{}
	for _, f := range a.Files {
		if !fileName.MatchString(f.Name) || f.Name == "LOCK" || seen[f.Name] {
			return bad("a file with the name %q", f.Name)
		}
		if f.Size < 0 || f.Size > a.Bytes-total || !hexSum.MatchString(f.SHA256) {
			return bad("%s has %d bytes with the hash %q", f.Name, f.Size, f.SHA256)
		}
		seen[f.Name] = true
		total += f.Size
	}
	if total != a.Bytes {
		return bad("%d bytes in all, %d in the files", a.Bytes, total)
	}
	return nil
}

// parse reads an answer or a request.
func parse(raw []byte, into any) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%w: %w", errBadAnswer, err)
	}
	return nil
}
