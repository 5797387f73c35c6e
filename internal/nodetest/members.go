package nodetest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
)

// AbuseSecret is the HMAC secret of the abuse tests.
const AbuseSecret = "abuse-shared-secret-of-thirty-two"

// AbusePrivate is the Ed25519 key of the abuse tests.
var AbusePrivate = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

// Signer makes the bytes of a signature over a message.
type Signer func(msg []byte) []byte

// MAC signs with HMAC-SHA256.
func MAC(secret []byte) Signer {
	return func(msg []byte) []byte {
		h := hmac.New(sha256.New, secret)
		h.Write(msg)
		return h.Sum(nil)
	}
}

// AbuseSigners sign with the keys of the abuse tests, by algorithm.
var AbuseSigners = map[string]Signer{
	"hmac":    MAC([]byte(AbuseSecret)),
	"ed25519": func(msg []byte) []byte { return ed25519.Sign(AbusePrivate, msg) },
}

// Members is a record by its members, to be changed and signed in any way.
type Members map[string]json.RawMessage

// Members is a record that every check passes, without a signature, and with a member that no check knows.
func (f *Records) Members(shard string, epoch int64) Members {
	f.t.Helper()
	var m Members
	must(f.t, json.Unmarshal(f.Sign(Record{Shard: shard, Epoch: epoch, Root: shard, Bare: true}), &m))
	m["note"] = json.RawMessage(`{"unknown":["member",1.50,true,null]}`)
	return m
}

// Text is the record as JSON.
func (m Members) Text(t testing.TB) []byte {
	t.Helper()
	b, err := json.Marshal(m)
	must(t, err)
	return b
}

// With is the record with one member changed.
func (m Members) With(name, raw string) Members {
	out := maps.Clone(m)
	out[name] = json.RawMessage(raw)
	return out
}

// Without is the record less one member.
func (m Members) Without(name string) Members {
	out := maps.Clone(m)
	delete(out, name)
	return out
}

// Carry is the record with these bytes as its signature.
func (m Members) Carry(sig []byte) Members {
	return m.With("sig", `"`+base64.StdEncoding.EncodeToString(sig)+`"`)
}

// SignPCS2 signs under pcs/2.
func (m Members) SignPCS2(t testing.TB, sign Signer) Members {
	t.Helper()
	m = m.With("sig_scheme", `"pcs/2"`)
	msg, ok := pcs.Decode(m.Text(t)).PCS2Message(nil)
	if !ok {
		t.Fatalf("%s has no message of pcs/2", m.Text(t))
	}
	return m.Carry(sign(msg))
}

// SignPCS1 signs the eight members of pcs/1, in the documented profile.
func (m Members) SignPCS1(t testing.TB, sign Signer) Members {
	t.Helper()
	payload, err := pcs.Decode(m.Text(t)).AppendPayload(nil, pcs.F9)
	must(t, err)
	sum := sha256.Sum256(payload)
	return m.Carry(sign(sum[:]))
}

// Alterations gives every record that differs from m in one place other than sig: a member or an element
// changed, dropped or added, at any depth. The first word of a name is the member, the rest says what was done.
func (m Members) Alterations(t testing.TB) map[string]Members {
	t.Helper()
	out := map[string]Members{}
	for name, raw := range m {
		if name == "sig" {
			continue
		}
		out[name+" dropped"] = m.Without(name)
		var v any
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		must(t, d.Decode(&v))
		for i, x := range others(v) {
			b, err := json.Marshal(x)
			must(t, err)
			out[fmt.Sprintf("%s %d", name, i)] = m.With(name, string(b))
		}
	}
	out["added"] = m.With("new", "0")
	return out
}

// others gives values that differ from v in one place.
func others(v any) (out []any) {
	switch v := v.(type) {
	case string:
		if last := len(v) - 1; last >= 0 {
			swap := map[bool]byte{true: '1', false: '0'}[v[last] == '0']
			out = append(out, v[:last]+string(swap))
		}
		return append(out, v+"0")
	case json.Number:
		if strings.Contains(string(v), ".") {
			return []any{v + "1", json.Number("1" + strings.TrimPrefix(string(v), "-"))}
		}
		return []any{json.Number("1" + strings.TrimPrefix(string(v), "-"))}
	case bool:
		return []any{!v}
	case nil:
		return []any{false}
	case []any:
		for i := range v {
			for _, x := range others(v[i]) {
				out = append(out, slices.Concat(v[:i], []any{x}, v[i+1:]))
			}
			out = append(out, slices.Delete(slices.Clone(v), i, i+1))
		}
		if len(v) > 1 {
			swapped := slices.Clone(v)
			swapped[0], swapped[1] = v[1], v[0]
			out = append(out, swapped)
		}
		return append(out, slices.Concat(v, []any{json.Number("64")}))
	case map[string]any:
		for k := range v {
			for _, x := range others(v[k]) {
				changed := maps.Clone(v)
				changed[k] = x
				out = append(out, changed)
			}
			less := maps.Clone(v)
			delete(less, k)
			out = append(out, less)
		}
		more := maps.Clone(v)
		more["64"] = json.Number("64")
		return append(out, more)
	}
	return out
}
