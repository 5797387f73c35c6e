package nodetest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/sign"
)

// The rest of this file is in docs/agents.md word for word; TestAgents compares them.

// signAndSubmit signs a record with an HMAC secret and sends it to the nodes.
func signAndSubmit(ctx context.Context, ca, secret, record []byte, nodes ...string) (*client.Result, error) {
	key, err := sign.NewHMACKey(secret)
	if err != nil {
		return nil, err
	}
	signer, err := sign.New(key, sign.Options{Scheme: sign.PCS2})
	if err != nil {
		return nil, err
	}
	signed, err := signer.Sign(record) // send these bytes again and again, and no others
	if err != nil {
		return nil, err
	}
	return submit(ctx, ca, signed, nodes...)
}

// Sign sets sig_scheme and sig of a record and returns the bytes to send.
func Sign(record, key []byte) ([]byte, error) {
	members := map[string]any{}
	read := json.NewDecoder(bytes.NewReader(record))
	read.UseNumber() // numbers stay the text that they are
	if err := read.Decode(&members); err != nil {
		return nil, err
	}
	delete(members, "sig")
	members["sig_scheme"] = "pcs/2"
	digest := sha256.Sum256([]byte(canonical(members)))
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "recount/pcs/2\n%x", digest)
	members["sig"] = base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return json.Marshal(members)
}

func canonical(v any) string {
	var parts []string
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, text(name)+":"+canonical(v[name]))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case []any:
		for _, element := range v {
			parts = append(parts, canonical(element))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case json.Number:
		return number(string(v))
	}
	return text(v)
}

// text writes a string, true, false or null as it is: without the escapes that encoding/json adds for HTML.
func text(v any) string {
	var b strings.Builder
	write := json.NewEncoder(&b)
	write.SetEscapeHTML(false)
	if err := write.Encode(v); err != nil {
		panic(err) // what was decoded encodes
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// number gives the digits without zeros at the end, "e", and the power of ten.
func number(s string) string {
	mantissa, power, _ := strings.Cut(strings.ToLower(s), "e")
	exponent, _ := strconv.Atoi(power)
	unsigned, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(unsigned, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	short := strings.TrimRight(digits, "0")
	sign := map[bool]string{true: "-"}[negative]
	if short == "" {
		return sign + "0e0"
	}
	return sign + short + "e" + strconv.Itoa(exponent-len(fraction)+len(digits)-len(short))
}

func submit(ctx context.Context, ca, signed []byte, nodes ...string) (*client.Result, error) {
	c, err := client.New(client.Config{Endpoints: nodes, CA: ca})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Submit(ctx, signed) // *client.Error with the problem when the record is refused
}
