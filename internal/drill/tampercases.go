package drill

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/evidence"
)

// Case is a change to what a ledger has written, and who found out.
type Case struct {
	Case     string  `json:"case"`
	By       string  `json:"detected_by"`
	Seconds  float64 `json:"seconds"` // until it was found
	Said     string  `json:"said"`
	Detected bool    `json:"detected"`
}

// tamperCase is one change and the check that must find it.
type tamperCase struct {
	name string
	from string                                         // what is copied
	do   func(ctx context.Context, copied string) error // changes the copy; nil if there is nothing to change
	by   detector
	// what by, or another check of the same kind, must accept
	honest   string
	honestBy detector
}

// detector is a check that anybody can make. It returns what it found, "" for nothing.
type detector struct {
	name  string
	check func(ctx context.Context, copied string) (found string, err error)
}

// play changes a copy and looks whether the check finds it. It must accept what is honest.
func (t *tampering) play(ctx context.Context, c tamperCase) (found Case, err error) {
	found = Case{Case: c.name, By: c.by.name}
	err = t.step(c.name, func() (string, error) {
		if key := c.honestBy.name + c.honest; !t.accepted[key] {
			said, _, err := check(ctx, c.honestBy, c.honest, t.at("copy"), nil)
			if err != nil || said != "" {
				return "", errors.Join(err, failf("%s refuses what nobody has changed: %s", c.by.name, said))
			}
			t.accepted[key] = true
		}
		said, seconds, err := check(ctx, c.by, c.from, t.at("copy"), c.do)
		said = strings.ReplaceAll(said, t.at("")+string(filepath.Separator), "")
		found.Said, found.Seconds, found.Detected = said, seconds, said != ""
		if !found.Detected {
			said = "nobody noticed"
		}
		return said, err
	})
	return found, err
}

// check makes a copy, changes it, and times the check.
func check(ctx context.Context, by detector, from, copied string,
	do func(context.Context, string) error) (said string, seconds float64, err error) {
	if err := copyTree(from, copied, func(string) bool { return false }); err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(copied)) }()
	if do != nil {
		if err := do(ctx, copied); err != nil {
			return "", 0, err
		}
	}
	began := time.Now()
	said, err = by.check(ctx, copied)
	return said, time.Since(began).Seconds(), err
}

// tampers are the cases, in the order of the report.
func (t *tampering) tampers() []tamperCase {
	data := filepath.Join("node-1", "data")
	changed := func(name, from string, do func(context.Context, string) error, by detector) tamperCase {
		return tamperCase{name: name, from: from, do: do, by: by, honest: from, honestBy: by}
	}
	file := func(change func(string) error, parts ...string) func(context.Context, string) error {
		return func(_ context.Context, copied string) error {
			return change(filepath.Join(append([]string{copied}, parts...)...))
		}
	}
	return []tamperCase{
		changed("a byte of a table of the log", t.stopped, file(flipByte, data, "events", "*.sst"), t.doctor()),
		changed("a byte of the write-ahead log", t.stopped, file(flipByte, data, "events", "*.log"), t.start()),
		changed("a byte of the votes of Raft", t.stopped, file(flipVotes, data, "stable", "votes"), t.start()),
		changed("a byte of the identity of a node", t.stopped, file(flipByte, data, "node.json"), t.start()),
		changed("a byte of the manifest of a backup", t.at("backups"), file(flipByte, "manifests", "*"),
			t.backupCheck()),
		changed("the end of the log is cut off", t.stopped, file(cutEnd, data, "events", "*.log"), t.start()),
		changed("the outcomes of a node are those of a fork", t.stopped, t.otherOutcomes, t.start()),
		changed("an outcome row of an export, with new sums", t.at("export"), file(editOutcome), t.exportVerify()),
		changed("two events of an export are swapped, with new hashes", t.at("export"), swapEvents, t.audit(t.late)),
		{name: "an old backup stands for the ledger", from: t.at("backups"), by: t.audit(t.late),
			honest: t.at("backups"), honestBy: t.audit(t.early)},
		{name: "the key of the checkpoints is replaced", from: t.at("other.receipt"), by: t.proofVerify(),
			honest: t.at("honest.receipt"), honestBy: t.proofVerify()},
		{name: "a fork, shown to one of two keepers of checkpoints", from: t.late.file, by: consistency(t.late, t.fork,
			t.forkProof), honest: t.late.file, honestBy: consistency(t.early, t.late, t.proof)},
		{name: "a fork, folded by an auditor", from: filepath.Join(t.first, data), by: t.audit(t.late),
			honest: filepath.Join(t.stopped, data), honestBy: t.audit(t.late)},
	}
}

// otherOutcomes exchanges the folded outcomes of a node for those of the fork, whole and with sums that fit.
func (t *tampering) otherOutcomes(_ context.Context, copied string) error {
	at := filepath.Join("node-1", "data", "generations")
	if err := os.RemoveAll(filepath.Join(copied, at)); err != nil {
		return err
	}
	return copyTree(filepath.Join(t.first, at), filepath.Join(copied, at), func(string) bool { return false })
}

