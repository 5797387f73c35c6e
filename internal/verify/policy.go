package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/nano"
)

// Errors of policy documents.
var (
	// ErrPolicy is wrapped by every error about a policy document.
	ErrPolicy = errors.New("verify: bad policy")
	// ErrUnknownKernel means that the document names a kernel that this binary does not have.
	ErrUnknownKernel = errors.New("verify: unknown kernel")
)

// The words of Epochs.OnRegression: the treatment of a new record below the shard's mark.
const (
	RegressionEscalate = "escalate"
	RegressionReject   = "reject"
	RegressionAllow    = "allow"
)

// MaxPolicyBytes bounds a policy document.
const MaxPolicyBytes = 256 << 10

// maxTTL keeps log time plus TTL inside an int64 of nanoseconds: 100 years of 365 days.
const maxTTL = int64(100*365*24) * 3600 * 1_000_000_000

// Params are the numbers of a policy. All but DedupTTL are multiples of 1e-9.
type Params struct {
	TolD, TolCoh, TolBudget        nano.Nano // tolerances, never negative
	Alpha, Beta, Gamma, Base, D0   nano.Nano // budget = Base + Alpha(1-r) + Beta max(0, D-D0) + Gamma coh
	StickyCoh, StickyD, NonStickyD nano.Nano // regime thresholds
	DedupTTL                       int64     // nanoseconds, above zero
}

// SignatureRules select the signatures that a policy accepts.
type SignatureRules struct {
	// Required refuses a record without a valid signature. If it is false, a record that carries no signature
	// passes, but one with a signature that does not verify never does.
	Required   bool
	Algorithms []Alg // ascending, without repeats
	Profiles   pcs.ProfileSet
	Schemes    pcs.SchemeSet // schemes that are accepted
}

// EpochRules determine how the fold treats epochs out of order.
type EpochRules struct {
	OnRegression string // RegressionEscalate, RegressionReject or RegressionAllow
	// LateWindow accepts an epoch that is at most so far below the mark and that no accepted record has used. 0
	// accepts none.
	LateWindow int64
}

// MaxLateWindow bounds EpochRules.LateWindow, in epochs.
const MaxLateWindow = 4096

// Policy is one policy document.
type Policy struct {
	Kernel    int
	Params    Params
	Signature SignatureRules
	Epochs    EpochRules
	Versions  []string // of records; ascending, without repeats
	Rules     []Rule   // in order, the first match decides; Validate resolves the fields
}

// DefaultPolicy returns the policy of the published contract: kernel 1, tolerances 0.15,
// 0.05 and 0.01, both algorithms, the default profiles, fourteen days of deduplication.
func DefaultPolicy() Policy {
	return Policy{
		Kernel: 1,
		Params: Params{
			TolD: 150_000_000, TolCoh: 50_000_000, TolBudget: 10_000_000,
			Alpha: 300_000_000, Beta: 500_000_000, Gamma: 200_000_000, Base: 100_000_000, D0: 2_200_000_000,
			StickyCoh: 700_000_000, StickyD: 1_500_000_000, NonStickyD: 2_600_000_000,
			DedupTTL: 14 * 24 * 3600 * 1_000_000_000,
		},
		Signature: SignatureRules{
			Required:   true,
			Algorithms: []Alg{HMACSHA256, Ed25519},
			Profiles:   pcs.DefaultProfiles,
			Schemes:    pcs.AllSchemes,
		},
		Epochs:   EpochRules{OnRegression: RegressionEscalate},
		Versions: []string{pcs.DefaultVersion},
	}
}

// policyDoc is the wire form. Members are declared in the byte order of their names, which is the order that
// encoding/json writes. Every number travels as decimal text.
type policyDoc struct {
	Epochs struct {
		LateWindow   string `json:"late_window,omitempty"` // omitted if it is 0
		OnRegression string `json:"on_regression"`
	} `json:"epochs"`
	Kernel    string    `json:"kernel"`
	Params    paramsDoc `json:"params"`
	Rules     []Rule    `json:"rules"`
	Signature struct {
		Algorithms []string `json:"algorithms"`
		Profiles   []string `json:"profiles"`
		Required   bool     `json:"required"`
		Schemes    []string `json:"schemes,omitempty"` // omitted if all are accepted, as in older policies
	} `json:"signature"`
	Versions []string `json:"versions,omitempty"` // omitted if it lists the default version alone
}

type paramsDoc struct {
	Alpha      string `json:"alpha"`
	Base       string `json:"base"`
	Beta       string `json:"beta"`
	D0         string `json:"d0"`
	DedupTTL   string `json:"dedup_ttl_ns"`
	Gamma      string `json:"gamma"`
	NonStickyD string `json:"non_sticky_d"`
	StickyCoh  string `json:"sticky_coh"`
	StickyD    string `json:"sticky_d"`
	TolBudget  string `json:"tol_budget"`
	TolCoh     string `json:"tol_coh"`
	TolD       string `json:"tol_d"`
}

