package main

import (
	"fmt"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/wire"
)

// witnesses are those that must have cosigned a checkpoint, and how many of them.
type witnesses struct {
	keys   []evidence.WitnessKey
	names  int // different ones of the keys
	quorum int
}

// readWitnesses reads the file that --witness names. No file demands nothing.
func readWitnesses(path string, quorum int) (w witnesses, err error) {
	if path == "" && quorum != 0 {
		return w, usagef("--quorum needs --witness: a file with the public keys of witnesses")
	}
	text, err := readSetting("--witness", path)
	if err != nil || text == nil {
		return w, err
	}
	if w.keys, err = evidence.ParseWitnessKeys(string(text)); err != nil {
		return w, usagef("--witness %s: %w", path, err)
	}
	names := map[string]bool{}
	for _, k := range w.keys {
		names[k.Name()] = true
	}
	w.names = len(names)
	if w.quorum = quorum; quorum == 0 {
		w.quorum = w.names
	}
	if w.quorum < 1 || w.quorum > w.names {
		return w, usagef("--quorum %d: the file of --witness has %d witnesses", quorum, w.names)
	}
	return w, nil
}

// check returns a line for each witness that cosigned a checkpoint. Too few are evidence.ErrSignature.
func (w witnesses) check(note []byte) (lines []string, err error) {
	if len(w.keys) == 0 {
		return nil, nil
	}
	list, err := evidence.Cosignatures(note, w.keys...)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{} // a witness that changes its key cosigns with both
	for _, c := range list {
		names[c.Key.Name()] = true
	}
	if len(names) < w.quorum {
		return nil, fmt.Errorf("%w: %d of %d witnesses cosigned its checkpoint, %d must have", evidence.ErrSignature,
			len(names), w.names, w.quorum)
	}
	for _, c := range list {
		lines = append(lines, fmt.Sprintf("the witness %s cosigned the checkpoint at %s", c.Key, wire.Time(c.Time)))
	}
	return lines, nil
}
