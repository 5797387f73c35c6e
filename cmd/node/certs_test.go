package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/cluster/certs"
)

// command runs recount-node with arguments and gives what it printed.
func command(args ...string) (string, error) {
	var out bytes.Buffer
	cmd := root()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.Execute()
	return out.String(), err
}

func ok(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command(args...)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return out
}

// makeAll makes the authorities and certificates of the help text below dir.
func makeAll(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"peer-ca", "api-ca", "client-ca"} {
		ok(t, "certs", "create-ca", filepath.Join(dir, name), "--name", "Recount "+name)
	}
	ok(t, "certs", "create-node", "--cluster", "ledger", "--node", "node-1", "--host", "recount.internal", "--host", "10.0.0.1",
		"--peer-ca", filepath.Join(dir, "peer-ca"), "--api-ca", filepath.Join(dir, "api-ca"), "--out", filepath.Join(dir, "node-1"))
	ok(t, "certs", "create-client", "--cluster", "ledger", "--role", "auditor", "--name", "anna", "--ca", filepath.Join(dir, "client-ca"), "--out", filepath.Join(dir, "anna"))
}

func TestCertsMakesWhatTheTwoPortsNeed(t *testing.T) {
	dir := t.TempDir()
	makeAll(t, dir)
	for _, c := range []struct {
		pair, ca string
		use      x509.ExtKeyUsage
		host     string
		uri      string
		days     int
		ok       bool
	}{
		{"node-1/peer", "peer-ca", x509.ExtKeyUsageClientAuth, "", "recount://ledger/node/node-1", 365, true},
		{"node-1/peer", "peer-ca", x509.ExtKeyUsageServerAuth, "", "recount://ledger/node/node-1", 365, true},
		{"node-1/peer", "peer-ca", x509.ExtKeyUsageServerAuth, "recount.internal", "recount://ledger/node/node-1", 365, false},
		{"node-1/api", "api-ca", x509.ExtKeyUsageServerAuth, "recount.internal", "", 365, true},
		{"node-1/api", "api-ca", x509.ExtKeyUsageServerAuth, "10.0.0.1", "", 365, true},
		{"node-1/api", "api-ca", x509.ExtKeyUsageClientAuth, "", "", 365, false},
		{"node-1/api", "peer-ca", x509.ExtKeyUsageServerAuth, "", "", 365, false},
		{"anna", "client-ca", x509.ExtKeyUsageClientAuth, "", "recount://ledger/role/auditor/anna", 90, true},
		{"anna", "client-ca", x509.ExtKeyUsageServerAuth, "", "recount://ledger/role/auditor/anna", 90, false},
		{"anna", "api-ca", x509.ExtKeyUsageClientAuth, "", "recount://ledger/role/auditor/anna", 90, false},
	} {
		pair, err := certs.ReadPair(filepath.Join(dir, c.pair+".crt"), filepath.Join(dir, c.pair+".key"))
		if err != nil {
			t.Fatal(err)
		}
		pool, err := certs.ReadPool(filepath.Join(dir, c.ca+".crt"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{c.use}, DNSName: c.host}); (err == nil) != c.ok {
			t.Errorf("%s by %s for %v: %v", c.pair, c.ca, c.use, err)
		}
		var uris []string
		for _, u := range pair.Leaf.URIs {
			uris = append(uris, u.String())
		}
		if strings.Join(uris, " ") != c.uri {
			t.Errorf("%s: URIs %v", c.pair, uris)
		}
		if left := time.Until(pair.Leaf.NotAfter).Hours() / 24; left > float64(c.days) || left < float64(c.days)-0.1 {
			t.Errorf("%s: valid for %.1f days", c.pair, left)
		}
	}
	for _, name := range []string{"peer-ca", "api-ca", "client-ca", "node-1/peer", "node-1/api", "anna"} {
		if info, err := os.Stat(filepath.Join(dir, name+".key")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s.key: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestCertsPrintsWhatItWrote(t *testing.T) {
	dir := t.TempDir()
	table := ok(t, "certs", "create-ca", filepath.Join(dir, "ca"), "--name", "My CA", "--validity", "2d")
	for _, want := range []string{"FILE", "VALID UNTIL", filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"), "My CA"} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	var files []struct {
		File, Kind, Subject string
		Names               []string
		NotAfter            *time.Time `json:"not_after"`
	}
	text := ok(t, "certs", "create-node", "--cluster", "c", "--node", "n", "--host", "h,10.0.0.1", "--api-ca", filepath.Join(dir, "ca"), "--out", filepath.Join(dir, "n"), "--validity", "12h", "-o", "json")
	if err := json.Unmarshal([]byte(text), &files); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if len(files) != 2 || files[0].File != filepath.Join(dir, "n", "api.crt") || files[0].Kind != "certificate" || files[0].Subject != "n" ||
		!slices.Equal(files[0].Names, []string{"h", "10.0.0.1"}) || files[1].Kind != "key" || files[1].NotAfter != nil {
		t.Errorf("%s", text)
	}
	if left := time.Until(*files[0].NotAfter); left > 12*time.Hour || left < 11*time.Hour {
		t.Errorf("valid for %s", left)
	}
	if strings.Contains(text+table, "PRIVATE") {
		t.Error("a key was printed")
	}
}

// TestCertsRefuses: every refusal is a mistake of usage (exit code 2), says what to do, and writes nothing.
func TestCertsRefuses(t *testing.T) {
	dir := t.TempDir()
	makeAll(t, dir)
	ok(t, "certs", "create-ca", filepath.Join(dir, "brief"), "--validity", "1h")
	before := listing(t, dir)
	at := func(name string) string { return filepath.Join(dir, name) }
	client := []string{"certs", "create-client", "--cluster", "ledger", "--role", "auditor", "--name", "anna"}
	node := []string{"certs", "create-node", "--cluster", "ledger", "--node", "node-2", "--out", at("node-2")}
	for says, args := range map[string][]string{
		"exists; nothing was written":      {"certs", "create-ca", at("peer-ca")},
		"api.crt exists":                   {"certs", "create-node", "--cluster", "ledger", "--node", "node-1", "--host", "h", "--api-ca", at("api-ca"), "--out", at("node-1")},
		"anna.crt exists":                  append(client[:len(client):len(client)], "--ca", at("client-ca"), "--out", at("anna")),
		"--ca is required":                 append(client[:len(client):len(client)], "--out", at("other")),
		"create-ca " + at("none"):          append(client[:len(client):len(client)], "--ca", at("none"), "--out", at("other")),
		"outlive its authority":            append(client[:len(client):len(client)], "--ca", at("brief"), "--out", at("other")),
		"must be auditor, responder":       {"certs", "create-client", "--cluster", "ledger", "--role", "root", "--name", "x", "--ca", at("client-ca"), "--out", at("other")},
		`name ""`:                          {"certs", "create-client", "--cluster", "ledger", "--role", "metrics", "--ca", at("client-ca"), "--out", at("other")},
		"give --peer-ca, --api-ca":         node,
		"at least one --host":              append(node[:len(node):len(node)], "--api-ca", at("api-ca")),
		"without scheme and port":          append(node[:len(node):len(node)], "--api-ca", at("api-ca"), "--host", "https://h:1"),
		`--cluster "a/b"`:                  {"certs", "create-node", "--cluster", "a/b", "--node", "n", "--peer-ca", at("peer-ca"), "--out", at("node-2")},
		`--validity "-1h"`:                 {"certs", "create-ca", at("x"), "--validity", "-1h"},
		`--validity "99999d"`:              {"certs", "create-ca", at("x"), "--validity", "99999d"},
		"needs exactly one argument, BASE": {"certs", "create-ca"},
		`"yaml": must be table or json`:    {"certs", "create-ca", at("x"), "-o", "yaml"},
		"unknown flag: --valid":            {"certs", "create-ca", at("x"), "--valid", "1h"},
		"no authority " + at("node-1/no"):  append(node[:len(node):len(node)], "--peer-ca", at("peer-ca"), "--api-ca", at("node-1/no"), "--host", "h"),
	} {
		out, err := command(args...)
		var usage *usageError
		if err == nil || !strings.Contains(err.Error(), says) || !errors.As(err, &usage) {
			t.Errorf("%v: %v %s", args, err, out)
		}
	}
	if after := listing(t, dir); after != before {
		t.Errorf("files changed from\n%s\nto\n%s", before, after)
	}
	ok(t, "certs", "create-client", "--cluster", "ledger", "--role", "auditor", "--name", "anna", "--ca", at("client-ca"), "--out", at("anna"), "--force")
	if after := listing(t, dir); after == before {
		t.Error("--force replaced nothing")
	}
	if _, err := tls.LoadX509KeyPair(at("anna.crt"), at("anna.key")); err != nil {
		t.Error(err)
	}
}

// listing is every file below dir with its content.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		b.WriteString(path + "\n" + string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
