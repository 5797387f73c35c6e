package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

// getAnswer describes a record: the answer of the node and, for those who may read events, the facts of the
// submission.
type getAnswer struct {
	*wire.PCSAnswer
	Submission *submissionFacts `json:"submission,omitempty"`
}

// submissionFacts has the facts of the event that decided the answer: who signed it and how, what it claims,
// from where it came, and its place in the log.
type submissionFacts struct {
	KeyID     string `json:"key_id"` // empty when no key verified it
	Algorithm string `json:"algorithm,omitempty"`
	Scheme    string `json:"scheme,omitempty"`
	Profile   string `json:"profile,omitempty"` // of scheme pcs/1: how the signed members were written
	Mode      string `json:"mode,omitempty"`    // raw, sha256 or whole: what the algorithm signed
	Remote    string `json:"remote,omitempty"`  // absent when the node did not record addresses
	LeafIndex uint64 `json:"leaf_index"`        // in the tree of the log digest, from 0
	LeafHash  string `json:"leaf_hash"`         // hex
	RaftIndex uint64 `json:"raft_index"`        // entry of the Raft log that carries it
	RaftTerm  uint64 `json:"raft_term"`

	Claimed *claimedValues `json:"claimed,omitempty"` // absent when the body has none
}

// claimedValues are the four signed numbers, rounded as their profile says.
type claimedValues struct {
	DHat    nano.Nano `json:"D_hat"`
	CohStar nano.Nano `json:"coh_star"`
	R       nano.Nano `json:"r"`
	Budget  nano.Nano `json:"budget"`
}

// factsOf reads a submission from its event.
func factsOf(e *wire.EventAnswer) *submissionFacts {
	text := func(name string) string { s, _ := e.Summary[name].(string); return s }
	f := &submissionFacts{
		KeyID:     text("key_id"),
		Remote:    text("remote"),
		LeafIndex: e.Seq - 1,
		LeafHash:  e.LeafHash,
		RaftIndex: e.Index,
		RaftTerm:  e.Term,
	}
	rec := pcs.Decode([]byte(text("body")))
	profile, err := pcs.ParseProfile(text("profile"))
	if f.KeyID != "" {
		f.Algorithm, f.Mode, f.Scheme = text("algorithm"), text("mode"), rec.Scheme.String()
		if err == nil {
			f.Profile = profile.String()
		}
	}
	if rec.Signable {
		t := rec.Tuple(profile)
		f.Claimed = &claimedValues{t.DHat, t.CohStar, t.R, t.Budget}
	}
	return f
}

// credential reports whether the node is asked with a token or a client certificate.
func (a recordCommands) credential() bool { return a.place.TokenFile != "" || a.place.Cert != "" }

// submissionOf reads the event that decided an answer. Events are for those who check: without a credential
// nobody is asked.
func (a recordCommands) submissionOf(ctx context.Context, c *client.Client, p *wire.PCSAnswer,
	read client.Read) (*submissionFacts, error) {
	if !a.credential() {
		return nil, errors.New("no token was given")
	}
	read.MinSeq = max(read.MinSeq, p.Seq)
	e, err := withTimeout(ctx, a.app,
		func(ctx context.Context) (*wire.EventAnswer, error) { return c.Event(ctx, p.Seq, read) })
	if err != nil {
		return nil, err
	}
	return factsOf(e), nil
}

// signed describes the signature of a submission.
func (f *submissionFacts) signed() (key, how string) {
	if f == nil || f.KeyID == "" {
		return "-", "-"
	}
	how = fmt.Sprintf("%s, scheme %s", f.Algorithm, f.Scheme)
	if f.Profile != "" {
		how += fmt.Sprintf(", profile %s, %s", f.Profile, f.Mode)
	}
	return f.KeyID, how
}

// showRecord prints an answer: what is said, what was claimed, and where the evidence is.
func (a recordCommands) showRecord(p *wire.PCSAnswer, f *submissionFacts) error {
	key, how := f.signed()
	claimed := func(value func(*claimedValues) nano.Nano) string {
		if f == nil || f.Claimed == nil {
			return "-"
		}
		return value(f.Claimed).String()
	}
	address, leaf, hash, entry := "-", "-", "-", "-"
	if f != nil {
		if address = f.Remote; address == "" {
			address = "not recorded"
		}
		leaf, hash, entry = fmt.Sprintf("%d of the log digest", f.LeafIndex), f.LeafHash,
			fmt.Sprintf("%d of term %d", f.RaftIndex, f.RaftTerm)
	}
	then := asOfPairs(p.AsOf)
	if p.Then != nil {
		then = append(then, "answered by generation", p.Then.Generation)
	}
	return a.printFields(getAnswer{p, f}, append(then, "pcs_id", p.PCSID, "outcome", p.Outcome, "accepted", p.Accepted,
		"reason code",
		p.ReasonCode, "reasons", dash(strings.Join(p.Reasons, " ")), "reason", dash(p.Reason), "shard", p.ShardID,
		"epoch", p.Epoch, "claimed D_hat", claimed(func(v *claimedValues) nano.Nano { return v.DHat }),
		"recomputed D_hat", decimal(p.RecomputedDHat), "claimed coh_star",
		claimed(func(v *claimedValues) nano.Nano { return v.CohStar }), "claimed r",
		claimed(func(v *claimedValues) nano.Nano { return v.R }), "claimed budget",
		claimed(func(v *claimedValues) nano.Nano { return v.Budget }), "recomputed budget", p.RecomputedBudget,
		"key", key, "signature", how, "inputs signed", p.InputsSigned, "address", address, "received at",
		p.ReceivedAt, "node", p.Node, "policy", p.Policy, "generation", p.Generation, "seq", p.Seq, "leaf", leaf,
		"leaf hash", hash, "raft entry", entry, "events", join(p.Events))...)
}
