package node_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// Keys of the abuse tests.
const abuseSecret = "abuse-shared-secret-of-thirty-two"

var abusePrivate = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

// abuseKeys makes every node hold the keys of the abuse tests as well.
func abuseKeys(t *testing.T) func(*node.Config) {
	h, err := verify.NewHMACKey([]byte(abuseSecret))
	if err != nil {
		t.Fatal(err)
	}
	e, err := verify.NewEd25519Key(abusePrivate.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return func(cfg *node.Config) { cfg.Keys = append(slices.Clone(cfg.Keys), h, e) }
}

// signWith makes the bytes of a signature over a message.
type signWith func(msg []byte) []byte

func macWith(secret []byte) signWith {
	return func(msg []byte) []byte {
		h := hmac.New(sha256.New, secret)
		h.Write(msg)
		return h.Sum(nil)
	}
}

var abuseSigners = map[string]signWith{
	"hmac":    macWith([]byte(abuseSecret)),
	"ed25519": func(msg []byte) []byte { return ed25519.Sign(abusePrivate, msg) },
}

// members is a record by its members.
type members map[string]json.RawMessage

// abuseRecord is a record that every check passes, without a signature.
func abuseRecord(t *testing.T, shard string, epoch int64) members {
	t.Helper()
	var m members
	if err := json.Unmarshal(nodetest.NewRecords(t).Sign(nodetest.Record{Shard: shard, Epoch: epoch, Root: shard, Bare: true}), &m); err != nil {
		t.Fatal(err)
	}
	m["note"] = json.RawMessage(`{"unknown":["member",1.50,true,null]}`)
	return m
}

func (m members) text(t *testing.T) []byte {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// with is the record with one member changed.
func (m members) with(name, raw string) members {
	out := maps.Clone(m)
	out[name] = json.RawMessage(raw)
	return out
}

// carry is the record with these bytes as its signature.
func (m members) carry(sig []byte) members {
	return m.with("sig", `"`+base64.StdEncoding.EncodeToString(sig)+`"`)
}

// whole signs under pcs/2.
func (m members) whole(t *testing.T, sign signWith) members {
	t.Helper()
	m = m.with("sig_scheme", `"pcs/2"`)
	msg, ok := pcs.Decode(m.text(t)).WholeMessage(nil)
	if !ok {
		t.Fatalf("%s has no message of pcs/2", m.text(t))
	}
	return m.carry(sign(msg))
}

// eight signs under pcs/1, in the documented profile.
func (m members) eight(t *testing.T, sign signWith) members {
	t.Helper()
	payload, err := pcs.Decode(m.text(t)).AppendPayload(nil, pcs.F9)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(payload)
	return m.carry(sign(sum[:]))
}

// post sends a record to node i once.
func post(c *nodetest.Cluster, i int, body []byte) (int, wire.SubmitAnswer, wire.Problem) {
	status, text := c.Once(i, http.MethodPost, client.SubmitPath, body)
	var a wire.SubmitAnswer
	var p wire.Problem
	if status == http.StatusOK || status == http.StatusAccepted {
		_ = json.Unmarshal(text, &a)
	} else {
		_ = json.Unmarshal(text, &p)
	}
	return status, a, p
}

// alterations gives every record that differs from m in one place other than sig: a member or an element changed, dropped or
// added, at any depth. Names say where.
func alterations(t *testing.T, m members) map[string]members {
	t.Helper()
	out := map[string]members{}
	for name, raw := range m {
		if name == "sig" {
			continue
		}
		gone := maps.Clone(m)
		delete(gone, name)
		out[name+" dropped"] = gone
		var v any
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		for i, x := range others(v) {
			b, err := json.Marshal(x)
			if err != nil {
				t.Fatal(err)
			}
			out[fmt.Sprintf("%s %d", name, i)] = m.with(name, string(b))
		}
	}
	out["added"] = m.with("new", "0")
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
