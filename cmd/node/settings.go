package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/when"
)

// setting is one setting of a node. This table also defines flags, environment names, the known keys of the
// file and the text of --help.
type setting struct {
	key    string // in the file; the flag is the key with . and _ as -
	env    string
	def    string
	help   string
	secret bool // also readable from <key>_file and <ENV>_FILE
	yes    bool // true or false; the flag without a value is true
	public bool // a secret that is public: its file must only be protected from changes
	none   bool // a variable set to the empty string means none; for other settings it is an error
}

var settings = []setting{
	{key: "node_id", env: "RECOUNT_NODE_ID", help: "name of this node, unique in the cluster and never reused"},
	{key: "cluster_id", env: "RECOUNT_CLUSTER_ID", help: "name of the cluster, in every certificate"},
	{key: "dir", env: "RECOUNT_DIR", help: "data directory of this node"},
	{
		key: "new_cluster",
		env: "RECOUNT_NEW_CLUSTER",
		def: "false",
		yes: true,
		help: "true: an empty dir is that of a new cluster; for the first start only, a node that lost its " +
			"disk must not start",
	},
	{key: "pid_file", env: "RECOUNT_PID_FILE", help: "file that holds the process id while the node runs"},
	{key: "api.listen", env: "RECOUNT_API_LISTEN", help: "host:port for clients"},
	{key: "api.cert_file", env: "RECOUNT_API_CERT_FILE", help: "certificate for clients, PEM"},
	{key: "api.key_file", env: "RECOUNT_API_KEY_FILE", help: "its private key, PEM"},
	{
		key:  "api.client_ca_file",
		env:  "RECOUNT_API_CLIENT_CA_FILE",
		help: "authorities of client certificates, PEM; default: none are asked for",
	},
	{key: "peer.listen", env: "RECOUNT_PEER_LISTEN", help: "host:port for the other nodes"},
	{key: "peer.ca_file", env: "RECOUNT_PEER_CA_FILE", help: "authority of the nodes' certificates, PEM"},
	{key: "peer.cert_file", env: "RECOUNT_PEER_CERT_FILE", help: "certificate for the other nodes, PEM"},
	{key: "peer.key_file", env: "RECOUNT_PEER_KEY_FILE", help: "its private key, PEM"},
	{
		key:  "pcs_sign_alg",
		env:  "PCS_SIGN_ALG",
		help: "hmac, ed25519, or both separated by a comma; default: what keys are given for",
	},
	{key: "pcs_hmac_key", env: "PCS_HMAC_KEY", secret: true, help: "one HMAC key, the bytes of the text as it is"},
	{key: "pcs_hmac_keys", env: "PCS_HMAC_KEYS", secret: true, help: "several HMAC keys, separated by commas"},
	{
		key:    "pcs_ed25519_pub_b64",
		env:    "PCS_ED25519_PUB_B64",
		secret: true,
		public: true,
		help:   "Ed25519 public keys, base64, separated by commas",
	},
	{
		key:  "pcs_profiles",
		env:  "PCS_PROFILES",
		def:  "f9,py,es,go,go-fold,py-bin",
		help: "canonical profiles of the first policy, without effect later",
	},
	{
		key:  "auth.required",
		env:  "RECOUNT_AUTH_REQUIRED",
		def:  "true",
		help: "false gives everybody every role (only for closed networks)",
	},
	{
		key:  "auth.two_person",
		env:  "RECOUNT_AUTH_TWO_PERSON",
		def:  "false",
		help: "true: activation, rollback, thaw and policy apply need a second actor; the same on every node",
	},
	{
		key:  "auth.tokens_file",
		env:  "RECOUNT_AUTH_TOKENS_FILE",
		help: "first tokens, one a line: id role sha256 expiry [name]",
	},
	{
		key:  "auth.failures",
		env:  "RECOUNT_AUTH_FAILURES",
		def:  "60",
		help: "failed authentications per address and minute, 0 is no limit",
	},
	{
		key:  "token_rate",
		env:  "TOKEN_RATE",
		def:  "100",
		help: "submissions per second on this node, burst twice that, 0 is off",
	},
	{
		key: "address_rate",
		env: "RECOUNT_ADDRESS_RATE",
		help: "submissions per second from one address (IPv6: one /64), burst twice that, 0 is off; default: " +
			"20 times token_rate",
	},
	{
		key:  "key_rate",
		env:  "RECOUNT_KEY_RATE",
		def:  "0",
		help: "submissions per second that one key signed, burst twice that, 0 is off: keys share token_rate fairly",
	},
	{
		key:  "throttle_status",
		env:  "RECOUNT_THROTTLE_STATUS",
		def:  "429",
		help: "429 or 503 (some agents drop records on 429)",
	},
	{
		key: "metrics.listen",
		env: "RECOUNT_METRICS_LISTEN",
		help: "host:port for /metrics alone, plain HTTP on loopback, else with the certificate for clients; " +
			"default: api.listen serves it",
	},
	{
		key:  "metrics_user",
		env:  "METRICS_USER",
		none: true,
		help: "user name for /metrics; default: none, only tokens are taken",
	},
	{key: "metrics_pass", env: "METRICS_PASS", secret: true, help: "password for /metrics"},
	{
		key:  "audit_log.file",
		env:  "RECOUNT_AUDIT_LOG_FILE",
		help: "file for the audit stream, one JSON line per answered submission and act; default: none",
	},
	{
		key:  "audit_log.max_bytes",
		env:  "RECOUNT_AUDIT_LOG_MAX_BYTES",
		def:  "104857600",
		help: "size at which it is rotated, 0 is never",
	},
	{
		key:  "audit_log.keep",
		env:  "RECOUNT_AUDIT_LOG_KEEP",
		def:  "90d",
		help: "age at which a rotated file is deleted, such as 90d or 36h, 0 is never",
	},
	{
		key:  "trusted_proxies",
		env:  "RECOUNT_TRUSTED_PROXIES",
		help: "proxies whose X-Forwarded-For is trusted, CIDRs separated by commas",
	},
	{
		key:  "record_remote",
		env:  "RECOUNT_RECORD_REMOTE",
		def:  "true",
		help: "false: events and logs have no addresses of submissions",
	},
	{key: "max_body", env: "RECOUNT_MAX_BODY", def: "1048576", help: "bytes of a submission"},
	{
		key:  "ballast",
		env:  "RECOUNT_BALLAST",
		def:  "1073741824",
		help: "bytes of disk in reserve, freed when the disk is full; at most a fiftieth of the disk, 0 is none",
	},
	{
		key:  "election_timeout",
		env:  "RECOUNT_ELECTION_TIMEOUT",
		def:  "2s",
		help: "how long a follower waits for its leader",
	},
	{
		key: "accept_clock",
		env: "RECOUNT_ACCEPT_CLOCK",
		help: "about the time now, as 2006-01-02T15:04:05Z, for a start with clocks that are right and far " +
			"from the newest event; counts for an hour",
	},
	{
		key:  "pack_batch_bytes",
		env:  "RECOUNT_PACK_BATCH_BYTES",
		def:  "4194304",
		help: "bytes of log that one batch of a fold reads",
	},
}

