// Package projections holds the rules of the ledger. It folds events into two kinds of state. Control says
// which keys, policies, tokens and freezes are in force at each event. Generation says what the ledger answers
// to every submission: which came first, how far each shard's epochs have advanced, what was accepted and why.
//
// # A fold
//
// A fold is a function of the log alone. It reads the event, the rows written so far and the control state as
// of the event. It reads no clock, environment, node identity or random number, does not depend on map order
// and uses no floating point. Replicas and later recounts therefore reach identical bytes. Package fsm drives
// the folds:
//
//	control.Fold(tx, item)                      // derived/: operators' events
//	view := control.For(generation)
//	projections.Prepare(item, keys, view)         // parallel: decode, signature, verdict
//	result, err := gen.Fold(tx, item, view)     // in order: identity, epochs, outcome
//
// Prepare computes what needs no other event. Fold finishes a submission in this order, and the first check that
// fails names the reason:
//
//	validate     structure, signature and revocation
//	key terms    shards and time for which the key is valid
//	replay       the same signed values within the TTL get the outcome that stands
//	freezes      an operator has frozen the shard, the key or everything
//	conflict     the id is occupied by other signed values
//	rules        a rule of the policy may refuse
//	epochs       equivocation, regression or late epoch
//	content      the verdict of the policy
//
// An accepted or escalated submission occupies its id. After the TTL the same signed values are judged again. A
// refused submission leaves no trace in ids and epochs.
//
// # Bytes
//
// A generation is a set of rows in an ordered key-value store. A key is one byte for its space and big-endian
// fields:
//
//	p                          position: last entry, last event, log time, running digest
//	r seq                      outcome row of a submission, head and leaf hash of an operator's event
//	i pcs_id                   id row: first submission and the one whose judgement stands
//	s shard                    shard row: high-water mark and counters
//	e shard number, epoch      root that an accepted submission set
//	d seq                      running digest, for each 256th event
//	S K R O                    indexes by shard, key, reason and outcome
//
// An outcome row holds a digest of the other rows that the event wrote. The running digest chains the rows of
// all events. It leaves out the name of the receiving node and the sentences about reasons, whose wording may
// change. Nodes compare running digests through the log:
//
//	digest[0]   = 32 zero bytes
//	digest[seq] = SHA-256(digest[seq-1] || SHA-256 of row seq)       submission
//	digest[seq] = SHA-256(digest[seq-1] || Merkle leaf hash of seq)  operator's event
//
// docs/formats-projections.md gives the layout of every row and key.
//
// # Generations
//
// A generation judges under a schedule of policies. When an operator starts a recount, the new generation
// follows the schedule of the active one up to a given event, and the new policy from there on. Its differences
// to the active one are flips (Differing, NewFlip). Activating it changes which generation answers, and never
// changes a row of another one.
//
// # Limits
//
// The package opens no database and starts no goroutine. It writes through Tx and reads through Store, which
// the caller implements. One goroutine folds a Generation. A Control may also be read concurrently. After an
// error of Fold, the state in memory may be ahead of the store, and both must be loaded again. An event kind or
// signature facts that this release does not know stop the fold (ErrUnknownKind, ErrNewer): guessing would make
// nodes differ.
package projections
