// Package stopped examines the directory of a node that does not run.
//
// Directory answers whether a node could start on a directory and whether its log is whole. It looks at the identity
// (node.json), the quarantine, the free space, and opens the log as a start would: on a copy, so that nothing in the
// directory changes. The copy lies in the directory itself for that time and needs little room, because tables are
// hard links. Then it reads every table, with the checksum of every block. Settings adds what "recount-node config
// check" finds in the settings of the node and in the files that they name.
//
// A log that is whole can still be shorter than what the other nodes remember: only they can tell, when the node
// starts. The folded states in derived/ and generations/ are not read, since a node folds them again when they are
// damaged. Memory is that of an open log, about 100 MiB.
package stopped

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/disk"
	"github.com/recount-ledger/recount/internal/doctor"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/node"
)

// Options of Directory.
type Options struct {
	Config   string                       // settings file of the node, for the commands in findings; may be ""
	SkipLog  bool                         // do not open and read the log
	Progress func(read, of uint64)        // called while the log is read, in bytes; may be nil
	Usage    func(string) (uint64, error) // free bytes for a directory, default those of the file system
}

// page is the page of the findings about damage.
const page = "runbooks/damage.md"

// who is the part of node.json that names a node.
type who struct {
	ClusterID string `json:"cluster_id"`
	NodeID    string `json:"node_id"`
}

// Directory examines a data directory.
func Directory(ctx context.Context, dir string, o Options) []doctor.Finding {
	var w who
	text, err := os.ReadFile(filepath.Join(dir, node.IdentityFile))
	if err == nil {
		err = json.Unmarshal(text, &w)
	}
	if err == nil {
		err = cluster.CheckDirectory(dir, w.ClusterID, w.NodeID)
	}
	var out []doctor.Finding
	find := func(check, severity, text, next, page string) {
		out = append(out, doctor.Finding{Check: check, Severity: severity, Node: w.NodeID, Text: text, Next: next,
			Page: page})
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		find("directory", doctor.Critical, dir+" holds no node: it has no "+node.IdentityFile+". A node that lost "+
			"its disk must not start", "recount cluster status", "runbooks/lost-node.md")
		return out
	case err != nil:
		find("directory", doctor.Critical, err.Error(), "recount cluster status", page)
	}
	if reason, err := os.ReadFile(filepath.Join(dir, "quarantine")); err == nil {
		next := "recount digest"
		if unreadable, err := node.UnreadableLog(dir); err == nil && unreadable {
			next = o.repair()
		}
		find("quarantine", doctor.Critical, "it is quarantined and would answer no client: "+string(reason), next, page)
	}
	if o.Usage == nil {
		o.Usage = func(dir string) (uint64, error) { free, _, err := disk.Usage(dir); return free, err }
	}
	if free, err := o.Usage(dir); err == nil && free < 4*disk.Margin {
		severity := doctor.Warning
		if free < disk.Margin {
			severity = doctor.Critical
		}
		find("disk", severity, fmt.Sprintf("%d MiB of disk are free; below %d MiB a node takes no submissions", free>>20,
			disk.Margin>>20), "df -h "+dir, "runbooks/full-disk.md")
	}
	if pid := node.Holder(dir); pid != 0 {
		find("running", doctor.Note, fmt.Sprintf("process %d runs on %s: its log was not opened. Ask it instead", pid, dir),
			"recount doctor", "doctor.md")
		return out
	}
	if o.SkipLog {
		return out
	}
	if err := readLog(ctx, dir, o.Progress); err != nil {
		find("store", doctor.Critical, err.Error(), o.repair(), page)
	}
	return out
}

// repair is the command for a damaged log.
func (o *Options) repair() string {
	return "recount-node repair --config " + cmp.Or(o.Config, "/etc/recount/config.yaml")
}

// readLog opens a copy of the log and reads all of its tables.
func readLog(ctx context.Context, dir string, progress func(read, of uint64)) (err error) {
	copied, err := os.MkdirTemp(dir, "doctor-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(copied)) }()
	_, err = log.Examine(ctx, filepath.Join(dir, "events"), filepath.Join(copied, "events"), progress)
	return err
}

// Settings examines the settings of a node and the files that they name.
func Settings(c *node.Config, file string, now time.Time) (out []doctor.Finding) {
	x := c.Examine(now)
	next := "recount-node config check --config " + file
	for _, err := range x.Problems {
		out = append(out, doctor.Finding{Check: "settings", Severity: doctor.Critical, Node: c.NodeID, Text: err.Error(),
			Next: next, Page: "deploy.md"})
	}
	for _, w := range x.Warnings {
		out = append(out, doctor.Finding{Check: "settings", Severity: doctor.Warning, Node: c.NodeID, Text: w, Next: next,
			Page: "deploy.md"})
	}
	return out
}
