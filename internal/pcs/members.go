package pcs

import (
	"strconv"
	"strings"
)

// array decodes an array. It calls each for every element until a call fails.
func (w *decoder) array(name string, each func(i int) (bool, error)) (ok bool, err error) {
	if w.d.PeekKind() != '[' {
		return false, w.wrongType(name, "must be an array")
	}
	if _, err := w.d.ReadToken(); err != nil {
		return false, err
	}
	ok = true
	for i := 0; w.d.PeekKind() != ']'; i++ {
		fine, err := each(i)
		if err != nil {
			return false, err
		}
		ok = ok && fine
	}
	_, err = w.d.ReadToken()
	return ok, err
}

func (w *decoder) scales(name string) (ok bool, err error) {
	r := w.r
	ok, err = w.array(name, func(i int) (bool, error) {
		var s int64
		fine, err := w.integer(name, &s)
		if !fine {
			return false, err
		}
		if i >= MaxScales {
			w.fault(name, "must have at most "+strconv.Itoa(MaxScales)+" entries")
			return false, nil
		}
		if s < 1 {
			w.fault(name, "every scale must be at least 1")
			return false, nil
		}
		if r.Scales == nil {
			r.Scales = make([]int64, 0, 8)
		}
		r.Scales = append(r.Scales, s)
		return true, nil
	})
	if ok && len(r.Scales) == 0 {
		w.fault(name, "must not be empty")
		return false, nil
	}
	return ok, err
}

func (w *decoder) counts(name string) (ok bool, err error) {
	if w.d.PeekKind() != '{' {
		return false, w.wrongType(name, "must be an object")
	}
	if _, err := w.d.ReadToken(); err != nil {
		return false, err
	}
	ok = true
	for i := 0; w.d.PeekKind() != '}'; i++ {
		var c Count
		if c.Key, err = w.name(); err != nil {
			return false, err
		}
		w.prefix = "N_j."
		fine, err := w.integer(shown(c.Key), &c.N)
		w.prefix = ""
		if err != nil {
			return false, err
		}
		if i >= MaxCounts {
			w.fault(name, "must have at most "+strconv.Itoa(MaxCounts)+" members")
			fine = false
		}
		if fine {
			if w.r.NJ == nil {
				w.r.NJ = make([]Count, 0, 8)
			}
			w.r.NJ = append(w.r.NJ, c)
		}
		ok = ok && fine
	}
	_, err = w.d.ReadToken()
	return ok, err
}

// shown shortens a key that the sender chose, for use in a message.
func shown(key string) string {
	const most = 40
	if len(key) <= most {
		return key
	}
	return strings.ToValidUTF8(key[:most], "") + "..."
}

func (w *decoder) vector(name string) (ok bool, err error) {
	if w.d.PeekKind() == 'n' {
		return true, w.skip()
	}
	return w.array(name, func(int) (bool, error) {
		text, fine, err := w.literal(name)
		if !fine {
			return false, err
		}
		f, err := w.double(name, text)
		if err != nil {
			return false, err
		}
		if w.r.VStar == nil {
			w.r.VStar = make([]float64, 0, 4)
		}
		w.r.VStar = append(w.r.VStar, f)
		return true, nil
	})
}

func (w *decoder) faultTolerance(name string) (ok bool, err error) {
	if w.d.PeekKind() != '{' {
		return false, w.wrongType(name, "must be an object")
	}
	if _, err := w.d.ReadToken(); err != nil {
		return false, err
	}
	ok = true
	for w.d.PeekKind() != '}' {
		member, err := w.name()
		if err != nil {
			return false, err
		}
		w.prefix = "ft."
		fine, err := w.ftMember(member)
		w.prefix = ""
		if err != nil {
			return false, err
		}
		ok = ok && fine
	}
	if _, err := w.d.ReadToken(); err != nil {
		return false, err
	}
	for i, n := range ftNames {
		if w.ft&(1<<i) == 0 {
			w.fault(name+"."+n, "is missing")
			ok = false
		}
	}
	return ok, nil
}

func (w *decoder) ftMember(name string) (ok bool, err error) {
	for i, n := range ftNames {
		if n == name {
			w.ft |= 1 << i
		}
	}
	switch name {
	case "outbox_seq":
		return w.integer(name, &w.r.OutboxSeq)
	case "clock_skew_ms":
		return w.integer(name, &w.r.ClockSkewMS)
	case "degraded":
		k := w.d.PeekKind()
		if k != 't' && k != 'f' {
			return false, w.wrongType(name, "must be true or false")
		}
		w.r.Degraded = k == 't'
		return true, w.skip()
	case "fallbacks":
		if w.d.PeekKind() == 'n' {
			return true, w.skip()
		}
		return w.array(name, func(int) (bool, error) {
			var s string
			fine, err := w.text(name, &s)
			w.r.Fallbacks = append(w.r.Fallbacks, s)
			return fine, err
		})
	}
	w.caseVariant(name, ftNames[:])
	return true, w.skip()
}

// missing reports the first required member that is missing.
func (w *decoder) missing() {
	for i, name := range memberNames {
		if required&(1<<i) != 0 && w.seen&(1<<i) == 0 {
			w.fault(name, "is missing")
			return
		}
	}
}

func isHex64(s string) bool {
	if len(s) != 64 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

// hasControl reports whether s has control characters of ISO 6429: C0, DEL and C1.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r >= 0x7f && r <= 0x9f })
}

// isRFC3339 checks the date-time of RFC 3339 section 5.6, excluding leap seconds.
func isRFC3339(s string) bool {
	if len(s) < len("2006-01-02T15:04:05Z") {
		return false
	}
	for i, form := range "0000-00-00t00:00:00" {
		c := s[i]
		if form == '0' && (c < '0' || c > '9') || form == 't' && c != 'T' && c != 't' ||
			(form == '-' || form == ':') && c != byte(form) {
			return false
		}
	}
	n := func(from, to int) int {
		v, _ := strconv.Atoi(s[from:to])
		return v
	}
	year, month, day := n(0, 4), n(5, 7), n(8, 10)
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || n(11, 13) > 23 || n(14, 16) > 59 ||
		n(17, 19) > 59 {
		return false
	}
	return isZone(afterFraction(s[19:]))
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// afterFraction cuts the fraction of a second. A point without digits stays and is not a zone.
func afterFraction(s string) string {
	if s == "" || s[0] != '.' {
		return s
	}
	end := 1
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	if end == 1 {
		return s
	}
	return s[end:]
}

func isZone(s string) bool {
	if s == "Z" || s == "z" {
		return true
	}
	if len(s) != 6 || s[0] != '+' && s[0] != '-' || s[3] != ':' {
		return false
	}
	for _, i := range []int{1, 2, 4, 5} {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s[1:3] <= "23" && s[4:6] <= "59"
}
