package verify

import (
	"slices"
	"strings"

	"github.com/recount-ledger/recount/internal/pcs"
)

// kernelFunc runs the content checks of one kernel. It returns the recomputed values and the failed checks in
// order. It takes and returns values, because pointers in the call of a func value would cost two allocations.
type kernelFunc func(p Params, rec *pcs.Record, t pcs.Tuple) Verdict

// kernelOf returns the kernel of that number, or nil if this binary lacks it.
func kernelOf(n int) kernelFunc {
	switch n {
	case 1:
		return kernel1
	case 2:
		return kernel2
	}
	return nil
}

// Kernels lists the kernels of this binary.
func Kernels() []int { return []int{1, 2} }

// Evaluate runs structure, signature, content and rules for one record under kernel p.Kernel. logTime (Unix
// nanoseconds) is the log time of its event, which rules can read. Evaluate is pure and never panics: a panic
// inside gives Escalated with kernel_fault, and so does a kernel that this binary lacks (see Policy.Validate).
//
// f are the facts that Check or the log gave. They are ignored unless they belong to the scheme that the record
// names, and the policy allows that scheme, their algorithm and, under pcs/1, a profile that writes the record
// in the same bytes as theirs. The signed values are always those of the recorded profile. Therefore they do
// not depend on the policy, and neither do repetitions and conflicts.
//
// If the only structural fault of a record is its pcs_id, the signature is checked first: bad_signature unless
// it verifies, then id_mismatch.
func Evaluate(p Policy, rec *pcs.Record, f Facts, logTime int64) Verdict {
	return evaluate(&p, rec, f, logTime, kernelOf(p.Kernel))
}

// Refuses returns the refusal that Evaluate gives for structure or signature, without running a kernel.
func Refuses(p Policy, rec *pcs.Record, f Facts) (Verdict, bool) { return admit(&p, rec, f) }

func evaluate(p *Policy, rec *pcs.Record, f Facts, logTime int64, kernel kernelFunc) Verdict {
	if v, refused := admit(p, rec, f); refused {
		return v
	}
	return runKernel(p, rec, f, logTime, kernel)
}

// admit checks structure and signature. It reads flags only, so that no fault in a kernel can turn an unsigned
// record into an escalated one.
func admit(p *Policy, rec *pcs.Record, f Facts) (Verdict, bool) {
	if rec == nil {
		return refuse(ReasonMalformed, "no record"), true
	}
	if rec.Fault != nil && rec.Fault.Class != pcs.ClassIDMismatch {
		return refuse(structural(rec.Fault.Class), faultText(rec.Fault)), true
	}
	if fault := rec.CheckVersion(p.Versions); fault != nil {
		return refuse(ReasonSchema, faultText(fault)), true
	}
	if fault := p.Signature.fault(rec, f); fault != "" {
		return refuse(ReasonBadSignature, fault), true
	}
	if fault := rec.CheckID(); fault != nil {
		return refuse(ReasonIDMismatch, faultText(fault)), true
	}
	return Verdict{}, false
}

func structural(c pcs.Class) Reason {
	switch c {
	case pcs.ClassMalformed:
		return ReasonMalformed
	case pcs.ClassIDMismatch:
		return ReasonIDMismatch
	}
	return ReasonSchema
}

func faultText(f *pcs.Fault) string {
	if f.Field == "" {
		return f.Reason
	}
	return f.Field + ": " + f.Reason
}

// fault returns why the signature does not count, or "". A fault in the record's own statements comes first and
// is reported whether or not a key verifies it. Everything else gets the same sentence, so that nobody learns
// which part was wrong.
func (s *SignatureRules) fault(rec *pcs.Record, f Facts) string {
	const bad = "the signature does not verify"
	if !f.Valid() && !s.Required && rec.Sig == "" && rec.Scheme == pcs.PCS1 {
		return ""
	}
	if fault := s.SchemeFault(rec); fault != "" {
		return fault
	}
	if !f.Valid() || f.Scheme() != rec.Scheme || !slices.Contains(s.Algorithms, f.Alg) || !s.takesProfile(rec, f) {
		return bad
	}
	return ""
}

// takesProfile reports whether a profile that the policy accepts writes the record in the same bytes as the
// recorded one. A signature tells profiles apart by their bytes only, and facts name the first profile with
// these bytes, so the name alone does not show which one the client used. Payloads are built only if the
// recorded profile itself is not accepted.
func (s *SignatureRules) takesProfile(rec *pcs.Record, f Facts) bool {
	if f.Scheme() != pcs.PCS1 || s.Profiles.Has(f.Profile) {
		return true
	}
	if !rec.Signable {
		return false
	}
	return slices.ContainsFunc(s.Profiles.Slice(), func(p pcs.Profile) bool {
		return modeAllowed(p, f.Mode) && alike(rec, f.Profile, p)
	})
}

// Counts reports whether a record with these facts passes the signature rules.
func (s *SignatureRules) Counts(rec *pcs.Record, f Facts) bool { return s.fault(rec, f) == "" }

// SchemeFault returns the message for a client whose record cannot be signed in the way that it names, or has a
// scheme that the policy does not accept. Otherwise it returns "".
func (s *SignatureRules) SchemeFault(rec *pcs.Record) string {
	if s.Schemes.Has(rec.Scheme) {
		if rec.Scheme == pcs.PCS2 && !rec.HasCanonical() {
			return "the record cannot be signed under pcs/2: it is nested too deep, or an exponent is too long"
		}
		return ""
	}
	names := make([]string, 0, 2)
	for _, v := range s.Schemes.Slice() {
		names = append(names, v.String())
	}
	return "the policy takes signatures of scheme " + strings.Join(names, ", ") + " only, and the record is of " +
		rec.Scheme.String()
}

func refuse(r Reason, evidence string) Verdict {
	return Verdict{Outcome: Refused, Reason: r, Reasons: []Reason{r}, Evidence: evidence}
}

// runKernel judges the content. Values of an unsigned record are read in the documented form, profile f9.
func runKernel(p *Policy, rec *pcs.Record, f Facts, logTime int64, kernel kernelFunc) (v Verdict) {
	defer func() {
		if recover() != nil {
			v = Verdict{Outcome: Escalated, Reason: ReasonKernelFault, Reasons: []Reason{ReasonKernelFault},
				Evidence: "the kernel failed on this record"}
		}
	}()
	profile := f.Profile
	if !f.Valid() {
		profile = pcs.F9
	}
	t := rec.Tuple(profile)
	v = kernel(p.Params, rec, t)
	decide(&v)
	if len(p.Rules) > 0 {
		s := scope{rec: rec, facts: f, t: t, v: v, logTime: logTime}
		applyRules(p.Rules, &s)
		v = s.v
	}
	return v
}

// decide derives outcome, flag and first reason from the failed checks.
func decide(v *Verdict) {
	if len(v.Reasons) == 0 {
		v.Outcome, v.Accepted, v.Reason = Accepted, true, ReasonOK
		return
	}
	v.Outcome, v.Accepted, v.Reason = Escalated, true, v.Reasons[0]
	for _, r := range v.Reasons {
		if r.clearsAccepted() {
			v.Accepted = false
		}
	}
}
