package doctor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

const (
	// TokenSoon is the time before its end when a token is a warning. Tokens that were made for at most
	// TokenShort are meant to end.
	TokenSoon  = 7 * 24 * time.Hour
	TokenShort = 14 * 24 * time.Hour
	// KeySoon is the time before the end of its terms when a signing key is a warning.
	KeySoon = 14 * 24 * time.Hour
	// KeyOld is the age from which a signing key ought to be replaced. The alert has the same.
	KeyOld = 90 * 24 * time.Hour
)

// askLists asks the cluster for its freezes, keys and tokens. No list is asked for while no endpoint is up.
func askLists(ctx context.Context, c *client.Client, all []*facts, now time.Time, timeout time.Duration) (out []Finding) {
	ready := func(f *facts) bool { return f.err == nil && len(f.failing) == 0 }
	i := slices.IndexFunc(all, ready)
	if i < 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c = c.At(i)
	if page, err := c.Freezes(ctx); err != nil {
		out = append(out, unread("freezes", err))
	} else {
		out = append(out, judgeFreezes(page.Items)...)
	}
	if page, err := c.Keys(ctx); err != nil {
		out = append(out, unread("keys", err))
	} else {
		out = append(out, judgeKeys(page.Items, now)...)
	}
	if page, err := c.Tokens(ctx); err != nil {
		out = append(out, unread("tokens", err))
	} else {
		out = append(out, judgeTokens(page.Items, now)...)
	}
	return out
}

func unread(what string, err error) Finding {
	return Finding{checkUnread, Note, "", "the list of " + what + " was not looked at: " + err.Error(),
		"recount whoami", "", "roles.md"}
}

func judgeFreezes(items []wire.FreezeAnswer) (out []Finding) {
	for _, f := range items {
		if f.ThawedSeq != 0 {
			continue
		}
		what := "all submissions are"
		if f.Scope != wire.FreezeAll {
			what = "submissions of " + f.Scope + " " + f.Subject + " are"
		}
		out = append(out, Finding{checkFreeze, Warning, "",
			fmt.Sprintf("%s frozen since %s: %s", what, f.At, f.Reason), "recount freeze list", "",
			"runbooks/verifier-bypass.md"})
	}
	return out
}

func judgeKeys(items []wire.KeyAnswer, now time.Time) (out []Finding) {
	for _, k := range items {
		if k.Status != wire.KeyActive {
			continue
		}
		found := Finding{checkKey, Warning, "", "", "recount key list", "", "keys.md"}
		end, endErr := wire.ParseTime(k.NotAfter)
		made, madeErr := wire.ParseTime(k.At)
		switch {
		case k.NotAfter != "" && endErr == nil && !now.Before(end):
			found.Severity = Note
			found.Text = fmt.Sprintf("the signing key %s ended at %s and is still active: retire it", k.KeyID, k.NotAfter)
		case k.NotAfter != "" && endErr == nil && end.Sub(now) < KeySoon:
			found.Text = fmt.Sprintf("the signing key %s ends in %d days: what it signs is refused then", k.KeyID,
				days(end.Sub(now)))
		case madeErr == nil && now.Sub(made) > KeyOld:
			found.Severity = Note
			found.Text = fmt.Sprintf("the signing key %s is %d days old: replace it", k.KeyID, days(now.Sub(made)))
		default:
			continue
		}
		out = append(out, found)
	}
	return out
}

func judgeTokens(items []wire.TokenAnswer, now time.Time) (out []Finding) {
	for _, t := range items {
		end, err := wire.ParseTime(t.ExpiresAt)
		if t.State != "active" || t.ExpiresAt == "" || err != nil || end.Sub(now) >= TokenSoon {
			continue
		}
		if made, err := wire.ParseTime(t.CreatedAt); err == nil && end.Sub(made) <= TokenShort {
			continue
		}
		out = append(out, Finding{checkToken, Warning, "",
			fmt.Sprintf("the token %s of %s, role %s, ends in %d days: make the next one with recount token create",
				t.ID, t.Name, t.Role, days(end.Sub(now))), "recount token list", "", "roles.md#bearer-tokens"})
	}
	return out
}

func days(d time.Duration) int { return int(d / (24 * time.Hour)) }
