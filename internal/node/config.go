package node

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/trace"
	"github.com/recount-ledger/recount/internal/verify"
)

// Listener is one TLS listener of the node.
type Listener struct {
	Listen string // host:port to bind
	Cert   string // PEM file
	Key    string // PEM file
	CA     string // PEM file: authorities of the nodes (peer), of clients that show a certificate (API, "" for none)
}

// AuditLog names the file of the audit stream of the node, and its rotation.
type AuditLog struct {
	File     string        // empty: there is none
	MaxBytes int64         // size at which the file is rotated, 0 for never
	Keep     time.Duration // age at which a rotated file is deleted, 0 for never
}

// Config has all settings of a node. cmd/node fills it from flags, environment and file. Nothing in it decides
// an outcome except the keys and the first policy, which enter the log as events.
type Config struct {
	NodeID    string
	ClusterID string
	Dir       string // data directory of this node

	NewCluster bool // an empty Dir is that of a new node of a new cluster, otherwise it is refused
	Join       bool // an empty Dir is that of a new node, which waits until it is added to a cluster that runs

	// JoinTokenFile holds the token with which a node that joins adds itself, read while Dir is empty only. Without
	// it the node waits until an operator adds it.
	JoinTokenFile string

	API    Listener
	Peer   Listener
	Voters []Voter

	Keys []verify.Key // keys that this node holds, proposed once per fingerprint

	// RereadKeys reads the keys of the settings again. It is nil when none of them is in a file, and is called
	// every KeyPoll.
	RereadKeys func() ([]verify.Key, error)
	KeyPoll    time.Duration

	Profiles pcs.ProfileSet // of the first policy, when this node writes it

	CheckpointKeyFile string // keys that sign checkpoints of the ledger, empty for a node that signs none
	WitnessFile       string // C2SP tlog-policy with the witnesses that cosign checkpoints, empty for none

	NoAuth       bool   // every client may do everything
	TwoPerson    bool   // activation, rollback, thaw and the application of a policy need approvals by two actors
	TokensFile   string // tokens known before the first one is in the log, may be empty
	AuthFailures int    // failed authentications per address and minute, 0 for no limit

	// The rates are in submissions per second, with bursts of twice that, and 0 for off.
	TokenRate      float64 // on this node
	AddressRate    float64 // from one address (IPv6: one /64)
	KeyRate        float64 // that one key signed
	ThrottleStatus int     // 429 or 503
	MetricsListen  string  // host:port for /metrics alone, empty when the API serves it
	MetricsUser    string
	MetricsPass    string
	Audit          AuditLog
	Tracing        trace.Settings
	Debug          Debug
	TrustedProxies []netip.Prefix // whose X-Forwarded-For counts
	RecordRemote   bool           // events say from which address a submission came
	MaxBody        int            // bytes of a submission
	QueueBytes     int            // payload bytes that wait for consensus at most

	ElectionTimeout time.Duration
	SubmitTimeout   time.Duration
	MaxClockSkew    time.Duration
	// DigestInterval lies between digests that are logged and compared while anything is folded. 0 stands for
	// by number of events only.
	DigestInterval time.Duration
	FoldReadBytes  int // bytes that one step of a fold reads

	// ScrubRate bounds the bytes of the log per second that are examined for damage in the background. 0 stands
	// for none.
	ScrubRate  int
	ScrubPause time.Duration // before the first examination and between two

	// CopyRate bounds the bytes per second at which the files of copies of the log are read, by all clients together.
	// 0 is no bound.
	CopyRate int

	// SeedFrom is the size in bytes from which a node that joins copies the log of a member. A smaller log is
	// replicated by Raft, and any log if it is negative. 0 stands for seed.DefaultFrom.
	SeedFrom int64

	FS       vfs.FS        // the disk if nil. Tests pass a crashable one
	DiskFree func() uint64 // free bytes for Dir, those of the file system if nil

	Ballast int64 // bytes of disk in reserve, freed when the disk is full. Less on a small disk, 0 for none

	Exit       func(code int) // ends the process after a failure that leaves no other way, os.Exit if nil
	LogDropped func() uint64  // lines of the log that were not written, none if nil
	// AcceptClock is about the time now, as an operator confirmed it, for a start with clocks that are right
	// and yet far from log time. It counts for an hour.
	AcceptClock time.Time

	Clock func() time.Time // wall clock, that of the machine if nil. Pauses and deadlines do not follow it
	// Elapsed returns the time that passed since some moment, including the time for which the machine slept.
	// Nil stands for the time of the system.
	Elapsed func() time.Duration

	clusterVersion uint32 // tests: the newest that this node says it knows; 0 for that of the build

	commitTimeout time.Duration // tests: how often an idle leader tells its commit index; 0 for the default
}

