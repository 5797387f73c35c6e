package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/wire"
)

// newCluster holds the flags of `config init`.
type newCluster struct {
	cluster, dir, data, output string
	nodes, hosts               []string
	members                    []newMember
}

// newMember is one node of the new cluster.
type newMember struct {
	ID   string `json:"id"`
	API  string `json:"api"`
	Peer string `json:"peer"`
	Dir  string `json:"dir"` // directory to copy to its machine
	host string
	port int
}

// Validity of certificates and of Prometheus' token, and of the token of the first operator.
const (
	yearly    = 365 * 24 * time.Hour
	quarterly = 90 * 24 * time.Hour
	apiPort   = 9440
)

func configInitCommand() *cobra.Command {
	var n newCluster
	cmd := &cobra.Command{
		Use: "init --nodes NAME=HOST,... --dir DIR", Short: "Write the directories of a new cluster, ready to copy",
		Long: `Write all files of a new cluster: one directory for each node with settings, certificates and the digests of the first tokens,
to copy to its machine, and the files of the operator. The command contacts nothing, and no node needs to run.

  DIR/NAME/           settings (config.yaml), certificates, keys, tokens file: copy it to the machine of the node
  DIR/pki/            the three authorities: keep their keys off the nodes
  DIR/api-ca.crt      for every client, and for Prometheus
  DIR/operator.token  for you, valid for 90 days. Make the next tokens with recount token create
  DIR/metrics.token   for Prometheus, valid for a year
  DIR/ledger.pub      for everybody who checks receipts and other proofs of the ledger

A node is NAME=HOST or NAME=HOST:PORT. Clients reach it at HOST:PORT (default port 9440), the other nodes at the port above. An
node listens at an address as it is. For a host name it listens at every address of its machine. The settings name their files
relative to themselves, so the directory works at any path. DIR must not exist, or be empty.`,
		Example: `  # three machines
  recount-node config init --nodes node-1=10.0.0.1,node-2=10.0.0.2,node-3=10.0.0.3 --dir out --data-dir /var/lib/recount

  # three nodes on this machine, to try it
  recount-node config init --nodes a=127.0.0.1:9440,b=127.0.0.1:9450,c=127.0.0.1:9460 --dir out`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := n.check(); err != nil {
				return wrong(err)
			}
			if err := n.make(); err != nil {
				return err
			}
			return n.print(cmd)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&n.nodes, "nodes", nil, "1, 3 or 5 members, NAME=HOST or NAME=HOST:PORT (required)")
	f.StringVar(&n.dir, "dir", "", "new directory for everything (required)")
	f.StringVar(&n.cluster, "cluster", "ledger", "cluster id, in every certificate")
	f.StringSliceVar(&n.hosts, "host", []string{"recount.internal"},
		"host name that all API certificates have, for proxies; repeatable")
	f.StringVar(&n.data, "data-dir", "data",
		"data directory on each machine; a relative name is relative to config.yaml")
	f.StringVarP(&n.output, "output", "o", "table", "table or json")
	cli.Closed(cmd, "output", "table", "json")
	return cmd
}

