package interop

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/torchwood"
	fnote "github.com/transparency-dev/formats/note"
	theirclient "github.com/transparency-dev/witness/client/http"
	"github.com/transparency-dev/witness/persistence/inmemory"
	theirs "github.com/transparency-dev/witness/witness"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/witness"
	"github.com/recount-ledger/recount/wire"
)

// otherLog is a log that is not Recount, made with the libraries of the Go checksum database. Leaves from other on are
// those of a second branch.
type otherLog struct {
	t      *testing.T
	signer note.Signer
	stored []tlog.Hash
}

const otherOrigin = "example.com/other-log"

func newOtherLog(t *testing.T, signer note.Signer, size, other int64) *otherLog {
	t.Helper()
	l := &otherLog{t: t, signer: signer}
	for n := range size {
		leaf := []byte{byte(n)}
		if n >= other {
			leaf = append(leaf, 'x')
		}
		more, err := tlog.StoredHashes(n, leaf, l.read())
		must(t, err)
		l.stored = append(l.stored, more...)
	}
	return l
}

func (l *otherLog) read() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, err error) {
		for _, i := range indexes {
			out = append(out, l.stored[i])
		}
		return out, nil
	})
}

func (l *otherLog) checkpoint(size int64) []byte {
	l.t.Helper()
	h, err := tlog.TreeHash(size, l.read())
	must(l.t, err)
	text := torchwood.Checkpoint{Origin: otherOrigin, Tree: tlog.Tree{N: size, Hash: h}}.String()
	signed, err := note.Sign(&note.Note{Text: text}, l.signer)
	must(l.t, err)
	return signed
}

func (l *otherLog) proof(from, to int64) (out [][]byte) {
	l.t.Helper()
	if from == 0 || from == to {
		return nil
	}
	hashes, err := tlog.ProveTree(to, from, l.read())
	must(l.t, err)
	for _, h := range hashes {
		out = append(out, h[:])
	}
	return out
}