// flipVotes changes a byte of both copies that the file of the votes has, at its beginning, where the votes are.
func flipVotes(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for at := 8; at < len(b); at += len(b) / 2 {
		b[at] ^= 0xff
	}
	return os.WriteFile(path, b, 0o600)
}

// tool is a check by a command of recount that ends with one of some codes when it finds something.
func (t *tampering) tool(name string, codes []int, args func(copied string) []string) detector {
	return detector{name, func(ctx context.Context, copied string) (string, error) {
		line := args(copied)
		exit, stdout, stderr := t.cfg.Run(ctx, append(line, "-q"))
		if exit == exitOK {
			return "", nil
		}
		for _, code := range codes {
			if exit == code {
				return firstLine(stderr), ctx.Err()
			}
		}
		return "", failf("recount %s: exit code %d: %s%s", strings.Join(line, " "), exit, stdout, stderr)
	}}
}

// firstLine is the first line of a message, without the name of the program.
func firstLine(text []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	_, after, found := strings.Cut(string(line), ": ")
	if !found {
		after = string(line)
	}
	return after
}

func (t *tampering) backupCheck() detector {
	return t.tool("recount backup check", []int{exitVerify}, func(copied string) []string {
		return []string{"backup", "check", copied, "--public-key", t.at("backup.pub")}
	})
}

func (t *tampering) exportVerify() detector {
	return t.tool("recount export verify", []int{exitVerify}, func(copied string) []string {
		return []string{"export", "verify", copied}
	})
}

func (t *tampering) proofVerify() detector {
	return t.tool("recount proof verify", []int{1}, func(copied string) []string {
		return []string{"proof", "verify", "--key", t.at("ledger.pub"), copied}
	})
}

func (t *tampering) audit(kept checkpoint) detector {
	return t.tool("recount audit verify", []int{exitVerify}, func(copied string) []string {
		return []string{"audit", "verify", "--from", copied, "--key", t.at("ledger.pub"), "--checkpoint", kept.file,
			"--node-binary", t.cluster.binary}
	})
}

// doctor reads the whole log, as the scrub of a node does in the background.
func (t *tampering) doctor() detector {
	return detector{"recount-node doctor, as the scrub", func(ctx context.Context, copied string) (string, error) {
		cmd := exec.CommandContext(ctx, t.cluster.binary, "doctor", "--dir", filepath.Join(copied, "node-1", "data"))
		out, err := cmd.Output()
		var ended *exec.ExitError
		switch {
		case err == nil:
			return "", nil
		case !errors.As(err, &ended) || ended.ExitCode() != 1:
			return "", err
		}
		for line := range strings.Lines(string(out)) {
			if text, ok := strings.CutPrefix(strings.TrimSpace(line), "finding"); ok {
				return strings.TrimSpace(text), nil
			}
		}
		return "", failf("recount-node doctor: %s%s", out, ended.Stderr)
	}}
}

// starting bounds the time in which a node starts, or refuses to.
const starting = time.Minute

// start starts the first node alone, with everything that it had.
func (t *tampering) start() detector {
	return detector{"the start of the node", func(ctx context.Context, copied string) (said string, err error) {
		ctx, cancel := context.WithTimeout(ctx, starting)
		defer cancel()
		cmd := exec.CommandContext(ctx, t.cluster.binary, "serve", "--config",
			filepath.Join(copied, "node-1", "config.yaml"))
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = 10 * time.Second
		errs, err := cmd.StderrPipe()
		if err != nil {
			return "", err
		}
		if err := cmd.Start(); err != nil {
			return "", err
		}
		serves, last := false, "" // the message with which it ended
		for lines := bufio.NewScanner(errs); lines.Scan(); {
			if strings.Contains(lines.Text(), `"msg":"serving"`) {
				serves = true
				cancel()
				break
			}
			if last == "" && strings.HasPrefix(lines.Text(), "recount-node: ") {
				last = lines.Text()
			}
		}
		_, _ = io.Copy(io.Discard, errs)
		if err := cmd.Wait(); serves || err == nil {
			return "", nil
		}
		return firstLine([]byte(last)), ctx.Err()
	}}
}

// prove asks a cluster for the proof that the tree of one checkpoint begins with that of another.
func prove(ctx context.Context, c *cluster, from, to checkpoint) (proof [][32]byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	p, err := client.EvidenceOf(c.client).Consistency(ctx, from.Size, to.Size)
	if err != nil {
		return nil, err
	}
	for _, text := range p.Hashes {
		b, err := hex.DecodeString(text)
		if err != nil || len(b) != 32 {
			return nil, failf("the hash %q in a proof", text)
		}
		proof = append(proof, [32]byte(b))
	}
	return proof, nil
}

// consistency compares the checkpoints of two keepers, by the best proof that a cluster can give.
func consistency(one, other checkpoint, proof [][32]byte) detector {
	return detector{"a consistency proof", func(context.Context, string) (string, error) {
		err := evidence.CheckConsistency(one.Size, other.Size, one.Root, other.Root, proof)
		if errors.Is(err, evidence.ErrProof) {
			return fmt.Sprintf("%v; both are signed as %s", err, one.Origin), nil
		}
		return "", err
	}}
}