// AddressFactor times the token rate is the default of the address rate. One address may be a proxy or a whole
// site, and among its keys the node's own limit is fair. So an address is refused only at a rate that no node
// could serve: a flood.
const AddressFactor = 20

// mostBody bounds the setting max_body, in bytes.
const mostBody = 4 << 20

// Defaults returns the settings that suit most nodes. Packages that work without a node have their defaults
// themselves. Texts about defaults, such as --help and the tables of the manual, are made from these or compared
// with them.
func Defaults() Config {
	const tokenRate = 100
	return Config{
		Profiles:        pcs.DefaultProfiles,
		RecordRemote:    true,
		AuthFailures:    60,
		TokenRate:       tokenRate,
		AddressRate:     tokenRate * AddressFactor,
		ThrottleStatus:  api.DefaultThrottleStatus,
		MaxBody:         api.DefaultMaxBody,
		Ballast:         1 << 30,
		QueueBytes:      32 << 20,
		ElectionTimeout: cluster.DefaultElectionTimeout,
		SubmitTimeout:   api.DefaultSubmitTimeout,
		MaxClockSkew:    cluster.DefaultMaxClockSkew,
		DigestInterval:  10 * time.Second,
		Audit:           AuditLog{MaxBytes: 100 << 20, Keep: 90 * 24 * time.Hour},
		FoldReadBytes:   fsm.DefaultBatchBytes,
		KeyPoll:         2 * time.Second,
		ScrubRate:       4 << 20,
		ScrubPause:      10 * time.Minute,
		CopyRate:        32 << 20,
		Tracing:         trace.Defaults(),
	}
}

// String names the node only: the settings hold secrets. GoString is the same for %#v.
func (c Config) String() string { return "settings of node " + c.NodeID }

// GoString hides the secrets from %#v.
func (c Config) GoString() string { return c.String() }

// Validate reports every problem at once.
func (c Config) Validate() error {
	return errors.Join(slices.Concat(c.validateNames(), c.validateVoters(), c.validateAccess(), c.validateLimits(),
		c.validateListeners(), c.validateEvidence(), c.Tracing.Validate(), c.validateDebug())...)
}

// problems collects what Validate reports.
type problems []error

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Errorf(format, args...)) }

// validateNames refuses a configuration without one of the names and files that every node needs.
func (c Config) validateNames() (bad problems) {
	for _, f := range []struct{ name, value string }{
		{"node_id", c.NodeID}, {"cluster_id", c.ClusterID}, {"dir", c.Dir},
		{"api.listen", c.API.Listen}, {"api.cert_file", c.API.Cert}, {"api.key_file", c.API.Key},
		{"peer.listen", c.Peer.Listen}, {"peer.cert_file", c.Peer.Cert}, {"peer.key_file", c.Peer.Key},
		{"peer.ca_file", c.Peer.CA},
	} {
		if f.value == "" {
			bad.add("%s is required", f.name)
		}
	}
	if err := certs.CheckID(c.ClusterID); c.ClusterID != "" && err != nil {
		bad.add("cluster_id: %q can be in no certificate: %w", c.ClusterID, err)
	}
	return bad
}

