package event

import "encoding/binary"

// Run is a run of events in the bytes that they have in a pack. It can stand in any pack, next to other runs, because only
// the header of a pack depends on its proposer.
type Run struct {
	frames []byte
	// Count is the number of events, Payload the sum of the bytes of their payloads.
	Count, Payload int
	// First is the kind of the first event.
	First Kind
	newer bool // the first readers would misread one of the events; see Pack.Mark
}

// NewRun encodes at least one event. The kinds and payloads must be as Pack.Append demands.
func NewRun(events ...Event) Run {
	r := Run{Count: len(events), First: events[0].Kind}
	size := 0
	for _, e := range events {
		size += e.Size()
		r.add(e)
	}
	r.frames = make([]byte, 0, size)
	for _, e := range events {
		r.frames = e.append(r.frames)
	}
	return r
}

// add counts an event.
func (r *Run) add(e Event) {
	r.Payload += len(e.Payload)
	r.newer = r.newer || e.isNewer()
}

// DecodeRun decodes a pack like DecodePack, with the same errors, and also returns its events as a run. Both alias b. The
// run does not follow the header: it finds by itself whether the first readers would misread an event.
func DecodeRun(b []byte) (Run, []Event, error) {
	p, err := DecodePack(b)
	if err != nil {
		return Run{}, nil, err
	}
	r := Run{frames: b[packHeader:], Count: len(p.Events), First: p.Events[0].Kind}
	for _, e := range p.Events {
		r.add(e)
	}
	return r, p.Events, nil
}

// Join returns the pack of the events of all runs, in the bytes that Pack.Append gives it after Pack.Mark. The caller must
// respect MaxEvents and MaxPackBytes. proposedAt is the proposer's raw clock, in Unix nanoseconds.
func Join(proposedAt int64, runs ...Run) []byte {
	size, count, newer := packHeader, 0, false
	for _, r := range runs {
		size, count, newer = size+len(r.frames), count+r.Count, newer || r.newer
	}
	out := appendHeader(make([]byte, 0, size), proposedAt, count, newer)
	for _, r := range runs {
		out = append(out, r.frames...)
	}
	return out
}

func appendHeader(dst []byte, proposedAt int64, count int, newer bool) []byte {
	dst = append(dst, packMagic...)
	dst = append(dst, packFormat, 0)
	reader := uint16(packReader)
	if newer {
		reader = packNewer
	}
	dst = binary.BigEndian.AppendUint16(dst, reader)
	dst = binary.BigEndian.AppendUint64(dst, uint64(proposedAt))
	return binary.BigEndian.AppendUint32(dst, uint32(count))
}
