package interop

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"github.com/transparency-dev/formats/log"
	tlogproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/wire"
)

// TestNode: the libraries of others read a node's checkpoint, tiles, leaves, proofs and receipts, and ours reads what they
// make of them.
func TestNode(t *testing.T) {
	l := start(t)
	l.submit(100)
	_, before := l.checkpoint(100)
	l.submit(900) // several full tiles, and one more that is not full
	signed, now := l.checkpoint(1000)
	client, err := torchwood.NewClient(l.fetcher(l.web))
	must(t, err)
	var leaves []evidence.Leaf
	for i, entry := range client.AllEntries(l.ctx, now.Tree, 0) {
		leaf, err := evidence.ParseLeaf(entry)
		if err != nil || leaf.Seq != uint64(i)+1 {
			t.Fatalf("entry %d: %+v, %v", i, leaf, err)
		}
		leaves = append(leaves, leaf)
	}
	must(t, client.Err())
	if int64(len(leaves)) != now.N {
		t.Fatalf("they read %d of %d entries", len(leaves), now.N)
	}
	for _, i := range []int64{0, 1, 255, 256, 511, 700, now.N - 2, now.N - 1} {
		l.inclusion(client, signed, now, leaves[i])
	}
	for _, from := range []int64{1, 2, 255, 256, 257, before.N, now.N - 1, now.N} {
		l.consistency(now, from)
	}
	if got := rootAt(t, l, now, before.N); got != before.Hash {
		t.Errorf("the tree of %d events had root %s, and now %s", before.N, before.Hash, got)
	}
	l.receipt(leaves)
	l.notices(now)
}

// inclusion compares all proofs of one leaf.
func (l *ledger) inclusion(client *torchwood.Client, signed []byte, c torchwood.Checkpoint, leaf evidence.Leaf) {
	t, hash := l.t, leaf.Hash()
	t.Helper()
	index := int64(leaf.Seq) - 1
	entry, theirs, err := client.Entry(l.ctx, c.Tree, index)
	must(t, err)
	if !bytes.Equal(entry, leaf.Append(nil)) {
		t.Errorf("entry %d is %x", index, entry)
	}
	must(t, evidence.CheckInclusion(uint64(index), uint64(c.N), hash, c.Hash, fixed(theirs)))
	var a wire.InclusionAnswer
	l.get(&a, "/v1/log/proof/inclusion?seq=%d&size=%d", leaf.Seq, c.N)
	must(t, tlog.CheckRecord(hashes(t, a.Hashes), c.N, c.Hash, index, hash))
	must(t, proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(index), uint64(c.N), hash[:], slicesOf(t, a.Hashes), c.Hash[:]))

	ours := evidence.Proof{Index: uint64(index), Hashes: fixed(hashes(t, a.Hashes)), Checkpoint: signed}.Text()
	if file := torchwood.FormatProof(index, theirs, signed); !bytes.Equal(ours, file) {
		t.Errorf("our file of the proof of leaf %d:\n%s\ntheirs:\n%s", index, ours, file)
	}
	must(t, torchwood.VerifyProof(l.policy, hash, ours))
	read, err := evidence.ParseProof(torchwood.FormatProof(index, theirs, signed))
	must(t, err)
	_, _, err = read.Check(hash, l.key)
	must(t, err)
	other := hash
	other[0] ^= 1
	if torchwood.VerifyProof(l.policy, other, ours) == nil {
		t.Errorf("they take the proof of leaf %d for another leaf", index)
	}
}

// consistency compares the proofs between two sizes.
func (l *ledger) consistency(c torchwood.Checkpoint, from int64) {
	t := l.t
	t.Helper()
	old := rootAt(t, l, c, from)
	theirs, err := tlog.ProveTree(c.N, from, torchwood.TileHashReaderWithContext(l.ctx, c.Tree, l.fetcher(l.web)))
	must(t, err)
	must(t, evidence.CheckConsistency(uint64(from), uint64(c.N), old, c.Hash, fixed(theirs)))
	var a wire.ConsistencyAnswer
	l.get(&a, "/v1/log/proof/consistency?from=%d&to=%d", from, c.N)
	if a.FromRoot != hex.EncodeToString(old[:]) {
		t.Errorf("root of %d events: %s", from, a.FromRoot)
	}
	must(t, tlog.CheckTree(hashes(t, a.Hashes), c.N, c.Hash, from, old))
	must(t, proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(from), uint64(c.N), slicesOf(t, a.Hashes), old[:], c.Hash[:]))
	old[0] ^= 1
	if evidence.CheckConsistency(uint64(from), uint64(c.N), old, c.Hash, fixed(theirs)) == nil {
		t.Errorf("another root of %d events is taken", from)
	}
}

// rootAt is the root of the first size events, as x/mod computes it from the tiles of the node.
func rootAt(t *testing.T, l *ledger, c torchwood.Checkpoint, size int64) tlog.Hash {
	t.Helper()
	h, err := tlog.TreeHash(size, torchwood.TileHashReaderWithContext(l.ctx, c.Tree, l.fetcher(l.web)))
	must(t, err)
	return h
}

