// Package auditor folds a whole ledger again on the machine of an auditor, and compares it with what the ledger has
// said of itself.
//
// It takes the events from a node, an export, a backup or the directory of a stopped node, and puts them into a log
// of its own. It folds that log with the same code as a node: the numbers and the Merkle tree, what operators did,
// and every generation that was ever active. Then it compares:
//
//	signed checkpoints          the root of the tree of the first events
//	digests in the log          the root, the outcomes and the control state, as a leader logged them
//	activations in the log      the digest of what changed, and the digest of what was recorded of it
//	what the source says        the digests at the end
//
// A report names the first difference, or what was reproduced. The log, and what is folded of it, can stay in a
// directory. A later run goes on there. It hashes the events again that it has, and compares them with what the source
// shows now: all leaves of an export, and the log digest of a cluster at the last event, with a search for the first
// event that is another one. It folds all events again, since nothing shows whether what was folded before was changed.
// The newest signed checkpoint stays in the directory as well. A ledger that ends before it,
// or that signs one which contradicts it, is a difference, and both notes are kept.
//
// # What is trusted
//
// The public keys of the checkpoints, and this program. A source can lie about everything: without a checkpoint that
// an auditor kept, a ledger that was made up from the first event on would be reproduced as well. The fold holds no
// secret, so it takes the MACs of HMAC keys for what the log says of them. It checks Ed25519 signatures again.
//
// # Memory
//
// The events pass through in pages. Stores of Pebble with fixed caches hold the rest, and two generations are open
// at most.
package auditor

import "errors"

// ErrDiffers means that the ledger is not what it was said to be. The report has the first difference.
var ErrDiffers = errors.New("auditor: the ledger is not what was said of it")

// ErrSource means that there is no ledger at a location, or one that cannot be audited from there.
var ErrSource = errors.New("auditor: no ledger that can be audited")

// ErrNoCheckpoint means that there are trusted keys and no checkpoint that they could have signed, so that nothing ties
// the events to what others see.
var ErrNoCheckpoint = errors.New("auditor: no checkpoint to compare with")

// ErrUnchecked means that a checkpoint could not be compared with the ledger, and that nothing differs otherwise. The
// report has the rest.
var ErrUnchecked = errors.New("auditor: a checkpoint could not be compared")

// ErrOther means that a directory holds the work on another ledger.
var ErrOther = errors.New("auditor: the directory holds another audit")

// ErrChanged means that the files of an earlier run are not as that run left them.
var ErrChanged = errors.New("auditor: the directory was changed since the earlier run")

// Progress is called during long stages.
type Progress func(stage string, done, total uint64)