// validateAccess refuses settings under which nobody, or everybody, has access.
func (c Config) validateAccess() (bad problems) {
	for _, p := range c.TrustedProxies {
		if p.Bits() == 0 {
			bad.add("trusted_proxies: %s is everybody; name the proxies", p)
		}
	}
	if c.TwoPerson && c.NoAuth {
		bad.add("auth.two_person: needs auth.required, else nobody knows who the two are")
	}
	if c.Profiles == 0 {
		bad.add("pcs_profiles: at least one")
	}
	if (c.MetricsUser == "") != (c.MetricsPass == "") {
		bad.add("metrics_user and metrics_pass: set both or neither")
	}
	return bad
}

// validateLimits refuses numbers out of their range.
func (c Config) validateLimits() (bad problems) {
	for _, r := range []struct {
		name string
		rate float64
	}{{"token_rate", c.TokenRate}, {"address_rate", c.AddressRate}, {"key_rate", c.KeyRate}} {
		if !(r.rate >= 0 && r.rate <= 1e9) {
			bad.add("%s: between 0 (off) and 1e9 per second, not %v", r.name, r.rate)
		}
	}
	if c.ThrottleStatus != 429 && c.ThrottleStatus != 503 {
		bad.add("throttle_status: 429 or 503, not %d", c.ThrottleStatus)
	}
	if c.CopyRate < 0 {
		bad.add("copy_rate: 0 or more bytes a second, not %d", c.CopyRate)
	}
	if c.Ballast < 0 {
		bad.add("ballast: 0 or more bytes, not %d", c.Ballast)
	}
	if c.MaxBody < 1<<10 || c.MaxBody > mostBody {
		bad.add("max_body: between 1024 and %d bytes, not %d", mostBody, c.MaxBody)
	}
	if c.Audit.MaxBytes < 0 {
		bad.add("audit_log.max_bytes: 0 (never) or more bytes, not %d", c.Audit.MaxBytes)
	}
	if c.Audit.Keep < 0 {
		bad.add("audit_log.keep: 0 (always) or more, not %s", c.Audit.Keep)
	}
	if c.ElectionTimeout < 100*time.Millisecond || c.ElectionTimeout > time.Minute {
		bad.add("election_timeout: between 100ms and 1m, not %s", c.ElectionTimeout)
	}
	return bad
}

// listener is a setting with an address at which a node listens, and the address.
type listener struct{ name, at string }

// listeners returns all of them, also those without an address.
func (c Config) listeners() []listener {
	return []listener{{"api.listen", c.API.Listen}, {"peer.listen", c.Peer.Listen}, {"metrics.listen", c.MetricsListen},
		{"debug.listen", c.Debug.Listen}}
}

// validateListeners refuses addresses that cannot be bound, and two listeners at one.
func (c Config) validateListeners() (errs []error) {
	listeners := c.listeners()
	for i, l := range listeners {
		if l.at == "" {
			continue
		}
		if err := checkAddress(l.at, true); err != nil {
			errs = append(errs, fmt.Errorf("%s: %q: %w", l.name, l.at, err))
			continue
		}
		for _, other := range listeners[:i] {
			if sameListener(l.at, other.at) {
				errs = append(errs, fmt.Errorf("%s: %q is the address of %s already", l.name, l.at, other.name))
			}
		}
	}
	return errs
}

// sameListener reports whether two addresses cannot both be bound.
func sameListener(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	return errA == nil && errB == nil && portA == portB &&
		(strings.EqualFold(hostA, hostB) || unspecified(hostA) || unspecified(hostB))
}

// unspecified reports whether a host means every address of the machine.
func unspecified(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "" || err == nil && a.IsUnspecified()
}

// checkAddress reads host:port. Only an address to listen at may mean every address of the machine.
func checkAddress(at string, listen bool) error {
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return errors.New("must be host:port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("the port must be a number in 1..65535, not %q", port)
	}
	if !listen && unspecified(host) {
		return errors.New("must name the address at which others reach this member")
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && certs.CheckID(host) != nil {
		return fmt.Errorf("%q is neither an address nor a host name", host)
	}
	return nil
}

// APIAddress returns the host:port of a base URL that clients reach.
func APIAddress(base string) (string, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" ||
		u.Fragment != "" {
		return "", errors.New("is not an https URL such as https://10.0.0.1:9440")
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	at := net.JoinHostPort(u.Hostname(), port)
	return at, checkAddress(at, false)
}
