package main

import "strings"

// The stages of the table, in its order.
const (
	stageHTTP       = "TLS and HTTP"
	stageEdge       = "API: limits, metrics, answer"
	stageDecode     = "API: decode"
	stageSignature  = "API: signature"
	stagePacker     = "packer and waiting for it"
	stageFrames     = "frames between nodes"
	stageRaft       = "Raft and its messages"
	stageLog        = "log store"
	stageFoldDecode = "fold of the generation: decode"
	stageFoldSign   = "fold of the generation: signature"
	stageFoldRows   = "fold of the generation: rows"
	stageFoldJudge  = "fold of the generation: judge"
	stageFoldApply  = "fold of the generation: Pebble"
	stageFoldRest   = "fold of the generation: rest"
	stageDerived    = "fold of derived/"
	stageSteps      = "steps of both folds: Pebble"
	stagePebble     = "Pebble in the background"
	stageGC         = "garbage collector"
	stageScheduler  = "scheduler, network poller"
	stageOther      = "other"
)

var stageOrder = []string{stageHTTP, stageEdge, stageDecode, stageSignature, stagePacker, stageFrames, stageRaft, stageLog,
	stageFoldDecode, stageFoldSign, stageFoldJudge, stageFoldRows, stageFoldApply, stageFoldRest, stageDerived, stageSteps, stagePebble,
	stageGC, stageScheduler, stageOther}

// stageRule gives a stack to a stage if one of its functions begins with one of in, and one with one of also, if there
// are any.
type stageRule struct {
	stage    string
	in, also []string
}

const internal = "github.com/recount-ledger/recount/internal/"

var (
	generationFrames = []string{internal + "fsm.(*Generation)", internal + "recount.(*Running)",
		internal + "projections.Prepare"}
	decodeFrames = []string{internal + "pcs.Decode", internal + "event.DecodeSubmission"}
	signFrames   = []string{internal + "verify.(*KeySet)", internal + "verify.(*Ring)", internal + "verify.RecheckEd25519",
		"crypto/internal/fips140/hmac", "crypto/ed25519"}
)

// stageRules are tried in order, so that the memory that a stage allocates and the library functions that it calls count
// for the stage.
var stageRules = []stageRule{
	{stageGC, []string{"runtime.gcBgMarkWorker", "runtime.bgsweep", "runtime.bgscavenge", "runtime.gcAssistAlloc",
		"runtime.gcStart", "runtime.gcMarkDone", "runtime.gcMarkTermination"}, nil},
	{stageFoldDecode, generationFrames, decodeFrames},
	{stageFoldSign, generationFrames, signFrames},
	{stageFoldRows, generationFrames, []string{internal + "projections.(*Generation)"}},
	{stageFoldJudge, generationFrames, []string{internal + "projections.(*Prepared).judge"}},
	{stageFoldApply, generationFrames, []string{"github.com/cockroachdb/pebble/v2"}},
	{stageFoldRest, generationFrames, nil},
	{stageSteps, []string{internal + "fsm.(*Store).applyOut"}, nil},
	{stageDerived, []string{internal + "fsm."}, nil},
	{stageFrames, []string{internal + "cluster/frames"}, nil},
	{stagePacker, []string{internal + "propose."}, nil},
	{stageDecode, decodeFrames, nil},
	{stageSignature, signFrames, nil},
	{stageLog, []string{internal + "log.", "github.com/cockroachdb/pebble/v2/record.(*LogWriter)"}, nil},
	{stageRaft, []string{"github.com/hashicorp/raft", internal + "cluster"}, nil},
	{stageEdge, []string{internal + "api", internal + "intake", internal + "limit"}, nil},
	{stageHTTP, []string{"net/http.", "crypto/tls."}, nil},
	{stagePebble, []string{"github.com/cockroachdb/pebble/v2"}, nil},
}

// stageOf returns the stage of a stack.
func stageOf(stack []string) string {
	for _, r := range stageRules {
		if inStack(stack, r.in) && (r.also == nil || inStack(stack, r.also)) {
			return r.stage
		}
	}
	for _, f := range stack {
		if !strings.HasPrefix(f, "runtime.") && !strings.HasPrefix(f, "internal/runtime/") {
			return stageOther
		}
	}
	return stageScheduler
}

// inStack reports whether a function of a stack begins with one of the prefixes.
func inStack(stack, prefixes []string) bool {
	for _, f := range stack {
		for _, p := range prefixes {
			if strings.HasPrefix(f, p) {
				return true
			}
		}
	}
	return false
}

// stageTimes sums processor time by stage, in nanoseconds.
type stageTimes map[string]int64

// add adds the samples of a profile.
func (t stageTimes) add(samples []cpuSample) {
	for _, s := range samples {
		t[stageOf(s.stack)] += s.nanos
	}
}

func (t stageTimes) sum() (all int64) {
	for _, n := range t {
		all += n
	}
	return all
}
