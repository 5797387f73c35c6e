package harness

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/recount-ledger/recount/internal/pcs"
)

// BenchKey is the HMAC key "hmac-current" of testdata/keys.json.
const BenchKey = "TRi84rjRdeJ4EasHWrOxVf6pckZqFBd+quSuUAPsTq0="

// template is a published record cut at the values that make a fresh one; text has one piece more than fields.
type template struct {
	rec    pcs.Record
	text   []string
	fields []string
}

// Source makes fresh signed records in the shape of the published ones. Each shard is one agent with rising epochs.
type Source struct {
	templates []template
	epochs    map[string]int64
	made      int
	private   ed25519.PrivateKey // signs instead of the bench key, nil for that key
}

// The Ed25519 key "ed-main" of testdata/keys.json.
const (
	ed25519Seed   = "w5kkRSzI/7whSgqpZ8c9YTmogsgMDKi4D/MSDF9X3Eo="
	Ed25519Public = "+CpgkgeQRd0qAM1WygfHS4iIs5ceeUpNz+A69X/KbpY="
)

// SignEd25519 makes all further records signed with Ed25519 instead of HMAC.
func (s *Source) SignEd25519() error {
	seed, err := base64.StdEncoding.DecodeString(ed25519Seed)
	if err != nil || len(seed) != ed25519.SeedSize {
		return fmt.Errorf("the seed of ed-main: %w", err)
	}
	s.private = ed25519.NewKeyFromSeed(seed)
	return nil
}

// SignHMAC makes all further records signed with the bench key again.
func (s *Source) SignHMAC() { s.private = nil }

func (s *Source) sign(payload []byte) string {
	if s.private == nil {
		return sign(payload)
	}
	return base64.StdEncoding.EncodeToString(ed25519.Sign(s.private, payload))
}

// NewSource reads the accepted f9 records of the HMAC corpus below root.
func NewSource(root string) (*Source, error) {
	cases, err := Load(filepath.Join(root, "testdata", "good-hmac.ndjson"))
	if err != nil {
		return nil, err
	}
	s := &Source{epochs: map[string]int64{}}
	for _, c := range cases {
		if c.Rule != "ACCEPT" || c.Body == nil {
			continue
		}
		t, ok := cut(*c.Body)
		if ok {
			s.templates = append(s.templates, t)
		}
	}
	if len(s.templates) == 0 {
		return nil, errors.New("no usable record in the corpus")
	}
	return s, nil
}

// cut finds the values of a record that is signed over its f9 payload with the bench key.
func cut(body string) (t template, ok bool) {
	rec := pcs.Decode([]byte(body))
	payload, err := rec.AppendPayload(nil, pcs.F9)
	if rec.Fault != nil || err != nil || rec.Sig != sign(payload) {
		return t, false
	}
	t.rec = *rec
	values := map[string]string{"pcs_id": rec.PCSID, "shard_id": rec.ShardID, "epoch": strconv.FormatInt(rec.Epoch, 10), "merkle_root": rec.MerkleRoot, "sig": rec.Sig}
	at := map[int]string{}
	var order []int
	for name, v := range values {
		quote := `"`
		if name == "epoch" {
			quote = ""
		}
		member := `"` + name + `":` + quote + v
		i := strings.Index(body, member)
		if i < 0 {
			return t, false
		}
		i += len(member) - len(v)
		at[i] = name
		order = append(order, i)
	}
	slices.Sort(order)
	from := 0
	for _, i := range order {
		t.text, t.fields = append(t.text, body[from:i]), append(t.fields, at[i])
		from = i + len(values[at[i]])
	}
	t.text = append(t.text, body[from:])
	return t, true
}

func sign(payload []byte) string {
	m := hmac.New(sha256.New, []byte(BenchKey))
	m.Write(payload)
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// Next makes the next record of a shard.
func (s *Source) Next(shard string) ([]byte, error) {
	t := &s.templates[s.made%len(s.templates)]
	s.made++
	s.epochs[shard]++
	rec := t.rec
	rec.ShardID, rec.Epoch = shard, s.epochs[shard]
	root := sha256.Sum256(fmt.Appendf(nil, "%s|%d", shard, rec.Epoch))
	rec.MerkleRoot = hex.EncodeToString(root[:])
	rec.PCSID = pcs.ID(rec.MerkleRoot, rec.Epoch, shard)
	payload, err := rec.AppendPayload(nil, pcs.F9)
	if err != nil {
		return nil, err
	}
	values := map[string]string{"pcs_id": rec.PCSID, "shard_id": shard,
		"epoch": strconv.FormatInt(rec.Epoch, 10), "merkle_root": rec.MerkleRoot, "sig": s.sign(payload)}
	out := make([]byte, 0, 1024)
	for i, name := range t.fields {
		out = append(append(out, t.text[i]...), values[name]...)
	}
	return append(out, t.text[len(t.fields)]...), nil
}

// Requests makes n HTTP requests of fresh records for each of conns agents.
func (s *Source) Requests(conns, n int) ([][][]byte, error) {
	return s.requests("bench", conns, n, func(shard string) ([]byte, error) {
		body, err := s.Next(shard)
		return Submission(body), err
	})
}

// Submission is the HTTP request that submits a record.
func Submission(record []byte) []byte { return request("/v1/pcs/submit", "application/json", record) }

// Batches makes n HTTP requests with batches of fresh records for each of conns agents.
func (s *Source) Batches(conns, n, records int) ([][][]byte, error) {
	return s.requests("batch", conns, n, func(shard string) ([]byte, error) {
		return s.Batch(slices.Repeat([]string{shard}, records))
	})
}

// Batch makes one HTTP request with a batch of a fresh record of each shard, in their order. A shard may be there more than
// once.
func (s *Source) Batch(shards []string) ([]byte, error) {
	var body []byte
	for _, shard := range shards {
		record, err := s.Next(shard)
		if err != nil {
			return nil, err
		}
		body = append(append(body, record...), '\n')
	}
	return request("/v1/pcs/submit-batch", "application/x-ndjson", body), nil
}

func (s *Source) requests(prefix string, conns, n int, next func(shard string) ([]byte, error)) ([][][]byte, error) {
	out := make([][][]byte, conns)
	for c := range out {
		shard := fmt.Sprintf("%s-%03d", prefix, c)
		for range n {
			request, err := next(shard)
			if err != nil {
				return nil, err
			}
			out[c] = append(out[c], request)
		}
	}
	return out, nil
}

func request(path, media string, body []byte) []byte {
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", path, media, len(body))
	return append([]byte(head), body...)
}
