package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/disk"
	"github.com/recount-ledger/recount/internal/notary"
	"github.com/recount-ledger/recount/internal/operator"
)

// endsSoon is the remaining time below which a certificate causes a warning.
const endsSoon = 21 * 24 * time.Hour

// Examination has the problems that were found on the machine for the settings of a node.
type Examination struct {
	Problems []error  // the node would not start, or would not work
	Warnings []string // the node would start, but an operator should know
}

func (x *Examination) bad(setting string, err error) {
	if err != nil {
		x.Problems = append(x.Problems, fmt.Errorf("%s: %w", setting, err))
	}
}

func (x *Examination) warn(format string, args ...any) {
	x.Warnings = append(x.Warnings, fmt.Sprintf(format, args...))
}

// Examine loads the files that the settings name, as a start would, and changes nothing. Settings that are
// missing are left to Validate.
func (c Config) Examine(now time.Time) *Examination {
	x := &Examination{}
	c.examineAPI(x, now)
	c.examinePeer(x, now)
	if c.TokensFile != "" {
		if _, err := operator.ReadTokensFile(c.TokensFile); err != nil {
			x.Problems = append(x.Problems, err)
		}
	}
	if c.CheckpointKeyFile != "" {
		_, err := notary.ReadKeys(c.CheckpointKeyFile, evidence.OriginOf(c.ClusterID))
		x.bad("checkpoint_key_file", err)
	}
	_, err := notary.ReadWitnesses(c.WitnessFile, evidence.OriginOf(c.ClusterID))
	x.bad("witness_file", err)
	x.Problems = append(x.Problems, c.Tracing.CheckFiles()...)
	if !c.Tracing.On() && (c.Tracing.CAFile != "" || c.Tracing.HeadersFile != "") {
		x.warn("tracing.endpoint: is missing, so nothing is traced")
	}
	if c.Debug.Listen == "" && (c.Debug.BlockRate != 0 || c.Debug.MutexFraction != 0) {
		x.warn("debug.listen: is missing, so no profile is taken")
	}
	if c.Tracing.Clear() {
		x.warn("tracing.endpoint: %s is not https: ids of records and shards cross the network in clear text",
			c.Tracing.Endpoint)
	}
	if c.Audit.File != "" {
		x.bad("audit_log.file", Writable(filepath.Dir(c.Audit.File)))
	}
	if c.Dir == "" {
		return x
	}
	running := c.examineDir(x)
	if !running {
		for _, l := range c.listeners() {
			x.bad(l.name, bindable(l.at))
		}
	}
	return x
}

func (c Config) examineAPI(x *Examination, now time.Time) {
	if c.API.CA != "" {
		_, err := certs.ReadPool(c.API.CA)
		x.bad("api.client_ca_file", err)
	}
	if c.API.Cert == "" || c.API.Key == "" {
		return
	}
	pair, err := certs.ReadPair(c.API.Cert, c.API.Key)
	if err != nil {
		x.bad("api.cert_file", err)
		return
	}
	x.examineValidity("api.cert_file", c.API.Cert, pair, now)
	for _, v := range c.Voters {
		at, err := APIAddress(v.API)
		if v.ID != c.NodeID || err != nil {
			continue
		}
		host, _, _ := net.SplitHostPort(at)
		if err := pair.Leaf.VerifyHostname(host); err != nil {
			x.warn("api.cert_file: %s does not name %s, the host of api in voters: clients refuse it (%v)",
				c.API.Cert, host, err)
		}
	}
}

func (x *Examination) examineValidity(setting, file string, pair tls.Certificate, now time.Time) {
	if err := certs.CheckValid(pair, now); err != nil {
		x.bad(setting, fmt.Errorf("%s: %w", file, err))
	} else if left := pair.Leaf.NotAfter.Sub(now); left < endsSoon {
		x.warn("%s: %s ends in %d days, at %s", setting, file, int(left/(24*time.Hour)),
			pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
}

func (c Config) examinePeer(x *Examination, now time.Time) {
	if c.Peer.Cert == "" || c.Peer.Key == "" || c.Peer.CA == "" {
		return
	}
	var voters []cluster.Voter
	for _, v := range c.Voters {
		voters = append(voters, cluster.Voter{ID: v.ID, PeerAddr: v.Peer})
	}
	pair, err := cluster.CheckTLS(cluster.Config{NodeID: c.NodeID, ClusterID: c.ClusterID, Voters: voters,
		TLS: cluster.TLSFiles{CA: c.Peer.CA, Cert: c.Peer.Cert, Key: c.Peer.Key}}, now)
	if err != nil {
		x.bad("peer.cert_file", err)
		return
	}
	x.examineValidity("peer.cert_file", c.Peer.Cert, pair, now)
}

// examineDir looks at the data directory and reports whether a node runs on it.
func (c Config) examineDir(x *Examination) (running bool) {
	x.bad("dir", cluster.CheckDirectory(c.Dir, c.ClusterID, c.NodeID))
	x.bad("dir", Writable(c.Dir))
	if _, err := os.Stat(filepath.Join(c.Dir, IdentityFile)); errors.Is(err, fs.ErrNotExist) && !c.NewCluster && !c.Join {
		x.warn("dir: %s holds no node: the first start of a new cluster needs --new-cluster; a node that lost "+
			"its disk must not start",
			c.Dir)
		if c.TokensFile == "" && !c.NoAuth && c.API.CA == "" {
			x.warn("auth.tokens_file: not set, and no api.client_ca_file: nobody could read or act on a new ledger. " +
				"recount-node token mint makes the first token")
		}
	}
	if pid := Holder(c.Dir); pid != 0 {
		x.warn("dir: a node runs on %s, process %d; its ports and its disk were not tried", c.Dir, pid)
		return true
	}
	free, total, err := disk.Usage(existing(c.Dir))
	if err != nil {
		x.bad("dir", fmt.Errorf("%s: %w", c.Dir, err))
		return false
	}
	reserve := disk.Reserve(c.Ballast, total)
	switch {
	case free < disk.Margin:
		x.bad("dir", fmt.Errorf("%s: %d MiB are free; below %d MiB a node takes no submissions", c.Dir, free>>20,
			disk.Margin>>20))
	case free < 4*disk.Margin+reserve:
		x.warn("dir: %s: %d MiB are free; a node sets %d MiB aside and takes no submissions below %d MiB", c.Dir,
			free>>20, reserve>>20, disk.Margin>>20)
	}
	return false
}

// existing returns path, or the nearest directory above it that exists.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// Writable returns the reason why nothing can be written into a directory. The directory need not exist yet.
func Writable(dir string) error {
	at := existing(dir)
	info, err := os.Stat(at)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is no directory", at)
	}
	const write, enter = 2, 1
	if err := syscall.Access(at, write|enter); err != nil {
		return fmt.Errorf("%s: this user cannot write there: %w", at, err)
	}
	return nil
}

// bindable returns the reason why no listener can be opened at an address. Malformed addresses are left to
// Validate.
func bindable(at string) error {
	if at == "" || checkAddress(at, true) != nil {
		return nil
	}
	l, err := net.Listen("tcp", at)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is in use by another program", at)
	}
	if err != nil {
		return fmt.Errorf("cannot listen there: %w", err)
	}
	return l.Close()
}

// Holder returns the process that runs on a data directory, 0 for none.
func Holder(dir string) int32 {
	f, err := os.Open(filepath.Join(dir, "events", "LOCK"))
	if err != nil {
		return 0
	}
	defer f.Close()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock); err != nil || lock.Type == syscall.F_UNLCK {
		return 0
	}
	return lock.Pid
}
