package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestRates(t *testing.T) {
	for text, want := range map[string][3]float64{
		"":                                 {100, 2000, 0},
		"token_rate: 0\n":                  {0, 0, 0},
		"token_rate: 7\n":                  {7, 140, 0},
		"address_rate: 0\n":                {100, 0, 0},
		"token_rate: 0\naddress_rate: 3\n": {0, 3, 0},
		"key_rate: 0.5\n":                  {100, 2000, 0.5},
	} {
		v, err := load(write(t, "c.yaml", good+text), flags(t), environment(nil))
		if err != nil {
			t.Fatal(err)
		}
		c, err := v.nodeConfig()
		if got := [3]float64{c.TokenRate, c.AddressRate, c.KeyRate}; err != nil || got != want {
			t.Errorf("%q: %v, want %v; %v", text, got, want, err)
		}
	}
	env := environment(map[string]string{"RECOUNT_ADDRESS_RATE": "-1", "RECOUNT_KEY_RATE": "NaN"})
	v, err := load(write(t, "c.yaml", good), flags(t), env)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = v.nodeConfig(); err == nil || !strings.Contains(err.Error(), "address_rate") || !strings.Contains(err.Error(), "key_rate") {
		t.Errorf("%v", err)
	}
}

func TestAuditLogSettings(t *testing.T) {
	for text, want := range map[string]string{"": "2160h0m0s", "audit_log: {keep: 7d}\n": "168h0m0s", "audit_log: {keep: 36h}\n": "36h0m0s", "audit_log: {keep: 0}\n": "0s",
		"audit_log: {keep: 2557d}\n": "61368h0m0s", "audit_log: {keep: -1d}\n": "", "audit_log: {keep: d}\n": "", "audit_log: {keep: 3 weeks}\n": "", "audit_log: {keep: -1h}\n": ""} {
		path := write(t, "c.yaml", good+text)
		v, err := load(path, flags(t), environment(map[string]string{"RECOUNT_AUDIT_LOG_MAX_BYTES": "5000"}))
		if err != nil {
			t.Fatal(err)
		}
		c, err := v.nodeConfig()
		if (err == nil) != (want != "") || err == nil && (c.Audit.Keep.String() != want || c.Audit.MaxBytes != 5000 || c.Audit.File != "") {
			t.Errorf("%q: %+v, %v", text, c.Audit, err)
		}
	}
	path := write(t, "c.yaml", good+"audit_log: {file: a.log}\n")
	v, err := load(path, flags(t), environment(nil))
	if err != nil || v.text["audit_log.file"] != filepath.Join(filepath.Dir(path), "a.log") {
		t.Errorf("%q, %v", v.text["audit_log.file"], err)
	}
}
