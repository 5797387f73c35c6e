package notary

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/witness"
)

// TestWitnessThatNamesAHugeSize: the size in the answer of a witness is not signed. One such lie must not keep the node from
// asking for the next checkpoint.
func TestWitnessThatNamesAHugeSize(t *testing.T) {
	b := newBench(t, 300)
	_, secret, err := evidence.NewWitnessSecret("w.example")
	must(t, err)
	w, err := witness.Open(witness.Options{Dir: t.TempDir(), Secrets: []evidence.WitnessSecret{secret}, Now: time.Now,
		Ledgers: func() []evidence.PublicKey { return []evidence.PublicKey{b.public()} }, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	defer w.Close()
	var lie, lied atomic.Bool
	h := w.Handler()
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !lie.Swap(false) {
			h.ServeHTTP(rw, r)
			return
		}
		rw.Header().Set("Content-Type", "text/x.tlog.size")
		rw.WriteHeader(http.StatusConflict)
		fmt.Fprintf(rw, "%d\n", uint64(1)<<62)
		lied.Store(true)
	}))
	defer s.Close()
	b.use(t, fmt.Sprintf("witness w %s %s\nquorum w\n", secret.Public(), s.URL))
	b.signAt(t, 10)
	b.await(t, "a cosignature", func() bool { return b.Counts().Cosigned == 10 })
	lie.Store(true)
	b.signAt(t, 11)
	b.await(t, "the lie", func() bool { return lied.Load() })
	b.signAt(t, 12)
	b.await(t, "a cosignature after the lie", func() bool { return b.Counts().Cosigned == 12 })
}
