// Package sample makes signed records for programs that need submissions of their own: the canaries, which every
// node must refuse, the drills, which fill a temporary cluster, and the load test.
//
// A record claims counts N_j at the scales 2 to 32, and every value derived from them. In a sample the claims agree
// with the counts, so a node with the key accepts it under the default policy. Shard and epoch are the caller's. The
// Merkle root, and so the pcs_id, follows from both and from a salt of the process:
//
//	records, err := sample.New(secret)
//	body, err := records.Signed("lab-01", 7)    // accepted where the key is registered
//	body, err = records.Unsigned("lab-01", 8)   // refused wherever signatures are required
//
// Two calls with the same arguments return the same record, which a node answers as a repetition. Two Records never
// make the same one, so a second drill on the same ledger is not mistaken for the first.
package sample

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/recount-ledger/recount/sign"
)

// template is a record whose claims agree with its counts. Shard, epoch, root, id and signature are filled in.
const template = `{"pcs_id":"","schema":"fractal-lba-kakeya","version":"0.1","shard_id":"","epoch":0,"attempt":1,` +
	`"sent_at":"2026-01-01T00:00:00Z","seed":1,"scales":[2,4,8,16,32],"N_j":{"2":2,"4":4,"8":8,"16":16,"32":32},` +
	`"coh_star":0.995711565,"v_star":[0.52,0.27,0.8],"D_hat":1.000000000,"r":0.856164384,"regime":"sticky",` +
	`"budget":0.342292998,"merkle_root":"","sig":"",` +
	`"ft":{"outbox_seq":1,"degraded":false,"fallbacks":[],"clock_skew_ms":0}}`

// Records makes records with one key. It is safe for concurrent use.
type Records struct {
	signer *sign.Signer
	base   *sign.Object
	salt   string // distinguishes the roots of this Records
}

// New returns Records that sign with the secret. A nil secret is replaced by a random one, which nobody else knows.
// An empty secret that is not nil is an error that wraps sign.ErrKey.
func New(secret []byte) (*Records, error) {
	if secret == nil {
		secret = []byte(rand.Text())
	}
	key, err := sign.NewHMACKey(secret)
	if err != nil {
		return nil, err
	}
	return With(key, sign.PCS1)
}

// With returns Records that sign with a key of any kind under a scheme, sign.PCS1 or sign.PCS2. An error wraps
// sign.ErrKey or sign.ErrOptions.
func With(key sign.Key, scheme string) (*Records, error) {
	signer, err := sign.New(key, sign.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	base, err := sign.ParseObject([]byte(template))
	return &Records{signer, base, rand.Text()}, err
}

// Signed returns the JSON text of a record with a valid signature.
func (r *Records) Signed(shard string, epoch int64) ([]byte, error) {
	o, err := r.record(shard, epoch)
	if err != nil {
		return nil, err
	}
	if err := r.signer.SignObject(o); err != nil {
		return nil, err
	}
	return o.Text(), nil
}

// Unsigned returns the JSON text of a record whose signature is the empty string.
func (r *Records) Unsigned(shard string, epoch int64) ([]byte, error) {
	o, err := r.record(shard, epoch)
	if err != nil {
		return nil, err
	}
	return o.Text(), nil
}

func (r *Records) record(shard string, epoch int64) (*sign.Object, error) {
	o := r.base.Clone()
	root := sha256.Sum256(fmt.Appendf(nil, "%s|%s|%d", r.salt, shard, epoch))
	if err := errors.Join(o.SetString("shard_id", shard), o.SetString("merkle_root", hex.EncodeToString(root[:])),
		o.SetInt("epoch", epoch)); err != nil {
		return nil, err
	}
	return o, o.SetID()
}
