package verify

import (
	"strconv"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
)

// TestGoldenPythonTies: what CPython signs with round(x, 9) and json.dumps counts on default settings, for every r = k/1024,
// whether r and budget are sent rounded or not. Windows of 2^n bytes give such r, and many of them are ties at the ninth decimal.
func TestGoldenPythonTies(t *testing.T) {
	t.Parallel()
	var rows []struct {
		K         int64
		ShardID   string `json:"shard_id"`
		R, Budget [2]string
		HMAC      string
	}
	dataJSON(t, "golden/py_bin.json", &rows)
	keySet, rules, only := trustedKeys(t), DefaultPolicy().Signature, 0
	for _, row := range rows {
		for i := range 4 {
			rec := goodRecord(t, map[string]string{"epoch": strconv.FormatInt(row.K, 10), "shard_id": strconv.Quote(row.ShardID),
				"D_hat": "1.0", "coh_star": "0.8", "r": row.R[i&1], "budget": row.Budget[i>>1], "sig": strconv.Quote(row.HMAC)})
			f := keySet.Check(rec, Facts{})
			if !f.Valid() || !rules.Counts(rec, f) {
				t.Fatalf("k = %d, r %s, budget %s: %+v does not count", row.K, row.R[i&1], row.Budget[i>>1], f)
			}
			if f.Profile == pcs.PyBin {
				only++
			}
		}
	}
	if len(rows) != 1024 || only < 180 {
		t.Errorf("%d rows, %d records that py-bin alone writes", len(rows), only)
	}
}