// nanos pairs the texts of the document with the numbers that they represent, in name order.
func (d *paramsDoc) nanos(p *Params) []nanoField {
	return []nanoField{
		{"alpha", &d.Alpha, &p.Alpha}, {"base", &d.Base, &p.Base}, {"beta", &d.Beta, &p.Beta},
		{"d0", &d.D0, &p.D0}, {"gamma", &d.Gamma, &p.Gamma}, {"non_sticky_d", &d.NonStickyD, &p.NonStickyD},
		{"sticky_coh", &d.StickyCoh, &p.StickyCoh}, {"sticky_d", &d.StickyD, &p.StickyD},
		{"tol_budget", &d.TolBudget, &p.TolBudget}, {"tol_coh", &d.TolCoh, &p.TolCoh}, {"tol_d", &d.TolD, &p.TolD},
	}
}

type nanoField struct {
	name string
	text *string
	nano *nano.Nano
}

// Canonical returns the one JSON text of the policy: members sorted by name, no spaces, numbers as decimal
// strings, those in 1e-9 with nine decimals, lists in ascending order except the rules. In strings <, >, &,
// U+2028 and U+2029 are written as \u escapes.
func (p Policy) Canonical() []byte {
	var d policyDoc
	d.Epochs.OnRegression = p.Epochs.OnRegression
	if p.Epochs.LateWindow != 0 {
		d.Epochs.LateWindow = strconv.FormatInt(p.Epochs.LateWindow, 10)
	}
	d.Kernel = strconv.Itoa(p.Kernel)
	for _, f := range d.Params.nanos(&p.Params) {
		*f.text = f.nano.Fixed()
	}
	d.Params.DedupTTL = strconv.FormatInt(p.Params.DedupTTL, 10)
	d.Rules = append([]Rule{}, p.Rules...)
	d.Signature.Required = p.Signature.Required
	d.Signature.Algorithms, d.Signature.Profiles = []string{}, []string{}
	algs := slices.Clone(p.Signature.Algorithms)
	slices.Sort(algs)
	for _, a := range slices.Compact(algs) {
		d.Signature.Algorithms = append(d.Signature.Algorithms, a.String())
	}
	for _, pr := range p.Signature.Profiles.Slice() {
		d.Signature.Profiles = append(d.Signature.Profiles, pr.String())
	}
	if p.Signature.Schemes != pcs.AllSchemes {
		for _, v := range p.Signature.Schemes.Slice() {
			d.Signature.Schemes = append(d.Signature.Schemes, v.String())
		}
	}
	if p.OtherVersions() {
		d.Versions = slices.Compact(slices.Sorted(slices.Values(p.Versions)))
	}
	b, err := json.Marshal(&d)
	if err != nil { // strings, bools, lists of strings and expressions always marshal
		panic("verify: policy does not marshal: " + err.Error())
	}
	return b
}

// OtherVersions reports whether the policy accepts records of other versions than the default one.
func (p Policy) OtherVersions() bool {
	return slices.ContainsFunc(p.Versions, func(v string) bool { return v != pcs.DefaultVersion })
}

// ID returns the SHA-256 of the canonical form, which identifies the policy.
func (p Policy) ID() [32]byte { return sha256.Sum256(p.Canonical()) }

// ParsePolicy decodes a policy document. It accepts exactly the canonical form of a valid policy, byte for
// byte, so that one policy has one id. Errors wrap ErrPolicy, and also ErrUnknownKernel if this binary lacks
// the kernel.
func ParsePolicy(b []byte) (Policy, error) {
	if len(b) > MaxPolicyBytes {
		return Policy{}, fmt.Errorf("%w: larger than %d bytes", ErrPolicy, MaxPolicyBytes)
	}
	var d policyDoc
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return Policy{}, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	p, err := d.policy()
	if err != nil {
		return Policy{}, err
	}
	if err := p.Validate(); err != nil {
		return Policy{}, err
	}
	if !bytes.Equal(p.Canonical(), b) {
		return Policy{}, fmt.Errorf("%w: not in canonical form", ErrPolicy)
	}
	return p, nil
}

