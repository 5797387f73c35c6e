package event

import (
	"strconv"

	"google.golang.org/protobuf/proto"
)

// Kind determines the message that an event carries. Values are persisted and never reused.
type Kind uint16

// The kinds of events.
const (
	Genesis         Kind = 1
	Submission      Kind = 2
	RefusalsDropped Kind = 3
	TermStart       Kind = 4
	StateDigest     Kind = 5
	KeyAdded        Kind = 6
	ClockStep       Kind = 7

	PolicyPublished     Kind = 8
	PolicyApplied       Kind = 9
	GenerationStarted   Kind = 10
	GenerationActivated Kind = 11
	GenerationDropped   Kind = 12
	HistoryRecorded     Kind = 13
	KeyRevoked          Kind = 14
	KeyRetired          Kind = 15
	KeySecretRetired    Kind = 16
	Frozen              Kind = 17
	Thawed              Kind = 18
	ShardsKnown         Kind = 19

	TokenCreated Kind = 24
	TokenRevoked Kind = 25
	ActApproved  Kind = 26

	FactsDisputed Kind = 27
	MemberChanged Kind = 28

	Restored             Kind = 30
	ClusterVersionRaised Kind = 31

	MemberInvited       Kind = 33
	InvitationWithdrawn Kind = 34
)

// kindRow is one kind of event: its name in lower case, which is persisted in exports, its message, and the cluster
// version that a ledger needs to hold such events, 0 for every version. later kinds are in version 1, and some nodes
// of a ledger at that version stop at them.
type kindRow struct {
	name    string
	message func() proto.Message
	version uint32
	later   bool
}

// kinds is the table of kinds. A new kind is a constant above and a row here, with the next cluster version (see
// NewestVersion).
var kinds = [...]kindRow{
	Genesis:         kind[GenesisV1]("genesis"),
	Submission:      kind[SubmissionV1]("submission"),
	RefusalsDropped: kind[RefusalsDroppedV1]("refusals_dropped"),
	TermStart:       kind[TermStartV1]("term_start"),
	StateDigest:     kind[StateDigestV1]("state_digest"),
	KeyAdded:        kind[KeyAddedV1]("key_added"),
	ClockStep:       kind[ClockStepV1]("clock_step"),

	PolicyPublished:     kind[PolicyPublishedV1]("policy_published"),
	PolicyApplied:       kind[PolicyAppliedV1]("policy_applied"),
	GenerationStarted:   kind[GenerationStartedV1]("generation_started"),
	GenerationActivated: kind[GenerationActivatedV1]("generation_activated"),
	GenerationDropped:   kind[GenerationDroppedV1]("generation_dropped"),
	HistoryRecorded:     kind[HistoryRecordedV1]("history_recorded"),
	KeyRevoked:          kind[KeyRevokedV1]("key_revoked"),
	KeyRetired:          kind[KeyRetiredV1]("key_retired"),
	KeySecretRetired:    kind[KeySecretRetiredV1]("key_secret_retired"),
	Frozen:              kind[FrozenV1]("frozen"),
	Thawed:              kind[ThawedV1]("thawed"),
	ShardsKnown:         kind[ShardsKnownV1]("shards_known"),

	TokenCreated: kind[TokenCreatedV1]("token_created"),
	TokenRevoked: kind[TokenRevokedV1]("token_revoked"),
	ActApproved:  kind[ActApprovedV1]("act_approved"),

	FactsDisputed: later(kind[FactsDisputedV1]("facts_disputed")),
	MemberChanged: later(kind[MemberChangedV1]("member_changed")),

	Restored:             later(kind[RestoredV1]("restored")),
	ClusterVersionRaised: kind[ClusterVersionRaisedV1]("cluster_version_raised"),

	MemberInvited:       since(2, kind[MemberInvitedV1]("member_invited")),
	InvitationWithdrawn: since(2, kind[InvitationWithdrawnV1]("invitation_withdrawn")),
}

// kind returns the row of a kind whose message is M.
func kind[M any, P interface {
	*M
	proto.Message
}](name string) kindRow {
	return kindRow{name: name, message: func() proto.Message { return P(new(M)) }}
}

// later marks a kind that came before cluster versions, and after builds that may still take part at version 1.
func later(k kindRow) kindRow {
	k.later = true
	return k
}

// since gives a kind the cluster version that a ledger needs to hold it.
func since(version uint32, k kindRow) kindRow {
	k.version = version
	return k
}

// OpMessage is implemented by the message of every operation. It names the operator and the reason.
type OpMessage interface {
	proto.Message
	GetOp() *OpV1
}

// Kinds lists the kinds that this version can read, in ascending order.
func Kinds() []Kind {
	var out []Kind
	for k := range kinds {
		if Kind(k).Known() {
			out = append(out, Kind(k))
		}
	}
	return out
}

// Known reports whether this version can read events of kind k.
func (k Kind) Known() bool { return int(k) < len(kinds) && kinds[k].message != nil }

// KindNamed returns the kind with this name, or 0 if there is none.
func KindNamed(name string) Kind {
	for _, k := range Kinds() {
		if kinds[k].name == name {
			return k
		}
	}
	return 0
}

// Capability returns the capability that a node needs in order to fold events of kind k, or "" if every node that
// knows the cluster version of the ledger has it. At version 1 a leader proposes such an event only when every voter
// has the capability. Later versions need no capabilities.
func (k Kind) Capability() string {
	if k.Known() && kinds[k].later {
		return kinds[k].name
	}
	return ""
}

// Operation reports whether an operator can cause events of kind k: their message is an OpMessage.
func (k Kind) Operation() bool {
	_, ok := k.NewMessage().(OpMessage)
	return ok
}

// String returns the kind's name in lower case, or "kind-n" for an unknown one.
func (k Kind) String() string {
	if k.Known() {
		return kinds[k].name
	}
	return "kind-" + strconv.Itoa(int(k))
}

// NewMessage returns an empty message of kind k, or nil for an unknown kind.
func (k Kind) NewMessage() proto.Message {
	if !k.Known() {
		return nil
	}
	return kinds[k].message()
}
