package export

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/recount-ledger/recount/wire"
)

// Format is the version of the directory that this package writes and reads.
const Format = 1

// The files of an export. Besides them, policies/ has two files for each policy: ID.json, whose SHA-256 is ID,
// and ID.yaml.
const (
	ManifestFile    = "manifest.json"
	SumsFile        = "SHA256SUMS"
	EventsFile      = "events.ndjson"
	VerdictsFile    = "verdicts.ndjson"
	OperationsFile  = "acts.ndjson"
	KeysFile        = "keys.json"
	PoliciesFile    = "policies.json"
	GenerationsFile = "generations.json"
	RecordsFile     = "records.csv"
	PageFile        = "index.html"
	PoliciesDir     = "policies"
)

// plainFiles are the files that every export has and that the manifest lists.
var plainFiles = []string{OperationsFile, EventsFile, GenerationsFile, PageFile, KeysFile, PoliciesFile, RecordsFile,
	VerdictsFile}

// ErrFormat means that a file does not have the format of an export.
var ErrFormat = errors.New("export: not as the format says")

// Manifest is manifest.json, the description of the directory. Times are RFC 3339, hashes lower-case hex.
type Manifest struct {
	Format     int      `json:"format"` // Format
	ClusterID  string   `json:"cluster_id"`
	Formerly   []string `json:"formerly,omitempty"` // ids of the ledger before it was restored, oldest first
	Range      Range    `json:"range"`
	Head       uint64   `json:"head"`       // last event of the ledger when the export began
	Generation uint32   `json:"generation"` // active after the last event of the range
	Before     *Edge    `json:"before"`     // the log before the range, null if the range begins with event 1
	End        Position `json:"end"`        // the ledger after the last event of the range, as the cluster gave it
	Counts     Counts   `json:"counts"`
	Made       Made     `json:"made"`
	Files      []File   `json:"files"` // all but manifest.json and SHA256SUMS, by name
	Sum        string   `json:"sum"`   // SHA-256 of this document with an empty sum
}

// Range describes the events in the export: all from FromSeq to ToSeq, or of these the submissions that name
// Shard.
type Range struct {
	FromSeq   uint64 `json:"from_seq"`
	ToSeq     uint64 `json:"to_seq"`
	Shard     string `json:"shard,omitempty"`
	Since     string `json:"since,omitempty"` // as requested: log time, inclusive
	Until     string `json:"until,omitempty"` // log time, exclusive
	FirstTime string `json:"first_time"`      // log time of the event FromSeq
	LastTime  string `json:"last_time"`       // of the event ToSeq
}

// Edge describes the log up to an event so that later log digests can be computed: the digest and the roots of
// the complete subtrees of its tree, from left to right.
type Edge struct {
	Seq      uint64   `json:"seq"`
	Log      string   `json:"log"`
	Subtrees []string `json:"subtrees"`
}

// Position holds the digests after an event.
type Position struct {
	Seq        uint64 `json:"seq"`
	Log        string `json:"log"`     // of the events 1..Seq
	Control    string `json:"control"` // of the control state
	State      string `json:"state"`   // of the outcomes in Generation
	Generation uint32 `json:"generation"`
}

// Counts are the numbers of items in the directory.
type Counts struct {
	Events      uint64            `json:"events"`
	Kinds       map[string]uint64 `json:"kinds"` // events by kind
	Submissions uint64            `json:"submissions"`
	Outcomes    map[string]uint64 `json:"outcomes"` // submissions by outcome
	Operations  uint64            `json:"acts"`
	Keys        uint64            `json:"keys"`
	Policies    uint64            `json:"policies"`
	Generations uint64            `json:"generations"`
}

// Made describes the origin of the export.
type Made struct {
	At    string `json:"at"`
	Actor string `json:"actor"` // empty if no credentials are needed
	Role  string `json:"role"`
	Tool  string `json:"tool"`
}

// File is one file, by its path with slashes.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Event is a line of events.ndjson: an event as in GET /v1/events, without the summary, which repeats the
// payload.
type Event struct {
	Seq      uint64    `json:"seq"`
	Kind     string    `json:"kind"`
	Index    uint64    `json:"index"`
	Term     uint64    `json:"term"`
	RawTime  string    `json:"raw_time"`
	LogTime  string    `json:"log_time"`
	Leaf     wire.Leaf `json:"leaf"`
	LeafHash string    `json:"leaf_hash"`
	Payload  []byte    `json:"payload"` // base64: 16 bytes of salt, then the protobuf message of the kind
}

// Encode returns the canonical text of a manifest, including its sum.
func (m Manifest) Encode() ([]byte, error) {
	m.Sum = ""
	text, err := indented(m)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	m.Sum = hex.EncodeToString(sum[:])
	return indented(m)
}

// ParseManifest decodes the output of Encode and nothing else. Errors are ErrFormat.
func ParseManifest(text []byte) (*Manifest, error) {
	if !onLines(text) {
		return nil, fmt.Errorf("%w: its values are not on lines of their own: it was changed", ErrFormat)
	}
	m := &Manifest{}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(m); err != nil {
		var head struct{ Format int }
		if json.Unmarshal(text, &head) == nil && head.Format > Format {
			return nil, fmt.Errorf("%w: format %d; this program reads format %d", ErrFormat, head.Format, Format)
		}
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if m.Format != Format {
		return nil, fmt.Errorf("%w: format %d; this program reads format %d", ErrFormat, m.Format, Format)
	}
	again, err := m.Encode()
	if err != nil || !bytes.Equal(again, text) {
		return nil, fmt.Errorf("%w: the sum does not fit the document: it was changed", ErrFormat)
	}
	return m, nil
}

// Sums returns SHA256SUMS, in the form that sha256sum -c reads. manifest is the text of the manifest.
func (m *Manifest) Sums(manifest []byte) []byte {
	sum := sha256.Sum256(manifest)
	lines := []string{hex.EncodeToString(sum[:]) + "  " + ManifestFile + "\n"}
	for _, f := range m.Files {
		lines = append(lines, f.SHA256+"  "+f.Name+"\n")
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[66:], b[66:]) })
	return []byte(strings.Join(lines, ""))
}

func indented(v any) ([]byte, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	return append(text, '\n'), err
}

// onLines reports whether every value of a JSON document stands on a line of its own, as indented writes it. In
// other texts a value can take so few bytes that its decoded form is a hundred times as large.
func onLines(text []byte) bool {
	inside, escaped := false, false // a string
	for i, b := range text {
		switch {
		case escaped:
			escaped = false
		case inside:
			inside, escaped = b != '"', b == '\\'
		case b == '"':
			inside = true
		case b == ',' || b == '[' || b == '{':
			if next := text[i+1:]; len(next) == 0 || next[0] != '\n' && (b == ',' || next[0] != b+2) {
				return false
			}
		}
	}
	return true
}

// policyFiles returns the names of the two files of a policy.
func policyFiles(id string) (canonical, source string) {
	return PoliciesDir + "/" + id + ".json", PoliciesDir + "/" + id + ".yaml"
}
