package pcs

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// value decodes the value of a known member. ok means that it is well formed.
func (w *decoder) value(member int, name string) (ok bool, err error) {
	r := w.r
	switch member {
	case hasPCSID:
		return w.hex64(name, &r.PCSID)
	case hasRoot:
		return w.hex64(name, &r.MerkleRoot)
	case hasEpoch:
		if ok, err = w.integer(name, &r.Epoch); ok && r.Epoch < 0 {
			w.fault(name, "must not be negative")
			return false, nil
		}
		return ok, err
	case hasShard:
		return w.shard(name)
	case hasDHat:
		return w.number(name, &r.DHat)
	case hasCoh:
		return w.number(name, &r.CohStar)
	case hasR:
		return w.number(name, &r.R)
	case hasBudget:
		return w.number(name, &r.Budget)
	case hasSeed:
		return w.integer(name, &r.Seed)
	case hasAttempt:
		return w.integer(name, &r.Attempt)
	case hasScales:
		return w.scales(name)
	case hasNJ:
		return w.counts(name)
	case hasVStar:
		return w.vector(name)
	case hasFT:
		return w.faultTolerance(name)
	}
	return w.word(member, name)
}

// word decodes the members that are plain strings.
func (w *decoder) word(member int, name string) (ok bool, err error) {
	r := w.r
	var s string
	if ok, err = w.text(name, &s); !ok {
		return false, err
	}
	switch member {
	case hasSchema:
		r.Schema, ok = s, s == schemaName
	case hasVersion:
		r.Version = s
	case hasRegime:
		r.Regime, ok = s, s == "sticky" || s == "mixed" || s == "non_sticky"
	case hasSentAt:
		r.SentAt, ok = s, isRFC3339(s)
	case hasSig:
		r.Sig, r.HasSig = s, s != ""
	case hasScheme:
		r.Scheme, ok = schemeOf(s), schemeOf(s) != UnknownScheme
	}
	if !ok {
		w.fault(name, wordReasons[member])
	}
	return ok, nil
}

var wordReasons = map[int]string{
	hasSchema: "must be " + schemaName,
	hasRegime: "must be sticky, mixed or non_sticky",
	hasSentAt: "is not an RFC 3339 date-time with a zone",
	hasScheme: "must be pcs/1 or pcs/2",
}

// text decodes a string.
func (w *decoder) text(name string, into *string) (ok bool, err error) {
	if w.d.PeekKind() != '"' {
		return false, w.wrongType(name, "must be a string")
	}
	*into, err = w.str()
	return err == nil, err
}

func (w *decoder) wrongType(name, reason string) error {
	w.fault(name, reason)
	return w.skip()
}

func (w *decoder) hex64(name string, into *string) (ok bool, err error) {
	if ok, err = w.text(name, into); !ok {
		return false, err
	}
	if !isHex64(*into) {
		w.fault(name, "must be 64 hexadecimal digits")
		return false, nil
	}
	return true, nil
}

func (w *decoder) shard(name string) (ok bool, err error) {
	if ok, err = w.text(name, &w.r.ShardID); !ok {
		return false, err
	}
	if why := CheckShardID(w.r.ShardID); why != "" {
		w.fault(name, why)
		return false, nil
	}
	return true, nil
}

// CheckShardID returns why no record can have this shard_id, or "".
func CheckShardID(id string) string {
	switch {
	case id == "":
		return "must not be empty"
	case len(id) > MaxShardID:
		return "must have at most " + strconv.Itoa(MaxShardID) + " bytes"
	case !utf8.ValidString(id):
		return "must be UTF-8"
	case hasControl(id):
		return "must not contain control characters"
	}
	return ""
}

// literal reads the text of a number.
func (w *decoder) literal(name string) (text string, ok bool, err error) {
	if w.d.PeekKind() != '0' {
		return "", false, w.wrongType(name, "must be a number")
	}
	text, err = w.raw()
	return text, err == nil, err
}

// double parses a number. A literal beyond the double range makes the whole body malformed.
func (w *decoder) double(name, text string) (float64, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) {
		return 0, w.malformed(name, "the number is outside the range of a double")
	}
	return f, nil
}

func (w *decoder) number(name string, into *Number) (ok bool, err error) {
	text, ok, err := w.literal(name)
	if !ok {
		return false, err
	}
	if into.Double, err = w.double(name, text); err != nil {
		return false, err
	}
	into.Literal = text
	if math.Abs(into.Double) > MaxMagnitude {
		w.fault(name, "must be at most 1000000 in absolute value")
		return false, nil
	}
	return true, nil
}

func (w *decoder) integer(name string, into *int64) (ok bool, err error) {
	text, ok, err := w.literal(name)
	if !ok {
		return false, err
	}
	n, parseErr := strconv.ParseInt(text, 10, 64)
	if parseErr != nil {
		if _, err := w.double(name, text); err != nil {
			return false, err
		}
		w.fault(name, "must be an integer below 2^63, written without point or exponent")
		return false, nil
	}
	*into = n
	return true, nil
}
