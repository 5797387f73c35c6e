package main

import (
	"strconv"
	"time"

	"github.com/recount-ledger/recount/internal/node"
)

// setting is one setting of a node. Flags, environment names, the known keys of the file, their kinds in YAML and the
// text of --help come from the table below. Defaults come from node.Defaults.
type setting struct {
	key    string // in the file; the flag is the key with . and _ as -
	env    string
	field  field // its place in node.Config; without one, the setting is text that another function reads
	secret bool  // also readable from <key>_file and <ENV>_FILE
	public bool  // a secret that is public: its file must only be protected from changes
	bare   bool  // the flag without a value is true
	none   bool  // a variable set to the empty string means none; for other settings it is an error
	help   string
}

var settings = []setting{
	{
		key:   "node_id",
		env:   "RECOUNT_NODE_ID",
		field: text(func(c *node.Config) *string { return &c.NodeID }),
		help:  "name of this node, unique in the cluster and never reused",
	},
	{
		key:   "cluster_id",
		env:   "RECOUNT_CLUSTER_ID",
		field: text(func(c *node.Config) *string { return &c.ClusterID }),
		help:  "name of the cluster, in every certificate",
	},
	{
		key:   "dir",
		env:   "RECOUNT_DIR",
		field: text(func(c *node.Config) *string { return &c.Dir }),
		help:  "data directory of this node",
	},
	{
		key:   "new_cluster",
		env:   "RECOUNT_NEW_CLUSTER",
		field: boolean(func(c *node.Config) *bool { return &c.NewCluster }),
		bare:  true,
		help: "true: an empty dir is that of a new cluster; for the first start only, a node that lost its " +
			"disk must not start",
	},
	{
		key:   "join",
		env:   "RECOUNT_JOIN",
		field: boolean(func(c *node.Config) *bool { return &c.Join }),
		bare:  true,
		help: "true: an empty dir is that of a new node, which waits until an operator adds it to a cluster " +
			"that runs",
	},
	{
		key:   "join_token_file",
		env:   "RECOUNT_JOIN_TOKEN_FILE",
		field: text(func(c *node.Config) *string { return &c.JoinTokenFile }),
		help:  "file with the token of recount cluster invite, with which a node that joins adds itself",
	},
	{
		key:  "pid_file",
		env:  "RECOUNT_PID_FILE",
		help: "file that holds the process id while the node runs",
	},
	{
		key:   "api.listen",
		env:   "RECOUNT_API_LISTEN",
		field: text(func(c *node.Config) *string { return &c.API.Listen }),
		help:  "host:port for clients",
	},
	{
		key:   "api.cert_file",
		env:   "RECOUNT_API_CERT_FILE",
		field: text(func(c *node.Config) *string { return &c.API.Cert }),
		help:  "certificate for clients, PEM",
	},
	{
		key:   "api.key_file",
		env:   "RECOUNT_API_KEY_FILE",
		field: text(func(c *node.Config) *string { return &c.API.Key }),
		help:  "its private key, PEM",
	},
	{
		key:   "api.client_ca_file",
		env:   "RECOUNT_API_CLIENT_CA_FILE",
		field: text(func(c *node.Config) *string { return &c.API.CA }),
		help:  "authorities of client certificates, PEM; default: none are asked for",
	},
	{
		key:   "peer.listen",
		env:   "RECOUNT_PEER_LISTEN",
		field: text(func(c *node.Config) *string { return &c.Peer.Listen }),
		help:  "host:port for the other nodes",
	},
	{
		key:   "peer.ca_file",
		env:   "RECOUNT_PEER_CA_FILE",
		field: text(func(c *node.Config) *string { return &c.Peer.CA }),
		help:  "authority of the nodes' certificates, PEM",
	},
	{
		key:   "peer.cert_file",
		env:   "RECOUNT_PEER_CERT_FILE",
		field: text(func(c *node.Config) *string { return &c.Peer.Cert }),
		help:  "certificate for the other nodes, PEM",
	},
	{
		key:   "peer.key_file",
		env:   "RECOUNT_PEER_KEY_FILE",
		field: text(func(c *node.Config) *string { return &c.Peer.Key }),
		help:  "its private key, PEM",
	},
	{
		key:   "pcs_sign_alg",
		env:   "PCS_SIGN_ALG",
		field: field{kind: kindList},
		help:  "hmac, ed25519, or both separated by a comma; default: what keys are given for",
	},
	{
		key:    "pcs_hmac_key",
		env:    "PCS_HMAC_KEY",
		secret: true,
		help:   "one HMAC key, the bytes of the text as it is",
	},
	{
		key:    "pcs_hmac_keys",
		env:    "PCS_HMAC_KEYS",
		field:  field{kind: kindList},
		secret: true,
		help:   "several HMAC keys, separated by commas",
	},
	{
		key:    "pcs_ed25519_pub_b64",
		env:    "PCS_ED25519_PUB_B64",
		field:  field{kind: kindList},
		secret: true,
		public: true,
		help:   "Ed25519 public keys, base64, separated by commas",
	},
	{
		key:   "checkpoint_key_file",
		env:   "RECOUNT_CHECKPOINT_KEY_FILE",
		field: text(func(c *node.Config) *string { return &c.CheckpointKeyFile }),
		help: "keys that sign checkpoints of the ledger, the same on every node; default: none, this node signs " +
			"no checkpoint",
	},
	{
		key:   "witness_file",
		env:   "RECOUNT_WITNESS_FILE",
		field: text(func(c *node.Config) *string { return &c.WitnessFile }),
		help:  "witnesses that cosign the checkpoints, and how many must (C2SP tlog-policy); default: none",
	},
	{
		key:   "pcs_profiles",
		env:   "PCS_PROFILES",
		field: profiles(),
		help:  "canonical profiles of the first policy, without effect later",
	},
	{
		key:   "auth.required",
		env:   "RECOUNT_AUTH_REQUIRED",
		field: not(func(c *node.Config) *bool { return &c.NoAuth }),
		help:  "false gives everybody every role (only for closed networks)",
	},
	{
		key:   "auth.two_person",
		env:   "RECOUNT_AUTH_TWO_PERSON",
		field: boolean(func(c *node.Config) *bool { return &c.TwoPerson }),
		help:  "true: activation, rollback, thaw and policy apply need a second actor; the same on every node",
	},
	{
		key:   "auth.tokens_file",
		env:   "RECOUNT_AUTH_TOKENS_FILE",
		field: text(func(c *node.Config) *string { return &c.TokensFile }),
		help:  "first tokens, one a line: id role sha256 expiry [name]",
	},
	{
		key:   "auth.failures",
		env:   "RECOUNT_AUTH_FAILURES",
		field: number(func(c *node.Config) *int { return &c.AuthFailures }, strconv.Atoi),
		help:  "failed authentications per address and minute, 0 is no limit",
	},
	{
		key:   "token_rate",
		env:   "TOKEN_RATE",
		field: number(func(c *node.Config) *float64 { return &c.TokenRate }, parseFloat),
		help:  "submissions per second on this node, burst twice that, 0 is off",
	},
	{
		key:   "address_rate",
		env:   "RECOUNT_ADDRESS_RATE",
		field: derived(number(func(c *node.Config) *float64 { return &c.AddressRate }, parseFloat)),
		help: "submissions per second from one address (IPv6: one /64), burst twice that, 0 is off; default: " +
			"20 times token_rate",
	},
	{
		key:   "key_rate",
		env:   "RECOUNT_KEY_RATE",
		field: number(func(c *node.Config) *float64 { return &c.KeyRate }, parseFloat),
		help:  "submissions per second that one key signed, burst twice that, 0 is off: keys share token_rate fairly",
	},
	{
		key:   "throttle_status",
		env:   "RECOUNT_THROTTLE_STATUS",
		field: number(func(c *node.Config) *int { return &c.ThrottleStatus }, strconv.Atoi),
		help:  "429 or 503 (some agents drop records on 429)",
	},
	{
		key:   "metrics.listen",
		env:   "RECOUNT_METRICS_LISTEN",
		field: text(func(c *node.Config) *string { return &c.MetricsListen }),
		help: "host:port for /metrics alone, plain HTTP on loopback, else with the certificate for clients; " +
			"default: api.listen serves it",
	},
	{
		key:   "metrics_user",
		env:   "METRICS_USER",
		field: text(func(c *node.Config) *string { return &c.MetricsUser }),
		none:  true,
		help:  "user name for /metrics; default: none, only tokens are taken",
	},
	{
		key:    "metrics_pass",
		env:    "METRICS_PASS",
		field:  text(func(c *node.Config) *string { return &c.MetricsPass }),
		secret: true,
		help:   "password for /metrics",
	},
	{
		key:   "tracing.endpoint",
		env:   "RECOUNT_TRACING_ENDPOINT",
		field: text(func(c *node.Config) *string { return &c.Tracing.Endpoint }),
		help:  "URL of an OpenTelemetry collector, such as https://otel.example:4318; default: none, no traces",
	},
	{
		key:   "tracing.protocol",
		env:   "RECOUNT_TRACING_PROTOCOL",
		field: text(func(c *node.Config) *string { return &c.Tracing.Protocol }),
		help:  "http/protobuf or http/json",
	},
	{
		key:   "tracing.sample_ratio",
		env:   "RECOUNT_TRACING_SAMPLE_RATIO",
		field: number(func(c *node.Config) *float64 { return &c.Tracing.SampleRatio }, parseFloat),
		help:  "part of the submissions that are traced, 0 to 1",
	},
	{
		key:   "tracing.client_rate",
		env:   "RECOUNT_TRACING_CLIENT_RATE",
		field: number(func(c *node.Config) *float64 { return &c.Tracing.ClientRate }, parseFloat),
		help:  "submissions per second that are traced because their client sent a sampled traceparent, 0 is none",
	},
	{
		key:   "tracing.ca_file",
		env:   "RECOUNT_TRACING_CA_FILE",
		field: text(func(c *node.Config) *string { return &c.Tracing.CAFile }),
		help:  "authorities of the collector's certificate, PEM; default: those of the machine",
	},
	{
		key:   "tracing.headers_file",
		env:   "RECOUNT_TRACING_HEADERS_FILE",
		field: text(func(c *node.Config) *string { return &c.Tracing.HeadersFile }),
		help:  "headers for the collector, one a line (Authorization: Bearer TOKEN), read again for every request",
	},
	{
		key:   "debug.listen",
		env:   "RECOUNT_DEBUG_LISTEN",
		field: text(func(c *node.Config) *string { return &c.Debug.Listen }),
		help:  "host:port on loopback where operators take profiles of this process; default: none",
	},
	{
		key:   "debug.block_rate",
		env:   "RECOUNT_DEBUG_BLOCK_RATE",
		field: number(func(c *node.Config) *int { return &c.Debug.BlockRate }, strconv.Atoi),
		help:  "a block profile has one sample for so many ns of waiting, 0 is none",
	},
	{
		key:   "debug.mutex_fraction",
		env:   "RECOUNT_DEBUG_MUTEX_FRACTION",
		field: number(func(c *node.Config) *int { return &c.Debug.MutexFraction }, strconv.Atoi),
		help:  "a mutex profile has one of so many waits for locks, 0 is none",
	},
	{
		key:   "audit_log.file",
		env:   "RECOUNT_AUDIT_LOG_FILE",
		field: text(func(c *node.Config) *string { return &c.Audit.File }),
		help:  "file for the audit stream, one JSON line per answered submission and operation; default: none",
	},
	{
		key:   "audit_log.max_bytes",
		env:   "RECOUNT_AUDIT_LOG_MAX_BYTES",
		field: number(func(c *node.Config) *int64 { return &c.Audit.MaxBytes }, parseInt),
		help:  "size at which it is rotated, 0 is never",
	},
	{
		key:   "audit_log.keep",
		env:   "RECOUNT_AUDIT_LOG_KEEP",
		field: span(func(c *node.Config) *time.Duration { return &c.Audit.Keep }),
		help:  "age at which a rotated file is deleted, such as 90d or 36h, 0 is never",
	},
	{
		key:   "trusted_proxies",
		env:   "RECOUNT_TRUSTED_PROXIES",
		field: proxies(),
		help:  "proxies whose X-Forwarded-For is trusted, CIDRs separated by commas",
	},
	{
		key:   "record_remote",
		env:   "RECOUNT_RECORD_REMOTE",
		field: boolean(func(c *node.Config) *bool { return &c.RecordRemote }),
		help:  "false: events and logs have no addresses of submissions",
	},
	{
		key:   "max_body",
		env:   "RECOUNT_MAX_BODY",
		field: number(func(c *node.Config) *int { return &c.MaxBody }, strconv.Atoi),
		help:  "bytes of a submission",
	},
	{
		key:   "ballast",
		env:   "RECOUNT_BALLAST",
		field: number(func(c *node.Config) *int64 { return &c.Ballast }, parseInt),
		help:  "bytes of disk in reserve, freed when the disk is full; at most a fiftieth of the disk, 0 is none",
	},
	{
		key:   "copy_rate",
		env:   "RECOUNT_COPY_RATE",
		field: number(func(c *node.Config) *int { return &c.CopyRate }, strconv.Atoi),
		help:  "bytes per second at which backups read the log, all together, 0 is no limit",
	},
	{
		key:   "election_timeout",
		env:   "RECOUNT_ELECTION_TIMEOUT",
		field: span(func(c *node.Config) *time.Duration { return &c.ElectionTimeout }),
		help:  "how long a follower waits for its leader",
	},
	{
		key:   "accept_clock",
		env:   "RECOUNT_ACCEPT_CLOCK",
		field: moment(func(c *node.Config) *time.Time { return &c.AcceptClock }),
		help: "about the time now, as 2006-01-02T15:04:05Z, for a start with clocks that are right and far " +
			"from the newest event; counts for an hour",
	},
	{
		key:   "fold_read_bytes",
		env:   "RECOUNT_FOLD_READ_BYTES",
		field: number(func(c *node.Config) *int { return &c.FoldReadBytes }, strconv.Atoi),
		help:  "bytes of log that one batch of a fold reads",
	},
}
