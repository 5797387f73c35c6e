package agreement

import (
	"context"
	"errors"
	"log/slog"
	"slices"
)

// Voters are the members that decide.
type Voters struct {
	Self string          // the id of this node, which may be a learner
	IDs  func() []string // returns the ids of all voters now

	// Call sends a peer RPC to another voter. An empty reply means that the voter cannot tell.
	Call func(ctx context.Context, voter, path string, body []byte) ([]byte, error)
	Log  *slog.Logger
}

// Majority returns how many voters are more than half of all.
func (v *Voters) Majority() int { return len(v.IDs())/2 + 1 }

// Poll asks the other voters at once, until all have answered, one answer has a majority, or ctx ends. mine is
// the answer of this node, "" when it cannot tell. It counts if this node is a voter.
func (v *Voters) Poll(ctx context.Context, q Question, mine string) Votes {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	path, body := q.Request()
	type vote struct{ voter, answer string }
	ids := v.IDs()
	said := make(chan vote, len(ids))
	asked := 0
	for _, id := range ids {
		if id == v.Self {
			continue
		}
		asked++
		go func() {
			reply, err := v.Call(ctx, id, path, body)
			if err != nil && !errors.Is(ctx.Err(), context.Canceled) {
				v.Log.Debug("a member could not be asked", "member", id, "question", path, "error", err)
			}
			said <- vote{id, string(reply)}
		}()
	}
	out := Votes{By: map[string][]string{}}
	add := func(x vote) bool {
		if x.answer != "" {
			out.By[x.answer] = append(out.By[x.answer], x.voter)
		}
		return len(out.By[x.answer]) > len(ids)/2
	}
	decided := slices.Contains(ids, v.Self) && add(vote{v.Self, mine}) && mine != ""
	for ; asked > 0 && !decided; asked-- {
		x := <-said
		decided = add(x) && x.answer != ""
	}
	return out
}

// Votes are the answers of voters to one question.
type Votes struct {
	By map[string][]string // answer -> voters
}

// Contrary returns the voters that gave another answer than mine.
func (v Votes) Contrary(mine string) (out []string) {
	for answer, voters := range v.By {
		if answer != mine {
			out = append(out, voters...)
		}
	}
	return out
}

// Decide reports whether the answers settle a matter against mine: a majority contradicts it, or every voter of
// total has answered and some contradict it.
func (v Votes) Decide(mine string, total int) bool {
	other := len(v.Contrary(mine))
	return other > total/2 || other > 0 && len(v.By[mine])+other == total
}

// answered reports whether a voter has said anything.
func (v Votes) answered(voter string) bool {
	for _, voters := range v.By {
		if slices.Contains(voters, voter) {
			return true
		}
	}
	return false
}
