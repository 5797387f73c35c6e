package pcs

import (
	"math"
	"strconv"
)

// maxPlainCounts bounds N_j of a plain record, because its keys are compared with each other.
const maxPlainCounts = 16

// plainRecord is a record with memory for the lists of a usual one.
type plainRecord struct {
	Record
	scales    [8]int64
	counts    [8]Count
	vector    [4]float64
	fallbacks [2]string
}

// plain reads a plain record, the form that agents send: a faultless JSON object of scheme pcs/1 with known
// members only, and in strings only printable ASCII without escapes. Its methods return false for everything
// else, and in every doubt. They never explain it, because the general decoder reads the body again.
type plain struct {
	text string
	at   int // position in text
	r    *plainRecord
	seen int // members read, bits as in decoder.seen
}

// decodePlain returns the record that the general decoder reads from a text, or nil if the text is not plain.
// The record is in r and keeps the text alive.
func decodePlain(text string, r *plainRecord) *Record {
	*r = plainRecord{}
	p := plain{text: text, r: r}
	if !p.object() {
		return nil
	}
	p.r.Signable = true
	return &p.r.Record
}

func (p *plain) object() bool {
	if !p.next('{') {
		return false
	}
	for {
		name, ok := p.str()
		if !ok || !p.next(':') || !p.signed(name) {
			return false
		}
		if !p.next(',') {
			break
		}
	}
	if !p.next('}') || p.seen&required != required {
		return false
	}
	p.space()
	return p.at == len(p.text)
}

// signed reads the value of a signed member. It leaves other members to unsigned.
func (p *plain) signed(name string) bool {
	r := p.r
	switch name {
	case "pcs_id":
		return p.once(hasPCSID) && p.hex64(&r.PCSID)
	case "merkle_root":
		return p.once(hasRoot) && p.hex64(&r.MerkleRoot)
	case "epoch":
		return p.once(hasEpoch) && p.integer(&r.Epoch) && r.Epoch >= 0
	case "shard_id":
		return p.once(hasShard) && p.word(&r.ShardID) && r.ShardID != "" && len(r.ShardID) <= MaxShardID
	case "D_hat":
		return p.once(hasDHat) && p.number(&r.DHat)
	case "coh_star":
		return p.once(hasCoh) && p.number(&r.CohStar)
	case "r":
		return p.once(hasR) && p.number(&r.R)
	case "budget":
		return p.once(hasBudget) && p.number(&r.Budget)
	}
	return p.unsigned(name)
}

func (p *plain) unsigned(name string) bool {
	r := p.r
	switch name {
	case "schema":
		return p.once(hasSchema) && p.word(&r.Schema) && r.Schema == schemaName
	case "version":
		return p.once(hasVersion) && p.word(&r.Version)
	case "regime":
		return p.once(hasRegime) && p.word(&r.Regime) &&
			(r.Regime == "sticky" || r.Regime == "mixed" || r.Regime == "non_sticky")
	case "scales":
		return p.once(hasScales) && p.scales()
	case "N_j":
		return p.once(hasNJ) && p.counts()
	case "v_star":
		return p.once(hasVStar) && (p.literal("null") || p.vector())
	case "seed":
		return p.once(hasSeed) && p.integer(&r.Seed)
	case "attempt":
		return p.once(hasAttempt) && p.integer(&r.Attempt)
	case "sent_at":
		return p.once(hasSentAt) && p.word(&r.SentAt) && isRFC3339(r.SentAt)
	case "ft":
		return p.once(hasFT) && p.faultTolerance()
	case "sig":
		ok := p.once(hasSig) && p.word(&r.Sig)
		r.HasSig = r.Sig != ""
		return ok
	case "sig_scheme":
		var s string
		return p.once(hasScheme) && p.word(&s) && s == "pcs/1"
	}
	return false
}

// once marks a member as read. It returns false if the member was read before.
func (p *plain) once(member int) bool {
	before := p.seen & member
	p.seen |= member
	return before == 0
}

// list reads an array. It calls each for every element.
func (p *plain) list(each func() bool) bool {
	if !p.next('[') {
		return false
	}
	if p.next(']') {
		return true
	}
	for each() {
		if !p.next(',') {
			return p.next(']')
		}
	}
	return false
}

func (p *plain) scales() bool {
	r := p.r
	r.Scales = r.scales[:0]
	return p.list(func() bool {
		var s int64
		ok := p.integer(&s) && s >= 1 && len(r.Scales) < MaxScales
		r.Scales = append(r.Scales, s)
		return ok
	}) && len(r.Scales) > 0
}

func (p *plain) vector() bool {
	r := p.r
	return p.list(func() bool {
		_, f, ok := p.double()
		if r.VStar == nil {
			r.VStar = r.vector[:0]
		}
		r.VStar = append(r.VStar, f)
		return ok
	})
}

func (p *plain) counts() bool {
	if !p.next('{') {
		return false
	}
	if p.next('}') {
		return true
	}
	r := p.r
	r.NJ = r.counts[:0]
	for {
		var c Count
		if !p.word(&c.Key) || !p.next(':') || !p.integer(&c.N) || len(r.NJ) == maxPlainCounts {
			return false
		}
		for i := range r.NJ {
			if r.NJ[i].Key == c.Key {
				return false
			}
		}
		r.NJ = append(r.NJ, c)
		if !p.next(',') {
			return p.next('}')
		}
	}
}

// faultTolerance reads ft, which has all of its four members and no others.
func (p *plain) faultTolerance() bool {
	const outbox, degraded, fallbacks, skew, all = 1, 2, 4, 8, 15
	if !p.next('{') {
		return false
	}
	r, seen := p.r, 0
	for {
		name, ok := p.str()
		if !ok || !p.next(':') {
			return false
		}
		member := 0
		switch name {
		case "outbox_seq":
			member, ok = outbox, p.integer(&r.OutboxSeq)
		case "degraded":
			r.Degraded = p.literal("true")
			member, ok = degraded, r.Degraded || p.literal("false")
		case "fallbacks":
			member, ok = fallbacks, p.literal("null") || p.fallbacks()
		case "clock_skew_ms":
			member, ok = skew, p.integer(&r.ClockSkewMS)
		}
		if !ok || member == 0 || seen&member != 0 {
			return false
		}
		seen |= member
		if !p.next(',') {
			return p.next('}') && seen == all
		}
	}
}

func (p *plain) fallbacks() bool {
	r := p.r
	return p.list(func() bool {
		var s string
		ok := p.word(&s)
		if r.Fallbacks == nil {
			r.Fallbacks = r.fallbacks[:0]
		}
		r.Fallbacks = append(r.Fallbacks, s)
		return ok
	})
}

func (p *plain) word(into *string) (ok bool) {
	*into, ok = p.str()
	return ok
}

func (p *plain) hex64(into *string) bool { return p.word(into) && isHex64(*into) }

// number reads a signed number.
func (p *plain) number(into *Number) (ok bool) {
	into.Literal, into.Double, ok = p.double()
	return ok && math.Abs(into.Double) <= MaxMagnitude
}

// integer reads an integer. A point or an exponent after its digits stays, and is no token that can follow.
func (p *plain) integer(into *int64) bool {
	p.space()
	s, i := p.text, p.at
	negative := i < len(s) && s[i] == '-'
	if negative {
		i++
	}
	n, end, ok := digits(s, i)
	if !ok {
		return false
	}
	text := s[p.at:end]
	p.at = end
	if end-i > 18 {
		var err error
		*into, err = strconv.ParseInt(text, 10, 64)
		return err == nil
	}
	if *into = int64(n); negative {
		*into = -*into
	}
	return true
}