func (s setting) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.key) }

// addFlags adds flags for all settings that are not secrets. A secret on a command line is visible to every
// process.
func addFlags(fs *pflag.FlagSet) {
	for _, s := range settings {
		if s.secret {
			fs.String(s.flag()+"-file", "", "file with: "+s.help+" (env "+s.env+" or "+s.env+"_FILE)")
			continue
		}
		fs.String(s.flag(), "", s.help+" (env "+s.env+")"+defaultText(s.def))
		if s.yes {
			fs.Lookup(s.flag()).NoOptDefVal = "true"
		}
	}
}

func defaultText(def string) string {
	if def == "" {
		return ""
	}
	return ", default " + def
}

// values holds the settings as text, with the precedence flag > environment > file > default.
type values struct {
	text   map[string]string
	origin map[string]string
	voters []node.Voter
	from   string // source of voters
	unread bool   // the file could not be read as a whole, so its settings are unknown
}

// load reads all layers. Relative file names in the file are relative to the file.
func load(path string, fs *pflag.FlagSet, env func(string) (string, bool)) (values, error) {
	v := values{text: map[string]string{}, origin: map[string]string{}}
	var errs []error
	for _, s := range settings {
		if s.def != "" {
			v.set(s.key, s.def, "default")
		}
	}
	if path != "" {
		errs = append(errs, v.loadFile(path))
	}
	for _, s := range settings {
		for _, suffix := range suffixes(s) {
			name := s.env + strings.ToUpper(suffix)
			text, ok := env(name)
			switch {
			case ok && !s.secret && strings.TrimSpace(text) == "" && (text != "" || !s.none):
				errs = append(errs,
					fmt.Errorf("%s: environment %s is set to nothing: give it a value, or unset it", s.key, name))
			case ok && text != "": // an empty secret is none, so that a parent process can remove one
				v.override(s, suffix, text, "environment "+name)
			}
		}
	}
	for _, s := range settings {
		for _, suffix := range suffixes(s) {
			name := s.flag() + strings.ReplaceAll(suffix, "_", "-")
			if f := fs.Lookup(name); f != nil && f.Changed {
				v.override(s, suffix, f.Value.String(), "flag --"+name)
			}
		}
	}
	errs = append(errs, v.readSecrets()...)
	return v, errors.Join(errs...)
}

func suffixes(s setting) []string {
	if s.secret {
		return []string{"", "_file"}
	}
	return []string{""}
}

func (v values) set(key, text, origin string) { v.text[key], v.origin[key] = text, origin }

// override replaces both spellings of a secret from lower layers, but not of the same layer.
func (v values) override(s setting, suffix, text, origin string) {
	layer := strings.Fields(origin)[0]
	for _, other := range suffixes(s) {
		if o := v.origin[s.key+other]; o != "" && !strings.HasPrefix(o, layer) {
			delete(v.text, s.key+other)
			delete(v.origin, s.key+other)
		}
	}
	v.set(s.key+suffix, text, origin)
}

func didYouMean(key string) string {
	for _, s := range settings {
		squash := strings.NewReplacer("_", "", "-", "", ".", "")
		if strings.EqualFold(squash.Replace(s.key), squash.Replace(key)) || strings.HasSuffix(s.key, "."+key) {
			return fmt.Sprintf(", did you mean %q?", s.key)
		}
	}
	return ""
}

func (v values) duration(key string, errs *[]error) time.Duration {
	d, err := when.Span(v.text[key])
	if err != nil {
		*errs = append(*errs, fmt.Errorf("%s: %q: %w", key, v.text[key], err))
	}
	return d
}

// checkLists rejects an empty element of a list, which is usually a variable that was not set.
func (v values) checkLists() error {
	var errs []error
	for _, key := range listSettings {
		if text := v.text[key]; text != "" && slices.Contains(strings.Split(text, ","), "") {
			errs = append(errs, fmt.Errorf("%s: has an empty part between, before or behind its commas", key))
		}
	}
	return errors.Join(errs...)
}

func (v values) list(key string) []string {
	var out []string
	for _, part := range strings.Split(v.text[key], ",") {
		if part != "" && !slices.Contains(out, part) {
			out = append(out, part)
		}
	}
	return out
}
