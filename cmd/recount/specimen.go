package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/recount-ledger/recount/sign"
)

// specimenText is a record whose claims its counts bear out. Shard, epoch, root, id and signature are put in.
const specimenText = `{"pcs_id":"","schema":"fractal-lba-kakeya","version":"0.1","shard_id":"","epoch":0,"attempt":1,` +
	`"sent_at":"2026-01-01T00:00:00Z","seed":1,"scales":[2,4,8,16,32],"N_j":{"2":2,"4":4,"8":8,"16":16,"32":32},"coh_star":0.995711565,` +
	`"v_star":[0.52,0.27,0.8],"D_hat":1.000000000,"r":0.856164384,"regime":"sticky","budget":0.342292998,"merkle_root":"","sig":"",` +
	`"ft":{"outbox_seq":1,"degraded":false,"fallbacks":[],"clock_skew_ms":0}}`

// specimens makes records for canaries and drills, signed with an HMAC key.
type specimens struct {
	signer *sign.Signer
	base   *sign.Object
	salt   string // makes the roots of one run its own
}

// newSpecimens signs with the secret. A nil one is replaced by a secret that nobody knows.
func newSpecimens(secret []byte) (*specimens, error) {
	if secret == nil {
		secret = []byte(rand.Text())
	}
	key, err := sign.NewHMACKey(secret)
	if err != nil {
		return nil, err
	}
	signer, err := sign.New(key, sign.Options{Scheme: sign.PCS1})
	if err != nil {
		return nil, err
	}
	base, err := sign.ParseObject([]byte(specimenText))
	return &specimens{signer, base, rand.Text()}, err
}

// unsigned is a specimen with an empty signature.
func (s *specimens) unsigned(shard string, epoch int64) (*sign.Object, error) {
	o := s.base.Clone()
	root := sha256.Sum256(fmt.Appendf(nil, "%s|%s|%d", s.salt, shard, epoch))
	if err := errors.Join(o.SetString("shard_id", shard), o.SetString("merkle_root", hex.EncodeToString(root[:])),
		o.SetInt("epoch", epoch)); err != nil {
		return nil, err
	}
	return o, o.SetID()
}

// make is a signed specimen.
func (s *specimens) make(shard string, epoch int64) ([]byte, error) {
	o, err := s.unsigned(shard, epoch)
	if err != nil {
		return nil, err
	}
	if err := s.signer.SignObject(o); err != nil {
		return nil, err
	}
	return o.Text(), nil
}

// bare is the text of a specimen without a signature.
func (s *specimens) bare(shard string, epoch int64) ([]byte, error) {
	o, err := s.unsigned(shard, epoch)
	if err != nil {
		return nil, err
	}
	return o.Text(), nil
}
