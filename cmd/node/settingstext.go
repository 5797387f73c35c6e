package main

import (
	"fmt"
	"net"
	"strings"

	"github.com/recount-ledger/recount/internal/node"
)

// nodeSettings are the settings that a command writes for a node, with the names of the files beside them.
type nodeSettings struct {
	cluster, node, data string
	api, peer           string // host:port at which others reach the node
	joinToken           string // file of the join token of a new node, or empty
	signs               bool   // whether there is the file checkpoint.key
	clientCA, tokens    bool   // whether there are the files client-trust.crt and tokens
	about               string // of the list of voters
	voters              []node.Voter
}

// text returns the settings as YAML.
func (s nodeSettings) text() string {
	var b strings.Builder
	line := func(when bool, format string, args ...any) {
		if when {
			fmt.Fprintf(&b, format+"\n", args...)
		}
	}
	line(true, `# Settings of %s. Relative names are relative to this file. `+
		`"recount-node serve --help" lists all settings.`, s.node)
	line(true, "node_id: %q\ncluster_id: %q\ndir: %q", s.node, s.cluster, s.data)
	line(s.joinToken != "", "join: true # counts for an empty directory only\njoin_token_file: %s", s.joinToken)
	line(s.signs, "checkpoint_key_file: %s", checkpointKeyName)
	line(true, "api:\n  listen: %q\n  cert_file: api.crt\n  key_file: api.key", listenAt(s.api))
	line(s.clientCA, "  client_ca_file: client-trust.crt")
	line(true, "peer:\n  listen: %q\n  cert_file: peer.crt\n  key_file: peer.key\n  ca_file: peer-trust.crt",
		listenAt(s.peer))
	line(s.tokens, "auth:\n  tokens_file: tokens")
	line(true, "voters: # %s", s.about)
	for _, v := range s.voters {
		line(true, "  - {id: %q, peer: %q, api: %q}", v.ID, v.Peer, v.API)
	}
	return b.String()
}

// listenAt returns where a node listens that others reach at host:port: there, or for a name at every address.
func listenAt(at string) string {
	host, port, err := net.SplitHostPort(at)
	if err != nil || net.ParseIP(host) != nil {
		return at
	}
	return net.JoinHostPort("0.0.0.0", port)
}