// receipt gives the proof in a receipt to two other libraries.
func (l *ledger) receipt(leaves []evidence.Leaf) {
	t := l.t
	t.Helper()
	var page wire.AuditPage
	l.get(&page, "/v1/audit?limit=1")
	resp, err := l.web.Get(l.api + "/v1/pcs/" + page.Items[0].PCSID + "/receipt")
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	r, err := evidence.ParseReceipt(text)
	must(t, err)
	_, err = r.Check(l.key)
	must(t, err)
	must(t, torchwood.VerifyProof(l.policy, leaves[r.Leaf.Seq-1].Hash(), r.Proof.Text()))
	var theirs tlogproof.TLogProof
	must(t, theirs.Unmarshal(r.Proof.Text()))
	if theirs.Index != r.Leaf.Seq-1 || !bytes.Equal(theirs.Marshal(), r.Proof.Text()) {
		t.Errorf("they read %+v", theirs)
	}
	v, err := note.NewVerifier(l.key.String())
	must(t, err)
	statement, err := note.Open(r.Signed, note.VerifierList(v))
	must(t, err)
	if statement.Text != r.Statement.Text() {
		t.Errorf("they read the statement %q", statement.Text)
	}
	c, _, _, err := log.ParseCheckpoint(r.Proof.Checkpoint, "recount/interop", v)
	must(t, err)
	if c.Size < r.Leaf.Seq {
		t.Errorf("they read %+v", c)
	}
}

// notices: a changed byte of a tile or of an entry bundle is noticed by their client.
func (l *ledger) notices(c torchwood.Checkpoint) {
	t := l.t
	t.Helper()
	for _, part := range []string{"/tile/entries/000", "/tile/0/000", "/tile/1/000"} {
		web := &http.Client{Transport: &changing{l.web.Transport, part}}
		client, err := torchwood.NewClient(l.fetcher(web))
		must(t, err)
		n := 0
		for range client.AllEntries(l.ctx, c.Tree, 0) {
			n++
		}
		if client.Err() == nil {
			t.Errorf("with a changed %s they read %d entries", part, n)
		}
	}
}

// changing changes the last byte of the answers for paths with a beginning.
type changing struct {
	http.RoundTripper
	part string
}

// RoundTrip implements http.RoundTripper.
func (c *changing) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(r)
	if err != nil || !strings.HasPrefix(r.URL.Path, c.part) || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	b[len(b)-1] ^= 1
	resp.Body = io.NopCloser(bytes.NewReader(b))
	return resp, err
}

// TestTheirLog: our checker takes the checkpoints and proofs of a log that is not Recount.
func TestTheirLog(t *testing.T) {
	const origin = "example.com/other-log"
	secret, public, err := note.GenerateKey(nil, origin)
	must(t, err)
	signer, err := note.NewSigner(secret)
	must(t, err)
	key, err := evidence.ParsePublicKey(public)
	must(t, err)
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, err error) {
		for _, i := range indexes {
			out = append(out, stored[i])
		}
		return out, nil
	})
	var roots []tlog.Hash
	for n := range int64(70) {
		more, err := tlog.StoredHashes(n, []byte{byte(n)}, read)
		must(t, err)
		stored = append(stored, more...)
		size := n + 1
		h, err := tlog.TreeHash(size, read)
		must(t, err)
		roots = append(roots, h)
		text := torchwood.Checkpoint{Origin: origin, Tree: tlog.Tree{N: size, Hash: h}, Extension: "an extension\n"}.String()
		signed, err := note.Sign(&note.Note{Text: text}, signer)
		must(t, err)
		for i := range size {
			p, err := tlog.ProveRecord(size, i, read)
			must(t, err)
			f, err := evidence.ParseProof(torchwood.FormatProof(i, p, signed))
			must(t, err)
			c, by, err := f.Check(tlog.RecordHash([]byte{byte(i)}), key)
			must(t, err)
			if c.Size != uint64(size) || c.Root != h || len(by) != 1 || len(c.Extra) != 1 {
				t.Fatalf("%+v by %v", c, by)
			}
			grown, err := tlog.ProveTree(size, i+1, read)
			must(t, err)
			must(t, evidence.CheckConsistency(uint64(i)+1, uint64(size), roots[i], h, fixed(grown)))
		}
	}
}

func hashes(t *testing.T, texts []string) (out []tlog.Hash) {
	t.Helper()
	for _, b := range slicesOf(t, texts) {
		out = append(out, tlog.Hash(b))
	}
	return out
}

func slicesOf(t *testing.T, texts []string) (out [][]byte) {
	t.Helper()
	for _, text := range texts {
		b, err := hex.DecodeString(text)
		if err != nil || len(b) != tlog.HashSize {
			t.Fatalf("%q is no hash", text)
		}
		out = append(out, b)
	}
	return out
}

func fixed[H ~[32]byte](in []H) (out [][32]byte) {
	for _, h := range in {
		out = append(out, h)
	}
	return out
}
