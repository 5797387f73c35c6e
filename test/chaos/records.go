package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/test/harness"
)

// records makes signed records out of a published one, two variants of each: the right values, which are accepted, and a D_hat
// that the counts do not bear out, which is escalated.
type records struct{ base map[string]json.RawMessage }

func newRecords(root string) (*records, error) {
	cases, err := harness.Load(filepath.Join(root, "testdata", "good-hmac.ndjson"))
	if err != nil {
		return nil, err
	}
	for _, c := range cases {
		if c.Rule != "ACCEPT" || c.Body == nil || !slices.Equal(c.Expect.Status, []int{200}) {
			continue
		}
		rec := pcs.Decode([]byte(*c.Body))
		payload, err := rec.AppendPayload(nil, pcs.F9)
		if rec.Fault != nil || err != nil || rec.Sig != mac(payload) {
			continue
		}
		r := &records{}
		return r, json.Unmarshal([]byte(*c.Body), &r.base)
	}
	return nil, errors.New("no accepted record of profile f9 in the corpus")
}

func mac(payload []byte) string {
	m := hmac.New(sha256.New, []byte(harness.BenchKey))
	m.Write(payload)
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// shard names the shard of record number id. Each has one of its own, so that no order between records decides anything.
func shard(id int32) string { return fmt.Sprintf("id-%d", id) }

func merkleRoot(id int32) string {
	sum := sha256.Sum256([]byte(shard(id)))
	return hex.EncodeToString(sum[:])
}

// pcsID is the pcs_id of record number id.
func pcsID(id int32) string { return pcs.ID(merkleRoot(id), 1, shard(id)) }

// body is the JSON of one variant of record number id.
func (r *records) body(id int32, wrong bool) ([]byte, error) {
	m := maps.Clone(r.base)
	m["pcs_id"], m["shard_id"] = json.RawMessage(strconv.Quote(pcsID(id))), json.RawMessage(strconv.Quote(shard(id)))
	m["epoch"], m["merkle_root"] = json.RawMessage("1"), json.RawMessage(strconv.Quote(merkleRoot(id)))
	m["sig"] = json.RawMessage(`""`)
	if wrong {
		m["D_hat"] = json.RawMessage("3.000000000")
	}
	unsigned, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	payload, err := pcs.Decode(unsigned).AppendPayload(nil, pcs.F9)
	if err != nil {
		return nil, err
	}
	m["sig"] = json.RawMessage(strconv.Quote(mac(payload)))
	return json.Marshal(m)
}
