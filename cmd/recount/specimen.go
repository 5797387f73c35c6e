package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// specimenText is a record whose claims its counts bear out; shard, epoch, root, id and signature are put in.
const specimenText = `{"pcs_id":"","schema":"fractal-lba-kakeya","version":"0.1","shard_id":"","epoch":0,"attempt":1,` +
	`"sent_at":"2026-01-01T00:00:00Z","seed":1,"scales":[2,4,8,16,32],"N_j":{"2":2,"4":4,"8":8,"16":16,"32":32},"coh_star":0.995711565,` +
	`"v_star":[0.52,0.27,0.8],"D_hat":1.000000000,"r":0.856164384,"regime":"sticky","budget":0.342292998,"merkle_root":"","sig":"",` +
	`"ft":{"outbox_seq":1,"degraded":false,"fallbacks":[],"clock_skew_ms":0}}`

// specimens makes records for canaries and drills, signed with an HMAC key.
type specimens struct {
	signer signer
	base   members
	salt   string // makes the roots of one run its own
}

// newSpecimens signs with the secret; nil makes one that nobody knows.
func newSpecimens(secret []byte) (*specimens, error) {
	s := &specimens{signer: signer{secret: secret, profile: pcs.F9, mode: verify.Raw}, salt: rand.Text()}
	if secret == nil {
		s.signer.secret = []byte(rand.Text())
	}
	return s, s.base.read(jsontext.Value(specimenText))
}

// members are those of a specimen, not signed yet.
func (s *specimens) members(shard string, epoch int64) (members, error) {
	m := members{names: slices.Clone(s.base.names), values: slices.Clone(s.base.values)}
	root := sha256.Sum256(fmt.Appendf(nil, "%s|%s|%d", s.salt, shard, epoch))
	for name, value := range map[string]string{"shard_id": shard, "merkle_root": hex.EncodeToString(root[:]), "sig": base64.StdEncoding.EncodeToString(make([]byte, 32))} {
		if err := m.set(name, value); err != nil {
			return m, err
		}
	}
	m.setRaw("epoch", strconv.FormatInt(epoch, 10))
	return m, m.setID()
}

// setRaw replaces a member by a JSON text.
func (m *members) setRaw(name, text string) {
	if i := slices.Index(m.names, name); i >= 0 {
		m.values[i] = jsontext.Value(text)
	}
}

// make is a signed specimen.
func (s *specimens) make(shard string, epoch int64) ([]byte, error) {
	m, err := s.members(shard, epoch)
	if err != nil {
		return nil, err
	}
	return s.signer.sign(m.text())
}

// bare is a specimen without a signature.
func (s *specimens) bare(shard string, epoch int64) ([]byte, error) {
	m, err := s.members(shard, epoch)
	if err != nil {
		return nil, err
	}
	err = m.set("sig", "")
	return m.text(), err
}
