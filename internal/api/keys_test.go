package api

import (
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// hmacPrint is a fingerprint; its key id is hmac-0011223344556677.
const hmacPrint = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

func TestKeys(t *testing.T) {
	r := newTestServer(t, nil)
	body := `{"alg":"hmac-sha256","fingerprint":"` + hmacPrint + `","owner":"lab 7","scope":["lab-7-*"],"not_before":"2026-01-01T00:00:00Z","ticket":"OPS-1"}`
	if a := decode[wire.KeyAnswer](t, r.send("POST", "/v1/keys", body), 201); a.KeyID != "hmac-0011223344556677" || a.Owner != "lab 7" {
		t.Errorf("%+v", a)
	}
	decode[wire.KeyAnswer](t, r.send("POST", "/v1/keys", body), 200)
	if p := decode[wire.KeysPage](t, r.get("/v1/keys"), 200); len(p.Items) != 1 || p.Items[0].Scope[0] != "lab-7-*" {
		t.Errorf("%+v", p)
	}
	decode[wire.KeyAnswer](t, r.get("/v1/keys/hmac-0011223344556677"), 200)
	decode[wire.Problem](t, r.get("/v1/keys/hmac-7766554433221100"), 404)
	if a := decode[wire.KeyAnswer](t, r.send("POST", "/v1/keys/hmac-0011223344556677/retire", `{"reason":"rotation"}`), 200); a.Status != wire.KeyRetired {
		t.Errorf("%+v", a)
	}
	decode[wire.KeyAnswer](t, r.send("POST", "/v1/keys/hmac-0011223344556677/retire-secret", `{}`), 200)
	decode[wire.Problem](t, r.send("POST", "/v1/keys/hmac-1/retire", `{}`), 404)
	ed := `{"alg":"ed25519","public":"11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}`
	decode[wire.KeyAnswer](t, r.send("POST", "/v1/keys", ed), 201)
}

func TestKeyRequestsThatAreRefused(t *testing.T) {
	r := newTestServer(t, nil)
	for body, field := range map[string]string{
		`{"alg":"rsa"}`: "alg",
		`{"alg":"hmac-sha256","fingerprint":"abc"}`:                                                                                      "fingerprint",
		`{"alg":"hmac-sha256","fingerprint":"` + hmacPrint + `","public":"AAAA"}`:                                                        "fingerprint",
		`{"alg":"ed25519","public":"AAAA"}`:                                                                                              "public",
		`{"alg":"ed25519","public":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`:                                                      "public",
		`{"alg":"ed25519","fingerprint":"` + hmacPrint + `"}`:                                                                            "fingerprint",
		`{"alg":"hmac-sha256","fingerprint":"` + hmacPrint + `","not_before":"tomorrow"}`:                                                "not_before",
		`{"alg":"hmac-sha256","fingerprint":"` + hmacPrint + `","not_after":"1969-01-01T00:00:00Z"}`:                                     "not_after",
		`{"alg":"hmac-sha256","fingerprint":"` + hmacPrint + `","not_before":"2026-01-02T00:00:00Z","not_after":"2026-01-01T00:00:00Z"}`: "not_after",
		`{"alg":"hmac-sha256","secret":"hunter2"}`:                                                                                       "secret",
	} {
		if p := decode[wire.Problem](t, r.send("POST", "/v1/keys", body), 400); p.Field != field {
			t.Errorf("%s: %+v", body, p)
		}
	}
	if len(r.fake.keys) != 0 {
		t.Errorf("%+v", r.fake.keys)
	}
}

func TestFreezes(t *testing.T) {
	r := newTestServer(t, nil)
	if a := decode[wire.FreezeAnswer](t, r.send("POST", "/v1/freezes", `{"scope":"shard","subject":"lab-7","reason":"forgeries","ticket":"INC-2"}`), 200); a.Seq != 5 || r.fake.operations[0].Ticket != "INC-2" {
		t.Errorf("%+v", a)
	}
	for body, field := range map[string]string{
		`{"scope":"all","subject":"x","reason":"r"}`: "subject", `{"scope":"key","reason":"r"}`: "subject",
		`{"scope":"world","reason":"r"}`: "scope", `{"scope":"all"}`: "reason",
	} {
		for _, path := range []string{"/v1/freezes", "/v1/thaw"} {
			if p := decode[wire.Problem](t, r.send("POST", path, body), 400); p.Field != field {
				t.Errorf("%s %s: %+v", path, body, p)
			}
		}
	}
	thaw := `{"scope":"shard","subject":"lab-7","reason":"patched"}`
	if a := decode[wire.FreezeAnswer](t, r.send("POST", "/v1/thaw", thaw), 200); a.ThawedSeq != 6 {
		t.Errorf("%+v", a)
	}
	decode[wire.Problem](t, r.send("POST", "/v1/thaw", thaw), 409)
	if p := decode[wire.OperationsPage](t, r.get("/v1/operations?from_seq=2&limit=3"), 200); len(p.Items) != 3 || p.Items[0].Seq != 2 || p.NextSeq != 5 {
		t.Errorf("%+v", p)
	}
	for _, q := range []string{"limit=0", "limit=1001", "from_seq=0", "from_seq=-1", "since=1h"} {
		decode[wire.Problem](t, r.get("/v1/operations?"+q), 400)
	}
	if p := decode[wire.FreezesPage](t, r.get("/v1/freezes"), 200); len(p.Items) != 1 {
		t.Errorf("%+v", p)
	}
}

func TestKnownShards(t *testing.T) {
	r := newTestServer(t, nil)
	decode[wire.KnownShardsAnswer](t, r.send("POST", "/v1/known-shards", `{"patterns":["lab-*"]}`), 200)
	if p := decode[wire.KnownShardsPage](t, r.get("/v1/known-shards"), 200); len(p.Items) != 1 || p.Items[0].Patterns[0] != "lab-*" {
		t.Errorf("%+v", p)
	}
	decode[wire.Problem](t, r.get("/v1/audit?unknown_shards=false"), 400)
	decode[wire.AuditPage](t, r.get("/v1/audit?unknown_shards=true"), 200)
}
