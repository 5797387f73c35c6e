package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/auditor"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// TestAuditVerify audits a cluster that runs and one that is stopped, and refuses what is wrongly asked for.
func TestAuditVerify(t *testing.T) {
	dir := t.TempDir()
	text, secret, err := evidence.NewSecretKey(evidence.OriginOf("nodetest"))
	if err != nil {
		t.Fatal(err)
	}
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	keyFile := file("checkpoint.key", text)
	c := nodetest.Start(t, 1, func(cfg *node.Config) { cfg.CheckpointKeyFile = keyFile })
	ca, token := file("ca.pem", string(c.CA.CertPEM())), file("token", c.Tokens[wire.RoleAuditor]+"\n")
	public := file("ledger.pub", secret.Public().String()+"\n")
	do := func(args ...string) (string, error) {
		var out bytes.Buffer
		_, err := execute(t.Context(), append([]string{"audit", "verify", "--quiet"}, args...), &out)
		return out.String(), err
	}
	work := filepath.Join(dir, "work")
	out, err := do("--from", c.URL(0), "--ca", ca, "--token-file", token, "--key", public, "--dir", work)
	if err != nil || !strings.Contains(out, "1 generation, all answers reproduced\n") {
		t.Errorf("%v\n%s", err, out)
	}
	forged, err := evidence.SignCheckpoint(evidence.Checkpoint{Origin: evidence.OriginOf("nodetest"), Size: 2}, secret)
	if err != nil {
		t.Fatal(err)
	}
	note := file("forged.note", string(forged))
	for says, args := range map[string][]string{
		"--from is required":  {},
		"needs --key":         {"--from", dir, "--checkpoint", note},
		"--key":               {"--from", dir, "--key", ca},
		"is no export":        {"--from", filepath.Join(dir, "work", "derived")},
		"are for a URL":       {"--from", dir, "--ca", ca},
		"--ca: open":          {"--from", c.URL(0), "--ca", filepath.Join(dir, "none")},
		"holds another audit": {"--from", c.URL(0), "--ca", ca, "--token-file", token, "--dir", dir},
		"no trusted key signed": {"--from", c.URL(0), "--ca", ca, "--token-file", token, "--key", other(t, file),
			"--checkpoint", note},
		"--checkpoint: open ./nix": {"--from", c.URL(0), "--key", public, "--checkpoint", "./nix"},
	} {
		var usage *usageError
		if out, err := do(args...); !errors.As(err, &usage) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	damagedNote(t, work, func() error {
		_, err := do("--from", c.URL(0), "--ca", ca, "--token-file", token, "--key", public, "--dir", work)
		return err
	})
	out, err = do("--from", c.URL(0), "--ca", ca, "--token-file", token, "--key", other(t, file))
	if !errors.Is(err, auditor.ErrNoCheckpoint) || explain(&bytes.Buffer{}, "", err) != 1 || out != "" ||
		!strings.Contains(err.Error(), "give that public key too with --key") {
		t.Errorf("%v\n%s", err, out)
	}
	interruptedAudit(t, "--from", c.URL(0), "--ca", ca, "--token-file", token)
	strangersNote(t, c, file, func(key, note string) (string, error) {
		return do("--from", c.URL(0), "--ca", ca, "--token-file", token, "--key", key, "--checkpoint", note)
	})
	c.Stop(0)
	if out, err = do("--from", c.Dir(0), "--key", public); !errors.Is(err, auditor.ErrNoCheckpoint) ||
		explain(&bytes.Buffer{}, "", err) != 1 || !strings.Contains(err.Error(), "with --checkpoint") || out != "" {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = do("--from", c.Dir(0), "--key", public, "--checkpoint", note, "-o", "json")
	var r auditor.Report
	if jsonErr := json.Unmarshal([]byte(out), &r); jsonErr != nil || !errors.Is(err, auditor.ErrDiffers) ||
		explain(&bytes.Buffer{}, "", err) != exitDiffers || len(r.Differences) != 1 || r.Differences[0].To != 2 {
		t.Errorf("%v %v\n%s", err, jsonErr, out)
	}
}

// other writes a public key of somebody else.
func other(t *testing.T, file func(name, text string) string) string {
	t.Helper()
	_, secret, err := evidence.NewSecretKey(evidence.OriginOf("nodetest"))
	if err != nil {
		t.Fatal(err)
	}
	return file("other.pub", secret.Public().String())
}

// strangersNote wants an audit whose keys did not sign the checkpoint of the cluster to print its report, and no success.
func strangersNote(t *testing.T, c *nodetest.Cluster, file func(name, text string) string,
	do func(key, note string) (string, error)) {
	t.Helper()
	_, secret, err := evidence.NewSecretKey(evidence.OriginOf("nodetest"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.Client.Digest(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	root, err := hex.DecodeString(d.Log)
	if err != nil {
		t.Fatal(err)
	}
	note, err := evidence.SignCheckpoint(evidence.Checkpoint{Origin: evidence.OriginOf("nodetest"), Size: 2,
		Root: [32]byte(root)}, secret)
	if err != nil {
		t.Fatal(err)
	}
	out, err := do(file("stranger.pub", secret.Public().String()), file("stranger.note", string(note)))
	if !errors.Is(err, auditor.ErrUnchecked) || explain(&bytes.Buffer{}, "", err) != 1 ||
		!strings.Contains(out, "not verified: ") || strings.Contains(out, "all answers reproduced") {
		t.Errorf("%v\n%s", err, out)
	}
}

// interruptedAudit wants an interruption not to look like a success.
func interruptedAudit(t *testing.T, from ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := execute(ctx, append([]string{"audit", "verify", "--quiet"}, from...), &bytes.Buffer{})
	if err == nil || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("an interrupted audit: %v", err)
	}
}

// damagedNote wants a kept checkpoint that cannot be read to be no wrong usage.
func damagedNote(t *testing.T, work string, again func() error) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(work, "ledgers", "*.note"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.WriteFile(files[0], []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var usage *usageError
	if err := again(); !errors.Is(err, auditor.ErrChanged) || errors.As(err, &usage) ||
		explain(&bytes.Buffer{}, "", err) != 1 || !strings.Contains(err.Error(), "no word about the ledger") {
		t.Errorf("a damaged note: %v", err)
	}
}
