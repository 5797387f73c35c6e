// Package api serves HTTP for a node. It limits requests, decodes parameters, calls the Ledger and encodes the
// results. It does not judge records, does not know Raft or the stores, and keeps no state about submissions.
package api

import (
	"context"
	"io"
	"slices"

	"github.com/recount-ledger/recount/wire"
)

// Meta describes a request, apart from its body.
type Meta struct {
	RequestID string // at most 64 bytes of [A-Za-z0-9._-]
	Remote    string // address of the client, without port
	Via       string // the node that forwarded the request, empty if it came here directly
	Identity         // authenticated caller, never taken from the request itself; empty for submissions
	DryRun    bool   // for a submission: compute the response, but neither log nor count the record
}

// Ledger has the parts of a node that the handlers use, one for each concern. All of them must be set, and their
// methods must be safe for concurrent use.
//
// An error that holds a *wire.Problem (errors.As) is rendered as that problem. ErrNotFound and
// ErrGenerationGone have their own statuses. An expired context becomes 504 outcome_unknown for Submit and
// operations, and 503 behind for reads. Config.Explain renders all other errors, or they become 500. The
// handler owns the results. Problems may be shared.
//
// Operations return once this node has folded them.
type Ledger struct {
	Submitter   Submitter
	Views       Views
	Keys        Keys
	Freezes     Freezes
	KnownShards KnownShards
	Policies    Policies
	Generations Generations
	Operations  Operations
	Tokens      Tokens
	Credentials Credentials
	Members     Members
	Copies      Copies
	Evidence    Evidence
	Status      Status
}

func (l *Ledger) complete() bool {
	return !slices.Contains([]any{
		l.Submitter, l.Views, l.Keys, l.Freezes, l.KnownShards, l.Policies, l.Generations, l.Operations, l.Tokens,
		l.Credentials, l.Copies, l.Evidence, l.Members, l.Status,
	}, nil)
}

// Submitter takes submissions.
type Submitter interface {
	// Submit decodes, checks and commits one record and waits for its outcome. body is not empty and at most
	// Config.MaxBody bytes long, and the ledger owns it from then on. Outcome accepted has status 200,
	// escalated 202. Refusals and conflicts are returned as a *wire.Problem. With meta.DryRun, Submit does the
	// same work up to the log, writes nothing, and returns the response that a submission would get now. Where
	// such a response would name the event, its seq is 0.
	Submit(ctx context.Context, body []byte, meta Meta) (*wire.SubmitAnswer, error)
	// Batch begins a submission of many records. The error is the problem of a node that takes none now.
	Batch(meta Meta) (Batch, error)
}

// The size of a group of a batch: records, and bytes of their bodies together. A larger record is a group of its own.
const (
	GroupRecords = 256
	GroupBytes   = 192 << 10
)

// Batch takes the records of one batch, group after group. It is for one goroutine.
type Batch interface {
	// Submit takes the next records. It does with each what Submitter.Submit does and returns one result for each,
	// in their order. All of them wait together, at most until ctx ends. The ledger owns the bodies from then on.
	// Once a record was not taken, no later record of its shard enters the log, so that none overtakes it.
	Submit(ctx context.Context, bodies [][]byte) []Submitted
}

// Submitted is the result of one record of a batch, as Submitter.Submit returns it.
type Submitted struct {
	Answer *wire.SubmitAnswer
	Err    error
}

// Keys registers signing keys and ends their use.
type Keys interface {
	// Keys lists the registered keys in the order of registration, after event asOf, 0 for now. Key returns one.
	Keys(ctx context.Context, asOf uint64) ([]wire.KeyAnswer, error)
	Key(ctx context.Context, id string, asOf uint64) (*wire.KeyAnswer, error)
	// AddKey registers a key and returns created = true, or changes the terms of a registered one.
	AddKey(ctx context.Context, k NewKey, op wire.Op, meta Meta) (answer *wire.KeyAnswer, created bool, err error)
	// RevokeKey revokes a key: everything that it signs from now on is refused. since (Unix nanoseconds) is
	// used by folds with hindsight.
	RevokeKey(ctx context.Context, keyID string, since int64, r wire.RevokeRequest,
		meta Meta) (*wire.RevokeAnswer, error)
	// RetireKey ends the use of a key as planned. RetireSecret allows nodes to forget the secret of a retired
	// or revoked key.
	RetireKey(ctx context.Context, id string, op wire.Op, meta Meta) (*wire.KeyAnswer, error)
	RetireSecret(ctx context.Context, id string, op wire.Op, meta Meta) (*wire.KeyAnswer, error)
}

// Freezes stops submissions and thaws them.
type Freezes interface {
	// Freezes lists the freezes, oldest first, after event asOf, 0 for now.
	Freezes(ctx context.Context, asOf uint64) ([]wire.FreezeAnswer, error)
	Freeze(ctx context.Context, r wire.FreezeRequest, meta Meta) (*wire.FreezeAnswer, error)
	Thaw(ctx context.Context, r wire.FreezeRequest, meta Meta) (*wire.FreezeAnswer, error)
}

// Members changes the members of the cluster, and who leads it. Each returns what was done, with the seq of its event.
type Members interface {
	AddMember(ctx context.Context, r wire.MemberRequest, meta Meta) (*wire.MemberAnswer, error)
	PromoteMember(ctx context.Context, id string, op wire.Op, meta Meta) (*wire.MemberAnswer, error)
	RemoveMember(ctx context.Context, id string, op wire.Op, meta Meta) (*wire.MemberAnswer, error)
	MoveMember(ctx context.Context, id string, r wire.MemberAddressRequest, meta Meta) (*wire.MemberAnswer, error)
	TransferLeadership(ctx context.Context, r wire.LeaderRequest, meta Meta) (*wire.MemberAnswer, error)
	RaiseVersion(ctx context.Context, r wire.ClusterVersionRequest, meta Meta) (*wire.ClusterVersionAnswer, error)

	InviteMember(ctx context.Context, r wire.InvitationRequest, meta Meta) (*wire.InvitationAnswer, error)
	WithdrawInvitation(ctx context.Context, id string, op wire.Op, meta Meta) (*wire.MemberAnswer, error)
}

