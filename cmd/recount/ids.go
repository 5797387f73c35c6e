package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// Tables show ids shortened. Whatever they show is taken where an id is asked for, if it names one thing only.

// leastDigits is the fewest digits of an id that name something.
const leastDigits = 8

// mostCandidates bounds the ids that an error names.
const mostCandidates = 5

// chosen returns the one of some ids that was meant: the id itself, or the only one that begins so, with or
// without its kind in front (hmac-, ed-). what and list are words for errors: the thing, and the command that
// lists all.
func chosen(what, given, list string, all []string) (string, error) {
	var found []string
	short := strings.ToLower(given)
	for _, id := range all {
		if id == given || id == short {
			return id, nil
		}
		if begins(id, short) {
			found = append(found, id)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", ambiguous(what, given, found, false)
	}
	return "", &codedError{exitNotFound, fmt.Errorf("no %s is or begins with %q", what, given),
		fmt.Sprintf("%q lists them; of an id give at least %d digits.", list, leastDigits)}
}

// begins reports whether an id begins with digits, with or without its kind in front, and enough of them to name
// something.
func begins(id, given string) bool {
	kind, digits, ok := strings.Cut(id, "-")
	if !ok {
		return len(given) >= leastDigits && strings.HasPrefix(id, given)
	}
	given = strings.TrimPrefix(given, kind+"-")
	return len(given) >= leastDigits && strings.HasPrefix(digits, given)
}

func ambiguous(what, given string, found []string, more bool) error {
	names := strings.Join(found[:min(len(found), mostCandidates)], "\n  ")
	if more || len(found) > mostCandidates {
		names += "\n  and others"
	}
	return &codedError{exitUsage, fmt.Errorf("more than one %s begins with %q:\n  %s", what, given, names),
		"Give more digits."}
}

// isHex reports whether s has hex digits alone, as ids have.
func isHex(s string) bool { return strings.Trim(s, "0123456789abcdefABCDEF") == "" }

// recordID finds the pcs_id that was meant: 64 digits, the first of them, or SEQ: and the number of an event.
func recordID(ctx context.Context, c *client.Client, given string, read client.Read) (string, error) {
	if seq, ok := strings.CutPrefix(strings.ToUpper(given), "SEQ:"); ok {
		return recordAt(ctx, c, given, seq, read)
	}
	switch {
	case !isHex(given) || len(given) < leastDigits || len(given) > 64:
		return "",
			usagef("%q: a record is named by its pcs_id, by at least the first %d of its 64 hex digits, or by "+
				"SEQ: and the number of its event",
				given, leastDigits)
	case len(given) == 64:
		return strings.ToLower(given), nil
	}
	page, err := c.Complete(ctx, given, mostCandidates, read)
	switch {
	case err != nil:
		return "", err
	case len(page.Items) == 1 && !page.More:
		return page.Items[0], nil
	case len(page.Items) > 0:
		return "", ambiguous("record", given, page.Items, page.More)
	}
	return "", &codedError{exitNotFound, fmt.Errorf("no record has an id that begins with %q", given),
		fmt.Sprintf("\"recount audit --pcs %s\" finds submissions that name it, those that were refused too.", given)}
}

// noAnswer describes what the ledger knows of a record that no answer stands for: of an event, or of refused
// submissions that carry the id.
func (a recordCommands) noAnswer(ctx context.Context, c *client.Client, given string, read client.Read,
	err error) error {
	if !errors.Is(err, client.ErrNotFound) {
		return err
	}
	digits, ok := strings.CutPrefix(strings.ToUpper(given), "SEQ:")
	if !ok {
		return a.onlyRefused(ctx, c, strings.ToLower(given), read, err)
	}
	seq, parseErr := strconv.ParseUint(digits, 10, 63)
	page, askErr := c.AuditPage(ctx, client.AuditQuery{FromSeq: seq, ToSeq: seq, Limit: 1, Read: read})
	if parseErr != nil || askErr != nil || len(page.Items) == 0 {
		return err
	}
	i := page.Items[0]
	return &codedError{exitNotFound,
		fmt.Errorf("nothing stands for the record of event %d, which was %s: %s", seq, i.Outcome, i.ReasonCode),
		fmt.Sprintf("\"recount audit --from-seq %d --to-seq %d -o json\" shows all that the ledger says of it.",
			seq, seq)}
}

// refusedWait bounds the search of get for refused submissions, of which only the outcome is in an index.
const refusedWait = 5 * time.Second

// onlyRefused counts the refused submissions that name an id for which nothing stands. Without a credential, or
// when it takes long, it says how to look.
func (a recordCommands) onlyRefused(ctx context.Context, c *client.Client, id string, read client.Read,
	err error) error {
	next := fmt.Sprintf("\"recount audit --pcs %s\" reads every submission for this id, and finds it when "+
		"only refused ones carry it.", short(id))
	if !a.credential() {
		return &codedError{exitNotFound, err, next}
	}
	ctx, cancel := context.WithTimeout(ctx, min(refusedWait, a.timeout))
	defer cancel()
	page, listErr := c.AuditPage(ctx, client.AuditQuery{PCS: id, Outcome: wire.OutcomeRefused, Limit: 1000, Read: read})
	switch {
	case listErr != nil || len(page.Items) == 0 && page.NextCursor != "":
		return &codedError{exitNotFound, err, next}
	case len(page.Items) == 0:
		return &codedError{exitNotFound, err,
			"No refused submission carries this id either. \"recount audit\" lists what was submitted."}
	}
	number := fmt.Sprintf("%d refused submissions carry", len(page.Items))
	switch {
	case page.NextCursor != "":
		number = "at least " + number
	case len(page.Items) == 1:
		number = "1 refused submission carries"
	}
	return &codedError{exitNotFound,
		fmt.Errorf("%w\n%s this id, the first in event %d; a refused record has no answer of its own", err, number,
			page.Items[0].Seq),
		fmt.Sprintf("\"recount audit --pcs %s\" lists them.", short(id))}
}

// short is as much of an id as tables show.
func short(id string) string { return id[:min(len(id), 16)] }

// recordAt is the id in the submission of an event.
func recordAt(ctx context.Context, c *client.Client, given, digits string, read client.Read) (string, error) {
	seq, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || seq == 0 {
		return "", usagef("%q: SEQ: takes a whole number, at least 1", given)
	}
	page, err := c.AuditPage(ctx, client.AuditQuery{FromSeq: seq, ToSeq: seq, Limit: 1, Read: read})
	switch {
	case err != nil:
		return "", err
	case len(page.Items) == 0:
		return "", &codedError{exitNotFound, fmt.Errorf("event %d is no submission, or not there", seq),
			fmt.Sprintf("\"recount event %d\" shows what it is.", seq)}
	case page.Items[0].PCSID == "":
		return "", &codedError{exitNotFound,
			fmt.Errorf("the submission of event %d names no record: %s, %s", seq, page.Items[0].Outcome,
				page.Items[0].ReasonCode),
			fmt.Sprintf("\"recount event %d\" shows what was sent.", seq)}
	}
	return page.Items[0].PCSID, nil
}

// wholeKey and wholeToken are ids with nothing left out, which need no list.
var (
	wholeKey   = regexp.MustCompile(`^(hmac|ed)-[0-9a-f]{16}$`)
	wholeToken = regexp.MustCompile(`^([a-z2-7]{16}|cert:.*)$`)
)

// findKey finds the key that was meant.
func findKey(ctx context.Context, c *client.Client, given string) (string, error) {
	if wholeKey.MatchString(given) {
		return given, nil
	}
	page, err := c.Keys(ctx)
	if err != nil {
		return "", err
	}
	all := make([]string, len(page.Items))
	for i, k := range page.Items {
		all[i] = k.KeyID
	}
	return chosen("key", given, "recount key list", all)
}

// findToken finds the token that was meant. Client certificates are in no list.
func findToken(ctx context.Context, c *client.Client, given string) (string, error) {
	if wholeToken.MatchString(given) {
		return given, nil
	}
	page, err := c.Tokens(ctx)
	if err != nil {
		return "", err
	}
	all := make([]string, len(page.Items))
	for i, t := range page.Items {
		all[i] = t.ID
	}
	return chosen("token", given, "recount token list", all)
}

// findApproval finds the request for a second approval that was meant. A name that is not in the list goes to
// the node as it is.
func findApproval(ctx context.Context, c *client.Client, given string) (string, error) {
	page, err := c.Approvals(ctx)
	if err != nil {
		return "", err
	}
	all := make([]string, len(page.Items))
	for i, x := range page.Items {
		all[i] = x.OpID
	}
	id, err := chosenRequest(given, "recount approve list", all)
	if exitCode(err) == exitNotFound {
		return given, nil
	}
	return id, err
}

// madeUp is an op_id that this program made up.
var madeUp = regexp.MustCompile(`^[A-Z2-7]{26}$`)

// chosenRequest is chosen for requests. An op_id that a person chose is meant as a whole: thaw-inc-2026-1
// begins thaw-inc-2026-12, of another incident. Only one that was made up is found by its beginning, in the
// letters of tables.
func chosenRequest(given, list string, all []string) (string, error) {
	if slices.Contains(all, given) {
		return given, nil
	}
	var found []string
	for _, id := range all {
		if madeUp.MatchString(id) && len(given) >= leastDigits && strings.HasPrefix(id, strings.ToUpper(given)) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", &codedError{exitNotFound, fmt.Errorf("no request is %q", given),
			fmt.Sprintf("%q lists them; an op_id that somebody chose is needed in full.", list)}
	}
	return "", ambiguous("request", given, found, false)
}

// findPolicy takes an id, or an unambiguous beginning of one.
func findPolicy(ctx context.Context, c *client.Client, id string) (*wire.PolicyAnswer, error) {
	if len(id) < leastDigits || len(id) > 64 || !isHex(id) {
		return nil, usagef("policy %q: must be an id of 64 hex digits, or at least its first %d", id, leastDigits)
	}
	if id = strings.ToLower(id); len(id) < 64 {
		page, err := c.Policies(ctx)
		if err != nil {
			return nil, err
		}
		all := make([]string, len(page.Items))
		for i, p := range page.Items {
			all[i] = p.ID
		}
		if id, err = chosen("policy", id, "recount policy list", all); err != nil {
			return nil, err
		}
	}
	return c.Policy(ctx, id)
}
