package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/recount-ledger/recount/internal/cli"
)

// toolVariables are read by recount and may be set beside those of a node.
var toolVariables = []string{"RECOUNT_ENDPOINTS", "RECOUNT_CA", "RECOUNT_TOKEN_FILE", "RECOUNT_CERT",
	"RECOUNT_CERT_KEY", "RECOUNT_DEV", "RECOUNT_CONTEXT", "RECOUNT_CONFIG"}

// foreignSettings are the variables that the predecessor's server reads and a node does not, with the
// replacement for each.
var foreignSettings = []struct{ env, instead string }{
	{"MULTI_TENANT", tenantsInstead},
	{"TENANTS", tenantsInstead},
	{"PORT", "RECOUNT_API_LISTEN=HOST:PORT says where a node listens, --base-port where a dev cluster does"},
	{"WAL_DIR", "the log is in RECOUNT_DIR, below --dir in a dev cluster; the predecessor's files are not read"},
	{"DEDUP_BACKEND", storesInstead},
	{"DEDUP_SNAPSHOT", storesInstead},
	{"REDIS_ADDR", storesInstead},
	{"POSTGRES_CONN", "a node needs no database; recount audit -o ndjson gives rows to load into one"},
}

const (
	tenantsInstead = "a ledger has no tenants; give each tenant a key of its own for shards of its own " +
		"(recount key add --shard 't1-*'), or a cluster of its own"
	storesInstead = "the log itself knows what was sent before, on every node; a policy says for how long " +
		"(params.dedup_ttl)"
)

// foreign warns of variables of the predecessor, one per line. Ignored silently, they would look like valid
// settings.
func foreign(env func(string) (string, bool)) (warnings []string) {
	for _, s := range foreignSettings {
		if text, ok := env(s.env); ok && text != "" && text != "false" && text != "0" {
			warnings = append(warnings,
				fmt.Sprintf("%s is set and ignored: %s (see docs/agents.md)", s.env, s.instead))
		}
	}
	return warnings
}

// misspelt warns of variables that no setting has and that are similar to one: RECOUNT_API_LITSEN,
// RECOUNT_TOKEN_RATE. Otherwise a node would silently start with the default. environ has the form of
// os.Environ.
func misspelt(environ []string) (warnings []string) {
	var known []string
	for _, s := range settings {
		known = append(known, s.env)
		if s.secret {
			known = append(known, s.env+"_FILE")
		}
	}
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if slices.Contains(known, name) || slices.Contains(toolVariables, name) || !ours(name) {
			continue
		}
		meant := cli.Nearest(name, known)
		if short := strings.TrimPrefix(name, "RECOUNT_"); slices.Contains(known, short) {
			meant = short
		}
		if meant != "" {
			warnings = append(warnings, fmt.Sprintf("%s is set and ignored. Did you mean %s?", name, meant))
		}
	}
	slices.Sort(warnings)
	return warnings
}

// ours reports whether a name begins like the variables of a node.
func ours(name string) bool {
	return strings.HasPrefix(name, "RECOUNT_") || strings.HasPrefix(name, "PCS_") || strings.HasPrefix(name, "METRICS_")
}

// unread warns of variables in the environment that are ignored.
func unread() []string { return append(foreign(os.LookupEnv), misspelt(os.Environ())...) }
