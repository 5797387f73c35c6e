package node_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// TestRepeatsHaveTheirHeader: whatever is answered again says so in the header: a record that counts, a
// conflict, an escalated record. A first answer does not.
func TestRepeatsHaveTheirHeader(t *testing.T) {
	c := nodetest.Start(t, 1)
	f := nodetest.NewRecords(t)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.CA.CertPEM())
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer web.CloseIdleConnections()
	for _, x := range []struct {
		record nodetest.Record
		status int
	}{
		{nodetest.Record{Shard: "alpha", Epoch: 1, Root: "r"}, http.StatusOK},
		{nodetest.Record{Shard: "alpha", Epoch: 1, Root: "r", Near: true}, http.StatusConflict},
		{nodetest.Record{Shard: "alpha", Epoch: 2, Root: "r", Wrong: true}, http.StatusAccepted},
	} {
		body := f.Sign(x.record)
		for i, want := range []string{"", "true"} {
			resp, err := web.Post(c.URL(0)+client.SubmitPath, wire.MediaJSON, bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			if err := errors.Join(err, resp.Body.Close()); err != nil {
				t.Fatal(err)
			}
			if got := resp.Header.Get(wire.HeaderReplayed); got != want || resp.StatusCode != x.status {
				t.Errorf("%+v, time %d: status %d, %s %q, want %q\n%s", x.record, i+1, resp.StatusCode,
					wire.HeaderReplayed, got, want, text)
			}
		}
	}
}
