package node

import (
	"errors"
	"fmt"
	"strings"

	"github.com/recount-ledger/recount/internal/cluster/certs"
)

// Voter is one node of the settings: a founding member of a new cluster, or one at which the members may be found.
type Voter struct {
	ID   string `koanf:"id"`   // unique within the cluster, permanently
	Peer string `koanf:"peer"` // host:port of its peer listener
	API  string `koanf:"api"`  // base URL that clients reach, such as https://10.0.0.1:9440
}

// CheckVoters reports the faults for which a list cannot be the members of a cluster.
func CheckVoters(list []Voter) error { return errors.Join(Config{Voters: list}.validateVoters()...) }

func (c Config) validateVoters() (errs []error) {
	if n := len(c.Voters); c.Join && n < 2 {
		errs = append(errs, errors.New("voters: a node that joins needs itself and at least one member of the cluster"))
	} else if !c.Join && n != 1 && n != 3 && n != 5 {
		errs = append(errs, fmt.Errorf("voters: a cluster has 1, 3 or 5 members, not %d", n))
	}
	seen, self := map[string]bool{}, false
	for i, v := range c.Voters {
		if err := certs.CheckID(v.ID); err != nil {
			errs = append(errs, fmt.Errorf("voters[%d].id: %q can be in no certificate: %w", i, v.ID, err))
		}
		self = self || v.ID == c.NodeID
		apiAt, err := APIAddress(v.API)
		if err != nil {
			errs = append(errs, fmt.Errorf("voters[%d].api: %q: %w", i, v.API, err))
		}
		if err := checkAddress(v.Peer, false); err != nil {
			errs = append(errs, fmt.Errorf("voters[%d].peer: %q: %w", i, v.Peer, err))
		}
		// Two ids that differ in letter case only are one name to a person and to a name server.
		for _, name := range [][2]string{{"id", v.ID}, {"peer", v.Peer}, {"api", apiAt}} {
			kind, value := name[0], strings.ToLower(name[1])
			if kind == "api" {
				kind = "peer" // an address is an address
			}
			if value != "" && seen[kind+" "+value] {
				errs = append(errs, fmt.Errorf("voters[%d].%s: %q is used twice among the voters", i, name[0], name[1]))
			}
			seen[kind+" "+value] = true
		}
	}
	if c.Join && c.NewCluster {
		errs = append(errs, errors.New("join: a node that joins a cluster founds none: leave out new_cluster"))
	}
	if !self && c.NodeID != "" && len(c.Voters) > 0 {
		errs = append(errs, fmt.Errorf("voters: node_id %q is not among them", c.NodeID))
	}
	return errs
}

// ids returns the ids of the nodes that the settings name.
func (c Config) ids() (out []string) {
	for _, v := range c.Voters {
		out = append(out, v.ID)
	}
	return out
}

// self returns the voter that this node is.
func (c Config) self() Voter {
	for _, v := range c.Voters {
		if v.ID == c.NodeID {
			return v
		}
	}
	return Voter{}
}

// apiOf returns the base URL of the API of a voter, "" for none.
func (c Config) apiOf(id string) string {
	for _, v := range c.Voters {
		if v.ID == id {
			return v.API
		}
	}
	return ""
}
