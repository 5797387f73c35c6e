package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/secretfile"
	"github.com/recount-ledger/recount/wire"
)

// joinTokenName is the file of the join token beside the settings.
const joinTokenName = "join.token"

// joining holds the flags of `join` and what it prepares.
type joining struct {
	certsRun
	tokenFile, dir, data, peerCA, apiCA string
	hosts                               []string

	text  string // of the token
	token wire.JoinToken
	api   string // host:port
	files []joinFile
}

// joinFile is one file to write into the directory.
type joinFile struct {
	name, kind string
	text       []byte
	mode       fs.FileMode
}

func joinCommand() *cobra.Command {
	var j joining
	cmd := &cobra.Command{
		Use: "join --token-file FILE --out DIR", Short: "Write the files of a new node from its join token",
		Long: `Write everything that a new node needs to join a cluster that runs, from the token of "recount cluster invite". Run it on the
machine of the new node: the private keys are made there and stay there. The command contacts nothing.

  DIR/config.yaml                  settings, with join: true and the members of the token
  DIR/join.token, peer-trust.crt   the token, and the authorities of nodes in it
  DIR/peer.key, DIR/api.key        private keys, readable by their owner only
  DIR/peer.csr, DIR/api.csr        signing requests, or peer.crt and api.crt with --peer-ca and --api-ca

Keep the authorities off the nodes where you can: without them, join prints the command that signs on the operator's machine.
The API certificate has the host of the token and every --host. If DIR holds the files tokens, client-trust.crt or
checkpoint.key of another node, the settings name them. Without checkpoint.key the node signs no checkpoints and gives out
no receipts. No file that exists is changed.`,
		Example: `  recount-node join --token-file n4.join --out /etc/recount --host recount.internal --data-dir /var/lib/recount

  # where the authorities are on this machine, to try it
  recount-node join --token-file n4.join --out out/n4 --peer-ca out/pki/peer-ca --api-ca out/pki/api-ca`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			j.out = cmd.OutOrStdout()
			return j.run(cmd, time.Now())
		},
	}
	f := cmd.Flags()
	f.StringVar(&j.tokenFile, "token-file", "", "file with the join token (required)")
	f.StringVar(&j.dir, "out", "", "directory for the files (required)")
	f.StringSliceVar(&j.hosts, "host", nil, "further host name or address of the API, for proxies; repeatable")
	f.StringVar(&j.data, "data-dir", "data", "data directory; a relative name is relative to config.yaml")
	f.StringVar(&j.peerCA, "peer-ca", "", "BASE of the peer authority, to sign at once")
	f.StringVar(&j.apiCA, "api-ca", "", "BASE of the API authority, to sign at once")
	f.StringVar(&j.validity, "validity", "365d", "how long a certificate that is signed at once is valid")
	j.outputFlag(cmd)
	return cmd
}

