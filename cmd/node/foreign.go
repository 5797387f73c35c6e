package main

import "fmt"

// foreignSettings are the variables that the predecessor's server reads and a node does not, and what to do instead.
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
		"(recount keys add --shard 't1-*'), or a cluster of its own"
	storesInstead = "the log itself knows what was sent before, on every node; a policy says for how long (params.dedup_ttl)"
)

// foreign warns of variables of the predecessor, a line each: ignored in silence they would look like settings that count.
func foreign(env func(string) (string, bool)) (warnings []string) {
	for _, s := range foreignSettings {
		if text, ok := env(s.env); ok && text != "" && text != "false" && text != "0" {
			warnings = append(warnings, fmt.Sprintf("%s is set and counts for nothing: %s; docs/agents.md has more", s.env, s.instead))
		}
	}
	return warnings
}
