package node

import (
	"context"
	"errors"
	"slices"

	"github.com/recount-ledger/recount/internal/verify"
)

var errNoKeys = errors.New("the key files hold no key any more")

// watchKeys reads the key files of the settings again and takes over what has changed: new keys come into use and are
// registered in the ledger, those that are gone are no longer used by this node; what they signed stays as it was judged. A
// change counts when two readings in a row agree, because a file may be read while it is being written. Files that cannot
// be read change nothing.
func (n *Node) watchKeys(ctx context.Context) error {
	if n.cfg.RereadKeys == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	var seen []verify.Key
	for {
		if err := pause(ctx, n.cfg.KeyPoll); err != nil {
			return err
		}
		keys, err := n.cfg.RereadKeys()
		held := *n.own.Load()
		if err == nil && len(keys) == 0 && len(held) > 0 {
			err = errNoKeys
		}
		if failed := err != nil; n.badKeyFiles.Swap(failed) != failed && failed {
			n.log.Error("the key files cannot be read again; the keys of before stay in use", "error", err)
		}
		if err != nil {
			seen = nil
			continue
		}
		if keys = verify.NewRing(keys).Keys(); sameKeys(keys, held) {
			seen = nil
			continue
		}
		if !sameKeys(keys, seen) {
			seen = keys
			continue
		}
		n.own.Store(&keys)
		n.log.Info("keys read again", "added", idsWithout(keys, held), "removed", idsWithout(held, keys))
		seen = nil
		select {
		case n.ringChanged <- struct{}{}:
		default:
		}
	}
}

// sameKeys compares keys in their order, which is the order in which they are tried.
func sameKeys(a, b []verify.Key) bool {
	return slices.EqualFunc(a, b, func(a, b verify.Key) bool { return a.Fingerprint == b.Fingerprint })
}

// idsWithout lists the ids of keys that are not in others.
func idsWithout(keys, others []verify.Key) []string {
	ids := []string{}
	for _, k := range keys {
		if !slices.ContainsFunc(others, func(o verify.Key) bool { return o.Fingerprint == k.Fingerprint }) {
			ids = append(ids, k.ID)
		}
	}
	return ids
}
