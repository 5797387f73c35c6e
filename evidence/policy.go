package evidence

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxPolicy bounds the witnesses, and the groups, of a policy.
const maxPolicy = 32

// Witness is a witness of a policy.
type Witness struct {
	Name string // within the policy
	Key  WitnessKey
	URL  string // its submission prefix, "" for none; no slash at the end
}

// WitnessPolicy says whose cosignatures make a checkpoint one that others were shown too.
type WitnessPolicy struct {
	Ledgers   []PublicKey // whose checkpoints count; none if others know them
	Witnesses []Witness

	groups map[string]group
	quorum string // of a witness or group; "none"
}

// group counts as a witness when at least k of its members do.
type group struct {
	k       int
	members []string
}

const noQuorum = "none"

// ParseWitnessPolicy reads a C2SP tlog-policy:
//
//	witness north witness.example/1+2a6d1b0f+BA9y… https://witness.example
//	witness south other.example+90fe1c52+BJk3… https://other.example/witness
//	group both all north south
//	quorum both
//
// A group has all, any, or a number of its members. Lines that begin with # say nothing. Errors are ErrFormat, with
// the line.
func ParseWitnessPolicy(text []byte) (p WitnessPolicy, err error) {
	if i := bytes.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' || r == 0x7f }); i >= 0 {
		return p, fmt.Errorf("%w: a witness policy has no control characters", ErrFormat)
	}
	r := policyReader{names: map[string]bool{}}
	r.p.groups = map[string]group{}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' })
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := r.line(words[0], words[1:]); err != nil {
			return WitnessPolicy{}, fmt.Errorf("%w: line %d of a witness policy: %w", ErrFormat, n, err)
		}
	}
	if r.p.quorum == "" {
		return WitnessPolicy{}, fmt.Errorf("%w: a witness policy has a line \"quorum NAME\"", ErrFormat)
	}
	return r.p, nil
}

// policyReader reads the lines of a policy.
type policyReader struct {
	p     WitnessPolicy
	names map[string]bool // of witnesses and groups; true if a group has them
}

func (r *policyReader) line(kind string, words []string) error {
	switch {
	case kind == "log" && (len(words) == 1 || len(words) == 2):
		k, err := ParsePublicKey(words[0])
		if err != nil {
			return err
		}
		r.p.Ledgers = append(r.p.Ledgers, k)
		return nil
	case kind == "witness" && (len(words) == 2 || len(words) == 3):
		return r.witness(words)
	case kind == "group" && len(words) >= 3:
		return r.group(words)
	case kind == "quorum" && len(words) == 1:
		return r.quorum(words[0])
	}
	return fmt.Errorf("want \"log KEY\", \"witness NAME KEY [URL]\", \"group NAME all|any|NUMBER NAME...\" " +
		"or \"quorum NAME\"")
}

// define takes a new name.
func (r *policyReader) define(name string) error {
	if _, there := r.names[name]; there || name == noQuorum {
		return fmt.Errorf("the name %s is taken", name)
	}
	r.names[name] = false
	return nil
}

func (r *policyReader) witness(words []string) error {
	k, err := ParseWitnessKey(words[1])
	if err != nil {
		return err
	}
	if len(r.p.Witnesses) == maxPolicy {
		return fmt.Errorf("more than %d witnesses", maxPolicy)
	}
	if slices.ContainsFunc(r.p.Witnesses, func(w Witness) bool { return bytes.Equal(w.Key.key, k.key) }) {
		return fmt.Errorf("the key of %s is that of another witness too", words[0])
	}
	w := Witness{Name: words[0], Key: k}
	if len(words) == 3 {
		u, err := url.Parse(words[2])
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" ||
			u.User != nil {
			return fmt.Errorf("%q is no URL such as https://witness.example", words[2])
		}
		w.URL = strings.TrimRight(words[2], "/")
	}
	r.p.Witnesses = append(r.p.Witnesses, w)
	return r.define(words[0])
}

func (r *policyReader) group(words []string) error {
	g := group{members: words[2:]}
	switch n, err := strconv.Atoi(words[1]); {
	case words[1] == "all":
		g.k = len(g.members)
	case words[1] == "any":
		g.k = 1
	case err != nil || strconv.Itoa(n) != words[1] || n < 1 || n > len(g.members):
		return fmt.Errorf("%q is neither all, any nor a number of the %d members", words[1], len(g.members))
	default:
		g.k = n
	}
	for _, m := range g.members {
		if taken, there := r.names[m]; !there || taken {
			return fmt.Errorf("%s is no witness or group from the lines before, or is in a group already", m)
		}
		r.names[m] = true
	}
	if len(r.p.groups) == maxPolicy {
		return fmt.Errorf("more than %d groups", maxPolicy)
	}
	r.p.groups[words[0]] = g
	return r.define(words[0])
}

func (r *policyReader) quorum(name string) error {
	if _, there := r.names[name]; !there && name != noQuorum {
		return fmt.Errorf("%s is no witness or group from the lines before", name)
	}
	if r.p.quorum != "" {
		return fmt.Errorf("a second quorum")
	}
	r.p.quorum = name
	return nil
}

// Keys returns the keys of the witnesses.
func (p WitnessPolicy) Keys() []WitnessKey {
	keys := make([]WitnessKey, len(p.Witnesses))
	for i, w := range p.Witnesses {
		keys[i] = w.Key
	}
	return keys
}

// Reached reports whether the cosignatures are those of a quorum. Each witness counts once.
func (p WitnessPolicy) Reached(list []Cosignature) bool {
	signed := map[string]bool{noQuorum: true}
	for _, w := range p.Witnesses {
		signed[w.Name] = slices.ContainsFunc(list, func(c Cosignature) bool { return c.Key.String() == w.Key.String() })
	}
	return p.has(p.quorum, signed)
}

func (p WitnessPolicy) has(name string, signed map[string]bool) bool {
	g, isGroup := p.groups[name]
	if !isGroup {
		return signed[name]
	}
	n := 0
	for _, m := range g.members {
		if p.has(m, signed) {
			n++
		}
	}
	return n >= g.k
}
