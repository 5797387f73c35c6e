package sign_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/recount-ledger/recount/sign"
)

// exampleRecord is the record of docs/signing.md.
const exampleRecord = `{
  "pcs_id": "b3997e861fd98934a8cfc7f242fa46f42ef9a8abdaf371c9e4227f5ffde41a88",
  "schema": "fractal-lba-kakeya", "version": "0.1", "shard_id": "shard-001", "epoch": 7, "attempt": 1,
  "sent_at": "2026-11-03T06:00:07Z", "seed": 42, "scales": [2, 4, 8, 16, 32],
  "N_j": {"2": 2, "4": 4, "8": 8, "16": 16, "32": 32}, "coh_star": 0.8, "v_star": [0.1, 0.2, 0.3],
  "D_hat": 1.0, "r": 0.5, "regime": "sticky", "budget": 0.41,
  "merkle_root": "abababababababababababababababababababababababababababababababab",
  "ft": {"outbox_seq": 1, "degraded": false, "fallbacks": [], "clock_skew_ms": 0},
  "sig_scheme": "pcs/2"
}`

// exit ends an example on an error that an agent would log.
func exit(err error) {
	if err != nil {
		slog.Error("the example stops", "error", err)
		os.Exit(1)
	}
}

// The whole record is signed with an HMAC key, as in docs/signing.md.
func Example() {
	key, err := sign.NewHMACKey([]byte("an example of a secret"))
	exit(err)
	signer, err := sign.New(key, sign.Options{Scheme: sign.PCS2})
	exit(err)
	signed, err := signer.Sign([]byte(exampleRecord))
	exit(err)

	record, err := sign.ParseObject(signed)
	exit(err)
	sig, _ := record.Get("sig")
	fmt.Println(string(sig))
	found, err := sign.NewVerifier(key).Verify(signed)
	exit(err)
	fmt.Println(found.Scheme, found.Algorithm, found.InputsSigned)
	// Output:
	// "xFIVzqmyaMgmhojg8Du0jFvLK/ATa+S4umDBI5Vtq3U="
	// pcs/2 hmac-sha256 true
}

// Message shows the bytes that are signed. When a client in another language makes another last line, its canonical
// form is wrong.
func ExampleSigner_Message() {
	key, err := sign.NewHMACKey([]byte("an example of a secret"))
	exit(err)
	signer, err := sign.New(key, sign.Options{})
	exit(err)
	message, err := signer.Message([]byte(exampleRecord))
	exit(err)
	fmt.Printf("%d bytes\n%s\n", len(message), message)
	// Output:
	// 78 bytes
	// recount/pcs/2
	// c4aa6990486a0d4f3fb7ea7de0db339c6e7a0d7743c276366fb88e28f780eddf
}

// Eight members are signed with an Ed25519 key in the profile f9.
func ExampleNew_pcs1() {
	seed := make([]byte, ed25519.SeedSize)
	for i := range seed {
		seed[i] = 7
	}
	key, err := sign.NewEd25519Key(ed25519.NewKeyFromSeed(seed))
	exit(err)
	signer, err := sign.New(key, sign.Options{Scheme: sign.PCS1, Profile: "f9"})
	exit(err)
	signed, err := signer.Sign([]byte(exampleRecord))
	exit(err)
	record, err := sign.ParseObject(signed)
	exit(err)
	sig, _ := record.Get("sig")
	fmt.Println(string(sig))
	// Output: "v9RK43vMKYZAQgUoAu4aurWPKVxUMb1HRRe37KNlos4I4xAYZcwc1b0P0iUvHf8HzYVmHyRrbMJoq6SghbHuAg=="
}

// A record that was changed after it was signed does not verify.
func ExampleVerifier_Verify() {
	key, err := sign.NewHMACKey([]byte("an example of a secret"))
	exit(err)
	signer, err := sign.New(key, sign.Options{})
	exit(err)
	record, err := sign.ParseObject([]byte(exampleRecord))
	exit(err)
	exit(signer.SignObject(record))
	exit(record.Set("N_j", []byte(`{"2":2,"4":4,"8":8,"16":16,"32":31}`)))

	_, err = sign.NewVerifier(key).Verify(record.Text())
	fmt.Println(errors.Is(err, sign.ErrSignature), err)
	// Output: true no key made this signature under scheme pcs/2
}

// An Object keeps the order of the members and the spelling of numbers.
func ExampleObject() {
	o, err := sign.ParseObject([]byte(`{"r": 0.50, "epoch": 7}`))
	exit(err)
	exit(o.SetInt("epoch", 8))
	exit(o.SetString("shard_id", "shard-001"))
	fmt.Println(string(o.Text()))
	// Output: {"r":0.50,"epoch":8,"shard_id":"shard-001"}
}
