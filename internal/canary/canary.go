// Package canary sends records that every sound verifier refuses, and reports which node accepts one.
//
// A verifier that accepts forgeries looks healthy from outside: it counts no signature errors, because it finds
// none. Only a record that is known to be bad shows the difference. All returns eight of them: forged under a key that
// nobody registered, unsigned, changed after signing, with a cut or malformed signature, and with the id of another
// record. A Round sends each one to each node and sorts the responses into four verdicts:
//
//	refused      the verifier itself refused it, by one of its own codes: as it must be
//	let_through  the node accepted it: an incident
//	frozen       only a freeze stopped it: the verifier accepted it, so this is an incident, too
//	no_answer    no node judged it: an error of the network, a proxy's page, or a credential that was refused
//
// The distinction between refused and no_answer matters most. A 403 of a proxy is also a refusal, but it proves nothing
// about the verifier behind it.
//
//	round := canary.Round{Nodes: canary.Nodes(c, false)}
//	report, err := round.Run(ctx)
//	if errors.Is(report.Err(), canary.ErrLetThrough) { ... }
//
// A record is sent in one of two ways. POST /v1/pcs/check runs the code that judges a submission and keeps nothing, so
// a canary a minute does not fill the ledger. A submission also proves the way through the log, and leaves an event.
//
// The package does not freeze anything. An operator does, after the report.
package canary

import (
	"strings"

	"github.com/recount-ledger/recount/internal/sample"
	"github.com/recount-ledger/recount/sign"
)

// Shard is the shard of all canaries. Operators register it as known, so that it raises no alarm of its own.
const Shard = "recount-canary"

// Canary is one kind of bad record.
type Canary struct {
	Name   string
	record func(epoch int64) ([]byte, error)
}

// Record returns the JSON text of a bad record. Each epoch gives another one, which no node answers as a repetition.
func (c Canary) Record(epoch int64) ([]byte, error) { return c.record(epoch) }

// All returns the canaries. Those that have a signature are signed with a random key, which is thrown away.
func All() ([]Canary, error) {
	records, err := sample.New(nil)
	if err != nil {
		return nil, err
	}
	changed := func(change func(o *sign.Object) error) func(int64) ([]byte, error) {
		return func(epoch int64) ([]byte, error) {
			body, err := records.Signed(Shard, epoch)
			if err != nil {
				return nil, err
			}
			o, err := sign.ParseObject(body)
			if err != nil {
				return nil, err
			}
			if err := change(o); err != nil {
				return nil, err
			}
			return o.Text(), nil
		}
	}
	with := func(name, value string) func(int64) ([]byte, error) {
		return changed(func(o *sign.Object) error { return o.SetString(name, value) })
	}
	return []Canary{
		{"forged", func(epoch int64) ([]byte, error) { return records.Signed(Shard, epoch) }},
		{"forged pcs/2", with("sig_scheme", sign.PCS2)},
		{"unsigned", func(epoch int64) ([]byte, error) { return records.Unsigned(Shard, epoch) }},
		{"changed after signing", changed(func(o *sign.Object) error { return o.Set("r", []byte("0.5")) })},
		{"signature of another algorithm's length", with("sig", strings.Repeat("A", 86)+"==")},
		{"empty hmac", with("sig", strings.Repeat("A", 43)+"=")},
		{"signature not base64", with("sig", "!")},
		{"id of another record", with("pcs_id", strings.Repeat("0", 64))},
	}, nil
}