// check parses the flags and reports all mistakes before anything is written.
func (n *newCluster) check() error {
	var errs []error
	if err := certs.CheckID(n.cluster); err != nil {
		errs = append(errs, fmt.Errorf("--cluster %q: %w", n.cluster, err))
	}
	if n.dir == "" {
		errs = append(errs, errors.New("--dir is required"))
	} else if found, err := os.ReadDir(n.dir); err == nil && len(found) > 0 {
		errs = append(errs, fmt.Errorf("--dir: %s is not empty; nothing was written. Give another name", n.dir))
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	var names certs.Request
	errs = append(errs, addHosts(&names, n.hosts))
	n.members = nil
	for _, text := range n.nodes {
		m, err := n.member(text)
		errs = append(errs, err)
		n.members = append(n.members, m)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	var voters []node.Voter
	for _, m := range n.members {
		voters = append(voters, node.Voter{ID: m.ID, Peer: m.Peer, API: m.API})
	}
	return wrapped("--nodes", node.CheckVoters(voters))
}

// member parses NAME=HOST or NAME=HOST:PORT.
func (n *newCluster) member(text string) (newMember, error) {
	id, at, ok := strings.Cut(text, "=")
	if !ok || at == "" {
		return newMember{}, fmt.Errorf("--nodes %q: write NAME=HOST or NAME=HOST:PORT, such as node-1=10.0.0.1", text)
	}
	if err := certs.CheckID(id); err != nil {
		return newMember{}, fmt.Errorf("--nodes %q: %w", text, err)
	}
	m := newMember{ID: id, host: strings.Trim(at, "[]"), port: apiPort, Dir: filepath.Join(n.dir, id)}
	if host, port, err := net.SplitHostPort(at); err == nil {
		if m.port, err = strconv.Atoi(port); err != nil || m.port < 1 || m.port > 65534 {
			return m,
				fmt.Errorf("--nodes %q: the port must be a number in 1..65534; the one above it is for the other nodes",
					text)
		}
		m.host = host
	}
	if id == "pki" {
		return m, errors.New("--nodes: pki is the directory of the authorities; give the node another name")
	}
	m.API, m.Peer = "https://"+net.JoinHostPort(m.host, strconv.Itoa(m.port)),
		net.JoinHostPort(m.host, strconv.Itoa(m.port+1))
	return m, nil
}

// make writes everything into a directory beside, and gives it its name at the end: nobody finds half a cluster.
func (n *newCluster) make() error {
	parent := filepath.Dir(filepath.Clean(n.dir))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(parent, ".config-init-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := n.fill(temp); err != nil {
		return err
	}
	return os.Rename(temp, n.dir) // takes the place of an empty directory, too
}

func (n *newCluster) fill(dir string) error {
	pki := filepath.Join(dir, "pki")
	made := map[string]*certs.CA{}
	for _, kind := range []string{"peer", "api", "client"} {
		ca, err := certs.NewCA(fmt.Sprintf("Recount %s %s CA", n.cluster, kind))
		if err != nil {
			return err
		}
		if err := ca.Save(pki, kind+"-ca"); err != nil {
			return err
		}
		made[kind] = ca
	}
	if err := os.WriteFile(filepath.Join(dir, "api-ca.crt"), made["api"].CertPEM(), 0o644); err != nil {
		return err
	}
	tokens, err := n.tokens(dir)
	if err != nil {
		return err
	}
	if err := newCheckpointKey(dir, n.cluster); err != nil {
		return err
	}
	key, err := os.ReadFile(filepath.Join(dir, checkpointKeyName))
	if err != nil {
		return err
	}
	for _, m := range n.members {
		own := filepath.Join(dir, m.ID)
		if err := n.fillNode(own, m, made, tokens); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(own, checkpointKeyName), key, 0o600); err != nil {
			return err
		}
	}
	return os.Remove(filepath.Join(dir, checkpointKeyName)) // each node has it
}

// tokens makes the first two and gives their lines.
func (n *newCluster) tokens(dir string) (string, error) {
	lines := "# id role sha256 expiry name; digests only. The same on every node, read at the start.\n"
	for _, t := range []struct {
		role wire.Role
		name string
		life time.Duration
	}{{wire.RoleOperator, "root", quarterly}, {wire.RoleMetrics, "prometheus", yearly}} {
		m := mint{
			role:    string(t.role),
			name:    t.name,
			expires: t.life.String(),
			out:     filepath.Join(dir, string(t.role)+".token"),
		}
		made, err := m.make(time.Now())
		if err != nil {
			return "", err
		}
		lines += made.Line + "\n"
	}
	return lines, nil
}

func (n *newCluster) fillNode(dir string, m newMember, made map[string]*certs.CA, tokens string) error {
	peer, api, err := nodeRequests(n.cluster, m.ID, append(namesOf(m.host), n.hosts...), yearly)
	if err != nil {
		return wrong(err)
	}
	for base, r := range map[string]certs.Request{"peer": peer, "api": api} {
		cert, key, err := made[base].Issue(r)
		if err != nil {
			return err
		}
		if err := certs.WritePair(dir, base, cert, key); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{
		"peer-trust.crt":   string(made["peer"].CertPEM()),
		"client-trust.crt": string(made["client"].CertPEM()),
		"tokens":           tokens,
		"config.yaml":      n.settingsOf(m),
	} {
		mode := fs.FileMode(0o600)
		if strings.HasSuffix(name, ".crt") {
			mode = 0o644
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			return err
		}
	}
	return nil
}

func (n *newCluster) settingsOf(m newMember) string {
	s := nodeSettings{
		cluster:  n.cluster,
		node:     m.ID,
		data:     n.data,
		api:      net.JoinHostPort(m.host, strconv.Itoa(m.port)),
		peer:     m.Peer,
		clientCA: true,
		tokens:   true,
		signs:    true,
		about:    "the same on every node",
	}
	for _, v := range n.members {
		s.voters = append(s.voters, node.Voter{ID: v.ID, Peer: v.Peer, API: v.API})
	}
	return s.text()
}

func (n *newCluster) print(cmd *cobra.Command) error {
	out := cmd.OutOrStdout()
	if n.output == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(map[string]any{
			"cluster":        n.cluster,
			"dir":            n.dir,
			"nodes":          n.members,
			"ca":             filepath.Join(n.dir, "api-ca.crt"),
			"operator_token": filepath.Join(n.dir, "operator.token"),
			"metrics_token":  filepath.Join(n.dir, "metrics.token"),
		})
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "NODE\tAPI\tPEER\tDIRECTORY")
	for _, m := range n.members {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", m.ID, m.API, m.Peer, m.Dir)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), `
Next:
  1. copy each directory to its machine, readable by the user of the node only
  2. on each machine: recount-node config check --config config.yaml
  3. start all nodes once with: recount-node serve --config config.yaml --new-cluster
  4. recount cluster status --endpoint %s --ca %s --token-file %s
Keep %s off the nodes. docs/deploy.md has every step.
`, n.members[0].API, filepath.Join(n.dir, "api-ca.crt"), filepath.Join(n.dir, "operator.token"), filepath.Join(n.dir, "pki"))
	return nil
}