// run checks and prepares everything in memory before it writes the first file.
func (j *joining) run(cmd *cobra.Command, now time.Time) error {
	var errs []error
	for _, f := range [][2]string{{"--token-file", j.tokenFile}, {"--out", j.dir}} {
		if f[1] == "" {
			errs = append(errs, fmt.Errorf("%s is required", f[0]))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return wrong(err)
	}
	for _, step := range []func() error{func() error { return wrong(j.read(now)) }, j.prepare, j.save, j.print} {
		if err := step(); err != nil {
			return err
		}
	}
	j.printNext(cmd)
	return nil
}

// read reads the token and checks all that is in it.
func (j *joining) read(now time.Time) error {
	text, err := secretfile.Read(j.tokenFile)
	if err != nil {
		return wrapped("--token-file", err)
	}
	if j.token, err = wire.ParseJoinToken(string(text)); err != nil {
		return fmt.Errorf("--token-file: %s: %w", j.tokenFile, err)
	}
	j.text = string(bytes.TrimSpace(text)) + "\n"
	t := j.token
	ends, err := time.Parse(time.RFC3339, t.ExpiresAt)
	if err != nil {
		return fmt.Errorf("--token-file: %s: the end of its time is no time: %w", j.tokenFile, err)
	}
	if !now.Before(ends) {
		return fmt.Errorf("--token-file: the join token of %s ended %s, and the clock of this machine says %s; make "+
			"another one with: recount cluster invite %s", t.NodeID, t.ExpiresAt, now.UTC().Format(time.RFC3339),
			t.NodeID)
	}
	if t.APIAddress == "" {
		return fmt.Errorf("--token-file: the token has no address for clients; make another one with: "+
			"recount cluster invite %s --peer %s --api https://HOST:PORT", t.NodeID, t.PeerAddress)
	}
	if j.api, err = node.APIAddress(t.APIAddress); err != nil {
		return fmt.Errorf("--token-file: api %q: %w", t.APIAddress, err)
	}
	return errors.Join(wrapped("--token-file: cluster", certs.CheckID(t.ClusterID)),
		wrapped("--token-file", node.CheckJoining(t.NodeID, j.voters())))
}

// voters lists the new node and the members of the token. A member whose address for clients nobody said cannot be in
// the settings.
func (j *joining) voters() []node.Voter {
	t := j.token
	list := []node.Voter{{ID: t.NodeID, Peer: t.PeerAddress, API: t.APIAddress}}
	for _, m := range t.Members {
		if m.API != "" {
			list = append(list, node.Voter{ID: m.ID, Peer: m.Peer, API: m.API})
		}
	}
	return list
}

// prepare makes the content of all files.
func (j *joining) prepare() error {
	validity, badValidity := parseValidity(j.validity)
	host, _, err := net.SplitHostPort(j.api)
	if err = errors.Join(err, badValidity); err != nil {
		return wrong(err)
	}
	hosts := namesOf(host)
	for _, h := range j.hosts {
		if !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	j.hosts = hosts
	peer, api, err := nodeRequests(j.token.ClusterID, j.token.NodeID, j.hosts, validity)
	if err != nil {
		return wrong(err)
	}
	j.add(joinTokenName, "join token", []byte(j.text), 0o600)
	if err := errors.Join(wrong(j.trusted()), j.credential("peer", j.peerCA, peer),
		j.credential("api", j.apiCA, api)); err != nil {
		return err
	}
	j.add("config.yaml", "settings", []byte(j.settings()), 0o600)
	return j.free()
}

// trusted adds the authorities of the token, and refuses to sign with one that no member trusts.
func (j *joining) trusted() error {
	var text []byte
	for i, der := range j.token.Authorities {
		if _, err := x509.ParseCertificate(der); err != nil {
			return fmt.Errorf("--token-file: authority %d is no certificate: %w", i+1, err)
		}
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	if j.peerCA != "" {
		own, err := certs.ReadAll(j.peerCA + ".crt")
		if err != nil {
			return wrapped("--peer-ca", err)
		}
		if !slices.ContainsFunc(j.token.Authorities, func(der []byte) bool { return bytes.Equal(der, own[0]) }) {
			return fmt.Errorf("--peer-ca: no member of %s trusts the authority %s", j.token.ClusterID, j.peerCA)
		}
	}
	j.add("peer-trust.crt", "authorities", text, 0o644)
	return nil
}

// credential makes the key of a port, and its certificate or its signing request.
func (j *joining) credential(port, ca string, r certs.Request) error {
	name, kind := port+".csr", "signing request"
	made, key, err := certs.NewSigningRequest(r)
	if ca != "" && err == nil {
		name, kind = port+".crt", "certificate"
		made, _, err = issuance{ca: ca, request: r, csr: made}.make()
	}
	j.add(port+".key", "key", key, 0o600)
	j.add(name, kind, made, 0o644)
	return err
}

func (j *joining) add(name, kind string, text []byte, mode fs.FileMode) {
	j.files = append(j.files, joinFile{name, kind, text, mode})
}

// free refuses a directory that has one of the files, or a certificate for one of the signing requests.
func (j *joining) free() error {
	var names []string
	for _, f := range j.files {
		names = append(names, f.name)
		if port, ok := strings.CutSuffix(f.name, ".csr"); ok {
			names = append(names, port+".crt")
		}
	}
	for _, name := range names {
		path := filepath.Join(j.dir, name)
		if _, err := os.Lstat(path); err == nil {
			return wrong(fmt.Errorf("%s exists; nothing was written. Give another --out, or remove the file", path))
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (j *joining) settings() string {
	there := func(name string) bool {
		_, err := os.Stat(filepath.Join(j.dir, name))
		return err == nil
	}
	return nodeSettings{
		cluster:   j.token.ClusterID,
		node:      j.token.NodeID,
		data:      j.data,
		api:       j.api,
		peer:      j.token.PeerAddress,
		joinToken: joinTokenName,
		clientCA:  there("client-trust.crt"),
		tokens:    there("tokens"),
		signs:     there(checkpointKeyName),
		about:     "this node, and members that it asks",
		voters:    j.voters(),
	}.text()
}

// save writes the files, the settings last. If one cannot be written, it removes those before it.
func (j *joining) save() (err error) {
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return err
	}
	var made []string
	defer func() {
		for _, path := range made {
			if err != nil {
				err = errors.Join(err, os.Remove(path))
			}
		}
	}()
	for _, f := range j.files {
		path := filepath.Join(j.dir, f.name)
		if err := writeNew(path, f.text, f.mode); err != nil {
			return err
		}
		made = append(made, path)
		if f.kind != "certificate" {
			j.lines = append(j.lines, certFile{File: path, Kind: f.kind})
		} else if err := j.wrote(path); err != nil {
			return err
		}
	}
	return nil
}

// printNext lists the steps that are left.
func (j *joining) printNext(cmd *cobra.Command) {
	out, steps := cmd.ErrOrStderr(), 0
	step := func(format string, args ...any) {
		steps++
		fmt.Fprintf(out, "  %d. "+format+"\n", append([]any{steps}, args...)...)
	}
	fmt.Fprintln(out, "\nNext:")
	if sign := j.signCommand(); sign != "" {
		step("copy the .csr files into a directory %s on the machine with the authorities, and sign there:\n     %s",
			j.token.NodeID, sign)
		step("copy the .crt files that it writes to %s", j.dir)
	}
	config := filepath.Join(j.dir, "config.yaml")
	step("recount-node config check --config %s", config)
	step("recount-node serve --config %s, before the token ends at %s", config, j.token.ExpiresAt)
}

// signCommand returns the command that signs what is not signed, or nothing.
func (j *joining) signCommand() string {
	line := []string{"recount-node certs sign-node --cluster", j.token.ClusterID, "--node", j.token.NodeID}
	if j.apiCA == "" {
		for _, h := range j.hosts {
			line = append(line, "--host", h)
		}
	}
	line = append(line, "--csr", j.token.NodeID)
	if j.peerCA == "" {
		line = append(line, "--peer-ca pki/peer-ca")
	}
	if j.apiCA == "" {
		line = append(line, "--api-ca pki/api-ca")
	}
	if j.peerCA != "" && j.apiCA != "" {
		return ""
	}
	return strings.Join(append(line, "--out", j.token.NodeID), " ")
}
