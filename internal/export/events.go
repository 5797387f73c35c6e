package export

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/wire"
)

// EventOf returns the line of an export for an event that a node gave.
func EventOf(e *wire.EventAnswer) Event {
	return Event{Seq: e.Seq, Kind: e.Kind, Index: e.Index, Term: e.Term, RawTime: e.RawTime, LogTime: e.LogTime,
		Leaf: e.Leaf, LeafHash: e.LeafHash, Payload: e.Payload}
}

// Check hashes the payload and returns the leaf of the event. fault says in words what contradicts what, "" for
// nothing.
func (e *Event) Check() (leaf event.Leaf, sum [32]byte, fault string) {
	leaf = event.Leaf{Format: e.Leaf.Format, Seq: e.Leaf.Seq, RawTime: e.Leaf.RawTimeNS, Kind: event.Kind(e.Leaf.Kind),
		PayloadSHA256: sumBytes(e.Payload)}
	sum = leaf.Hash()
	switch {
	case leaf.Format != event.LeafFormat || leaf.Seq != e.Seq || e.Kind != leaf.Kind.String() ||
		wire.TimeNS(leaf.RawTime) != e.RawTime:
		fault = "its leaf says other things than the event"
	case hex.EncodeToString(leaf.PayloadSHA256[:]) != e.Leaf.PayloadSHA256:
		fault = "the payload does not hash to what its leaf says"
	case hex.EncodeToString(sum[:]) != e.LeafHash:
		fault = "the leaf does not hash to its hash"
	}
	return leaf, sum, fault
}

// ReadManifest reads the manifest of an export.
func ReadManifest(dir string) (*Manifest, error) {
	f, err := os.Open(filepath.Join(dir, ManifestFile))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(text) > maxManifest {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrFormat, ManifestFile, maxManifest)
	}
	return ParseManifest(text)
}

// EachEvent calls fn with the events of an export, as they stand in its file. It checks none of them.
func EachEvent(ctx context.Context, dir string, fn func(*Event) error) error {
	events, err := openLines[Event](dir, EventsFile)
	if err != nil {
		return err
	}
	defer events.file.Close()
	for {
		e, err := events.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if err := fn(e); err != nil {
			return err
		}
	}
}