// TestOurWitness: the client of others has our witness cosign a log that is not Recount, torchwood takes the cosignatures,
// and our refusals are those that the client knows.
func TestOurWitness(t *testing.T) {
	secret, public, err := note.GenerateKey(nil, otherOrigin)
	must(t, err)
	signer, err := note.NewSigner(secret)
	must(t, err)
	verifier, err := note.NewVerifier(public)
	must(t, err)
	key, err := evidence.ParsePublicKey(public)
	must(t, err)
	_, own, err := evidence.NewWitnessSecret("witness.example")
	must(t, err)
	w, err := witness.Open(witness.Options{Dir: filepath.Join(t.TempDir(), "w"), Secrets: []evidence.WitnessSecret{own},
		Ledgers: func() []evidence.PublicKey { return []evidence.PublicKey{key} }, Now: time.Now,
		Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	defer w.Close()
	server := httptest.NewServer(w.Handler())
	defer server.Close()
	at, err := url.Parse(server.URL)
	must(t, err)
	client, log := theirclient.NewWitness(at, server.Client()), newOtherLog(t, signer, 100, 100)
	cosigner, err := torchwood.NewCosignatureVerifier(own.Public().String())
	must(t, err)
	policy := torchwood.ThresholdPolicy(3, torchwood.OriginPolicy(otherOrigin), torchwood.SingleVerifierPolicy(verifier),
		torchwood.SingleVerifierPolicy(cosigner))
	last := int64(0)
	for _, size := range []int64{1, 7, 8, 64, 64, 99} {
		signed := log.checkpoint(size)
		lines, _, err := client.Update(t.Context(), uint64(last), signed, log.proof(last, size))
		must(t, err)
		c, n, err := torchwood.VerifyCheckpoint(append(bytes.Clone(signed), lines...), policy)
		if err != nil || c.N != size || len(n.Sigs) != 2 {
			t.Fatalf("torchwood reads %+v of the size %d: %v", c, size, err)
		}
		for _, s := range n.Sigs {
			if s.Name != own.Public().Name() {
				continue
			}
			if seconds, err := torchwood.CosignatureTimestamp(s); err != nil || time.Since(time.Unix(seconds, 0)) > time.Hour {
				t.Errorf("cosigned at %d: %v", seconds, err)
			}
		}
		last = size
	}
	refused := func(old int64, signed []byte, proof [][]byte, want error) {
		t.Helper()
		_, size, err := client.Update(t.Context(), uint64(old), signed, proof)
		if !errors.Is(err, want) || errors.Is(want, theirs.ErrCheckpointStale) && size != uint64(last) {
			t.Errorf("%v at %d, want %v", err, size, want)
		}
	}
	branch := newOtherLog(t, signer, 100, 50)
	refused(64, log.checkpoint(100), log.proof(64, 100), theirs.ErrCheckpointStale)
	refused(99, branch.checkpoint(99), nil, theirs.ErrCheckpointStale)
	refused(99, branch.checkpoint(100), branch.proof(99, 100), theirs.ErrInvalidProof)
	refused(100, log.checkpoint(99), nil, theirs.ErrOldSizeInvalid)
	stranger, _, err := note.GenerateKey(nil, otherOrigin)
	must(t, err)
	forger, err := note.NewSigner(stranger)
	must(t, err)
	refused(99, newOtherLog(t, forger, 100, 100).checkpoint(100), log.proof(99, 100), theirs.ErrNoValidSignature)
}

// theirWitness is a witness of others that knows one ledger.
func theirWitness(t *testing.T, ctx context.Context, ledger note.Verifier) (server *httptest.Server,
	key evidence.WitnessKey) {
	t.Helper()
	secret, public, err := note.GenerateKey(nil, "witness.example.org")
	must(t, err)
	signer, err := fnote.NewSignerForCosignatureV1(secret)
	must(t, err)
	w, err := theirs.New(ctx, theirs.Opts{Persistence: inmemory.New(), Signers: []note.Signer{signer},
		VerifierForLog: func(_ context.Context, origin string) (note.Verifier, bool, error) {
			return ledger, origin == ledger.Name(), nil
		}})
	must(t, err)
	server = httptest.NewServer(http.HandlerFunc(theirs.NewHTTPHandler(w).AddCheckpoint))
	t.Cleanup(server.Close)
	text, err := fnote.VKeyToCosignatureV1(public)
	must(t, err)
	key, err = evidence.ParseWitnessKey(text)
	must(t, err)
	return server, key
}

// TestTheirWitness: a witness of others cosigns the checkpoints of a node as it grows, and we take its cosignatures.
func TestTheirWitness(t *testing.T) {
	l := start(t)
	verifier, err := note.NewVerifier(l.key.String())
	must(t, err)
	server, key := theirWitness(t, l.ctx, verifier)
	last := int64(0)
	for _, size := range []int64{10, 300, 700} {
		l.submit(int(size - last))
		signed, c := l.checkpoint(size)
		ask := witness.Request{Old: uint64(last), Note: signed}
		if last > 0 {
			var p wire.ConsistencyAnswer
			l.get(&p, "/v1/log/proof/consistency?from=%d&to=%d", last, c.N)
			ask.Proof = fixed(hashes(t, p.Hashes))
		}
		resp, err := server.Client().Post(server.URL+"/add-checkpoint", "text/plain", bytes.NewReader(ask.Text()))
		must(t, err)
		lines, err := io.ReadAll(resp.Body)
		must(t, errors.Join(err, resp.Body.Close()))
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("at %d: %s %s", c.N, resp.Status, lines)
		}
		list, err := evidence.Cosignatures(append(bytes.Clone(signed), lines...), key)
		if err != nil || len(list) != 1 || time.Since(list[0].Time) > time.Hour {
			t.Errorf("at %d: %+v, %v in %s", c.N, list, err, lines)
		}
		last = c.N
	}
}
