package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/cluster/certs"
)

// nodeCerts are the flags of create-node and sign-node.
type nodeCerts struct {
	cluster, node, dir, peerCA, apiCA string
	hosts                             []string
	requests                          string // directory of the signing requests; for sign-node only
}

func (n *nodeCerts) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&n.cluster, "cluster", "", "cluster id (required)")
	f.StringVar(&n.node, "node", "", "node id (required)")
	f.StringVar(&n.dir, "out", "", "directory for the files (required)")
	f.StringVar(&n.peerCA, "peer-ca", "", "BASE of the peer authority")
	f.StringVar(&n.apiCA, "api-ca", "", "BASE of the API authority")
	f.StringSliceVar(&n.hosts, "host", nil, "host name or address of the API; repeatable")
}

func (n nodeCerts) check() error {
	var errs []error
	for _, id := range [][2]string{{"--cluster", n.cluster}, {"--node", n.node}} {
		if err := certs.CheckID(id[1]); err != nil {
			errs = append(errs, fmt.Errorf("%s %q: %w", id[0], id[1], err))
		}
	}
	if n.dir == "" {
		errs = append(errs, errors.New("--out is required"))
	}
	if n.peerCA == "" && n.apiCA == "" {
		errs = append(errs, errors.New("give --peer-ca, --api-ca or both"))
	}
	if n.apiCA != "" && len(n.hosts) == 0 {
		errs = append(errs, errors.New("--api-ca needs at least one --host that clients use"))
	}
	return errors.Join(errs...)
}

// nodeRequests describes the certificates of the two ports of a node. Every command that makes them asks here.
func nodeRequests(cluster, node string, hosts []string, validity time.Duration) (peer, api certs.Request, err error) {
	peer = certs.Request{
		CommonName: node,
		URIs:       []string{certs.NodeURI(cluster, node)},
		Client:     true,
		Server:     true,
		Validity:   validity,
	}
	api = certs.Request{CommonName: node, Server: true, Validity: validity}
	return peer, api, addHosts(&api, hosts)
}

// namesOf returns the names of the API certificate of a node at host. A node on this machine is asked as localhost,
// too.
func namesOf(host string) []string {
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return []string{host, "localhost"}
	}
	return []string{host}
}

// createNode makes the certificates of a node, with new keys or for the signing requests.
func (c *certsRun) createNode(n nodeCerts) error {
	validity, badValidity := parseValidity(c.validity)
	peer, api, err := nodeRequests(n.cluster, n.node, n.hosts, validity)
	if err = errors.Join(n.check(), err, badValidity); err != nil {
		return &usageError{err}
	}
	var todo []issuance
	if n.peerCA != "" {
		todo = append(todo, issuance{ca: n.peerCA, base: filepath.Join(n.dir, "peer"), request: peer})
	}
	if n.apiCA != "" {
		todo = append(todo, issuance{ca: n.apiCA, base: filepath.Join(n.dir, "api"), request: api})
	}
	for k := range todo {
		if n.requests == "" {
			break
		}
		path := filepath.Join(n.requests, filepath.Base(todo[k].base)+".csr")
		if todo[k].csr, err = os.ReadFile(path); err != nil {
			return &usageError{fmt.Errorf("--csr: %w", err)}
		}
	}
	return c.issueAll(todo...)
}

func signNodeCommand() *cobra.Command {
	var c certsRun
	var n nodeCerts
	cmd := &cobra.Command{
		Use:   "sign-node --cluster ID --node ID --csr DIR --out DIR",
		Short: "Sign the requests that recount-node join wrote",
		Long: `Sign peer.csr (with --peer-ca) and api.csr (with --api-ca) in the directory --csr, and write peer.crt and api.crt. The private
keys stay on the machine of the node. "recount-node join" prints the command with its flags.

The flags say which names a certificate gets, as for create-node. A request that asks for other names, for a further use or
with another key than the one that signed it is refused.`,
		Example: `  recount-node certs sign-node --cluster ledger --node node-4 --host recount.internal --host 10.0.0.4 \
    --csr node-4 --peer-ca pki/peer-ca --api-ca pki/api-ca --out node-4`,
		RunE: func(*cobra.Command, []string) error {
			if n.requests == "" {
				return &usageError{errors.New("--csr is required: the directory with peer.csr and api.csr")}
			}
			return c.createNode(n)
		},
	}
	n.flags(cmd)
	cmd.Flags().StringVar(&n.requests, "csr", "", "directory with peer.csr and api.csr (required)")
	c.flags(cmd, "365d")
	return cmd
}