// KnownShards registers the shards that operators know.
type KnownShards interface {
	// KnownShards lists the registrations, oldest first, after event asOf, 0 for now.
	KnownShards(ctx context.Context, asOf uint64) ([]wire.KnownShardsAnswer, error)
	AddKnownShards(ctx context.Context, r wire.KnownShardsRequest, meta Meta) (*wire.KnownShardsAnswer, error)
}

// Policies publishes policies and puts them in force.
type Policies interface {
	// PublishPolicy adds a policy document to the log. created is false if the same policy was already there. A
	// document that cannot be used gives a *wire.Problem of code bad_policy.
	PublishPolicy(ctx context.Context, r wire.PolicyRequest,
		meta Meta) (answer *wire.PolicyAnswer, created bool, err error)
	// Policies lists the published policies by seq, after event asOf, 0 for now. Policy returns one by its id (64
	// lower-case hex digits).
	Policies(ctx context.Context, asOf uint64) ([]wire.PolicyAnswer, error)
	Policy(ctx context.Context, id string, asOf uint64) (*wire.PolicyAnswer, error)
	// ApplyPolicy puts a published policy in force for new events.
	ApplyPolicy(ctx context.Context, id string, r wire.ApplyRequest, meta Meta) (*wire.ApplyAnswer, error)
}

// Generations builds generations, compares them with the active one and switches to them.
type Generations interface {
	// StartGeneration starts a second fold of the whole log under another policy.
	StartGeneration(ctx context.Context, r wire.GenerationRequest, meta Meta) (*wire.GenerationAnswer, error)
	// Generations lists all generations by number. Generation describes one and asks every node for its
	// progress.
	Generations(ctx context.Context) (*wire.GenerationsPage, error)
	Generation(ctx context.Context, number uint32) (*wire.GenerationAnswer, error)
	// Diff summarizes the changes of a generation up to position. A position of 0 means as far as this node has
	// compared.
	Diff(ctx context.Context, number uint32, position uint64) (*wire.DiffAnswer, error)
	Flips(ctx context.Context, q FlipsQuery) (FlipsResult, error)
	Activate(ctx context.Context, number uint32, r wire.ActivateRequest, meta Meta) (*wire.ActivateAnswer, error)
	Rollback(ctx context.Context, r wire.RollbackRequest, meta Meta) (*wire.ActivateAnswer, error)
	DropGeneration(ctx context.Context, number uint32, op wire.Op, meta Meta) (*wire.DropAnswer, error)
}

// Operations lists the operations of operators and approves those that need two actors.
type Operations interface {
	// List returns the events of operations from seq on, at most limit. next is the seq to continue
	// from, or 0 at the end.
	List(ctx context.Context, from uint64, limit int) (items []wire.OperationItem, next uint64, err error)
	// Approve approves an operation that needs two actors, and carries it out if requested. Approvals lists the
	// pending ones and, with all, also those that are done.
	Approve(ctx context.Context, r wire.ApprovalRequest, meta Meta) (*wire.ApprovalAnswer, error)
	Approvals(ctx context.Context, all bool) ([]wire.ApprovalAnswer, error)
}

// Tokens creates and revokes the credentials of people and programs.
type Tokens interface {
	// Tokens lists all tokens without their LastUsed.
	Tokens(ctx context.Context) ([]wire.TokenAnswer, error)
	CreateToken(ctx context.Context, r wire.TokenRequest, meta Meta) (*wire.TokenAnswer, error)
	// RevokeToken revokes a token or, with "cert:" and a serial number, a client certificate.
	RevokeToken(ctx context.Context, id string, r wire.TokenRevokeRequest, meta Meta) (*wire.TokenAnswer, error)
}

// Credentials answers what authentication asks about the credentials of a request.
type Credentials interface {
	// Token returns a token by its id as far as this node knows, including revoked ones.
	Token(id string) (TokenRecord, bool)
	// CertificateRevoked reports whether the certificate with this serial number (lower-case hex) is revoked.
	CertificateRevoked(serial string) bool
	// Current returns once this node knows everything that was acknowledged before the call.
	Current(ctx context.Context) error
}

// Copies keeps copies of the log of this node for those who read their files. Errors are problems, or ErrNotFound.
type Copies interface {
	// Create makes a copy of what this node has folded. Its files can be read when its state is wire.CopyReady.
	Create(ctx context.Context) (wire.CopyAnswer, error)
	// Copies lists the copies of this node, without their files.
	Copies() []wire.CopyAnswer
	Copy(id string) (wire.CopyAnswer, error)
	Remove(id string) error
	// Open opens a file of a copy. The caller closes it. Reads end with ctx.
	Open(ctx context.Context, id, name string) (CopyContent, error)
}

// CopyContent is an open file of a copy.
type CopyContent struct {
	io.ReadSeekCloser
	wire.CopyFile
}

// Status describes the node and its cluster.
type Status interface {
	Cluster(ctx context.Context) (*wire.ClusterAnswer, error)
	Version() wire.VersionAnswer
	// Ready runs the readiness checks, in a fixed order.
	Ready(ctx context.Context) []Check
}

// Check is the result of one readiness check. A nil Err means that it passed. Names are short words without
// spaces.
type Check struct {
	Name string
	Err  error
}
