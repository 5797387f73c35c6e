// Package projections folds events into answers: which keys and policies are in force (Control), and what the ledger
// says of every submission (Generation): who was first, how far each shard's epochs have advanced, what was accepted and
// why. It writes rows through the small store interface that it owns and reads them back.
//
// It refuses to read anything but the events, the rows and the control state as of the event: no clock, randomness,
// environment, map order or node identity, and no floating point. It opens no database and starts no goroutine. A fold
// is a function of the log alone, so replicas and later recounts reach identical bytes. docs/formats-projections.md gives
// the layout of every row and key.
package projections
