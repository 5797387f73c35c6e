package verify

import (
	"github.com/recount-ledger/recount/internal/pcs"
)

// kernelFunc runs the content checks of one kernel: it fills the recomputed values and
// returns the failed checks in order.
type kernelFunc func(p *Params, rec *pcs.Record, t pcs.Tuple, v *Verdict)

// kernelOf returns the kernel of that number, nil when this binary lacks it.
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

// Judge runs structure, signature, content and rules for one record under kernel p.Kernel;
// logTime (Unix nanoseconds) is the log time of its event, which rules can read. It
// is pure and never panics: a panic inside gives Escalated with kernel_fault, and so does
// a kernel that this binary lacks (see Policy.Validate). f are the facts that Check or the
// log gave; they count only when the policy allows their algorithm and profile.
//
// A record whose only structural fault is its pcs_id is judged by its signature first:
// bad_signature unless it verifies, then id_mismatch.
func Judge(p Policy, rec *pcs.Record, f Facts, logTime int64) Verdict {
	return judge(&p, rec, f, logTime, kernelOf(p.Kernel))
}

func judge(p *Policy, rec *pcs.Record, f Facts, logTime int64, kernel kernelFunc) Verdict {
	if v, refused := admit(p, rec, f); refused {
		return v
	}
	return runKernel(p, rec, f, logTime, kernel)
}

// admit decides structure and signature. It reads flags only, so that no fault in a
// kernel can turn an unsigned record into an escalated one.
func admit(p *Policy, rec *pcs.Record, f Facts) (Verdict, bool) {
	if rec == nil {
		return refuse(ReasonMalformed, "no record"), true
	}
	if rec.Fault != nil && rec.Fault.Class != pcs.ClassIDMismatch {
		return refuse(structural(rec.Fault.Class), faultText(rec.Fault)), true
	}
	if !signed(p, rec, f) {
		return refuse(ReasonBadSignature, "the signature does not verify"), true
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

// signed reports whether the record passes the policy's signature rules.
func signed(p *Policy, rec *pcs.Record, f Facts) bool {
	if !f.Valid() {
		return !p.Signature.Required && rec.Sig == ""
	}
	if !p.Signature.Profiles.Has(f.Profile) {
		return false
	}
	for _, a := range p.Signature.Algorithms {
		if a == f.Alg {
			return true
		}
	}
	return false
}

func refuse(r Reason, evidence string) Verdict {
	return Verdict{Outcome: Refused, Reason: r, Reasons: []Reason{r}, Evidence: evidence}
}

// runKernel judges the content. Values of an unsigned record are read in the documented
// form, profile f9.
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
	kernel(&p.Params, rec, t, &v)
	settle(&v)
	if len(p.Rules) > 0 {
		applyRules(p.Rules, &scope{rec: rec, facts: f, t: t, v: &v, logTime: logTime})
	}
	return v
}

// settle derives outcome, flag and first reason from the failed checks.
func settle(v *Verdict) {
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
