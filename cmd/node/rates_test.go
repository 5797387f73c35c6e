package main

import (
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