func (d *policyDoc) policy() (Policy, error) {
	var p Policy
	var err error
	if p.Kernel, err = strconv.Atoi(d.Kernel); err != nil {
		return p, fmt.Errorf("%w: kernel: %w", ErrPolicy, err)
	}
	if len(d.Rules) != 0 {
		p.Rules = d.Rules
	}
	for _, f := range d.Params.nanos(&p.Params) {
		if *f.nano, err = nano.Parse(*f.text); err != nil {
			return p, fmt.Errorf("%w: params.%s: %w", ErrPolicy, f.name, err)
		}
	}
	if p.Params.DedupTTL, err = strconv.ParseInt(d.Params.DedupTTL, 10, 64); err != nil {
		return p, fmt.Errorf("%w: params.dedup_ttl_ns: %w", ErrPolicy, err)
	}
	p.Epochs.OnRegression = d.Epochs.OnRegression
	if d.Epochs.LateWindow != "" {
		if p.Epochs.LateWindow, err = strconv.ParseInt(d.Epochs.LateWindow, 10, 64); err != nil {
			return p, fmt.Errorf("%w: epochs.late_window: %w", ErrPolicy, err)
		}
	}
	if p.Versions = d.Versions; len(p.Versions) == 0 {
		p.Versions = []string{pcs.DefaultVersion}
	}
	p.Signature.Required = d.Signature.Required
	for _, name := range d.Signature.Algorithms {
		a, err := ParseAlg(name)
		if err != nil {
			return p, fmt.Errorf("%w: signature.algorithms: %w", ErrPolicy, err)
		}
		p.Signature.Algorithms = append(p.Signature.Algorithms, a)
	}
	var profiles []pcs.Profile
	for _, name := range d.Signature.Profiles {
		pr, err := pcs.ParseProfile(name)
		if err != nil {
			return p, fmt.Errorf("%w: signature.profiles: %w", ErrPolicy, err)
		}
		profiles = append(profiles, pr)
	}
	p.Signature.Profiles = pcs.ProfilesOf(profiles...)
	p.Signature.Schemes, err = readSchemes(d.Signature.Schemes)
	return p, err
}

// readSchemes decodes signature.schemes. A document without it accepts all schemes.
func readSchemes(names []string) (pcs.SchemeSet, error) {
	if len(names) == 0 {
		return pcs.AllSchemes, nil
	}
	var all []pcs.Scheme
	for _, name := range names {
		v, err := pcs.ParseScheme(name)
		if err != nil {
			return 0, fmt.Errorf("%w: signature.schemes: %w", ErrPolicy, err)
		}
		all = append(all, v)
	}
	return pcs.SchemesOf(all...), nil
}

func (e EpochRules) validate() error {
	switch e.OnRegression {
	case RegressionEscalate, RegressionReject, RegressionAllow:
	default:
		return fmt.Errorf("%w: epochs.on_regression: %q", ErrPolicy, e.OnRegression)
	}
	if e.LateWindow < 0 || e.LateWindow > MaxLateWindow {
		return fmt.Errorf("%w: epochs.late_window: outside 0 to %d", ErrPolicy, MaxLateWindow)
	}
	if e.LateWindow > 0 && e.OnRegression == RegressionAllow {
		return fmt.Errorf("%w: epochs.late_window: on_regression: allow accepts every late epoch; leave "+
			"late_window out",
			ErrPolicy)
	}
	return nil
}

// MaxVersions bounds Policy.Versions. maxVersion bounds the bytes of one version.
const (
	MaxVersions = 16
	maxVersion  = 32
)

// VersionWord reports whether a policy can list this version of records.
func VersionWord(s string) bool {
	ok := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune(".-+_", c)
	}
	return s != "" && len(s) <= maxVersion && !strings.ContainsFunc(s, func(c rune) bool { return !ok(c) })
}

// Validate returns an error if this binary cannot judge under the policy. It wraps ErrPolicy, and also
// ErrUnknownKernel if that is the reason.
func (p Policy) Validate() error {
	if kernelOf(p.Kernel) == nil {
		return fmt.Errorf("%w: %w: %d", ErrPolicy, ErrUnknownKernel, p.Kernel)
	}
	var d paramsDoc
	for _, f := range d.nanos(&p.Params) {
		if v := *f.nano; v > maxParam || v < -maxParam {
			return fmt.Errorf("%w: params.%s: beyond %d", ErrPolicy, f.name, int64(maxParam/nano.One))
		}
	}
	if p.Params.TolD < 0 || p.Params.TolCoh < 0 || p.Params.TolBudget < 0 {
		return fmt.Errorf("%w: params: a tolerance is negative", ErrPolicy)
	}
	if p.Params.DedupTTL <= 0 || p.Params.DedupTTL > maxTTL {
		return fmt.Errorf("%w: params.dedup_ttl_ns: outside 1 to %d", ErrPolicy, maxTTL)
	}
	if err := p.Epochs.validate(); err != nil {
		return err
	}
	if len(p.Versions) == 0 || len(p.Versions) > MaxVersions ||
		slices.ContainsFunc(p.Versions, func(v string) bool { return !VersionWord(v) }) {
		return fmt.Errorf("%w: versions: must be 1 to %d words of 1 to %d of a-z, A-Z, 0-9, point, -, + and _",
			ErrPolicy, MaxVersions, maxVersion)
	}
	if len(p.Signature.Algorithms) == 0 || len(p.Signature.Profiles.Slice()) == 0 ||
		len(p.Signature.Schemes.Slice()) == 0 {
		return fmt.Errorf("%w: signature: no algorithm, no profile or no scheme", ErrPolicy)
	}
	for _, a := range p.Signature.Algorithms {
		if a != HMACSHA256 && a != Ed25519 {
			return fmt.Errorf("%w: signature.algorithms: %d", ErrPolicy, a)
		}
	}
	return validRules(p.Rules)
}
