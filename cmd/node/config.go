package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/verify"
)

// nodeConfig converts the text of the settings to a node.Config and reports all problems at once.
func (v values) nodeConfig() (node.Config, error) {
	c := node.Defaults()
	errs := v.setFields(&c)
	if v.text["address_rate"] == "" {
		c.AddressRate = node.AddressFactor * c.TokenRate
	}
	c.Voters = v.voters
	c.Clock, c.Elapsed = clocks(c.NodeID)
	if pass := v.text["metrics_pass"]; pass != "" {
		errs = append(errs, wrapped("metrics_pass", verify.CheckSecret([]byte(pass))))
	}
	keys, err := v.keys()
	c.Keys, c.RereadKeys = keys, v.rereadKeys()
	return c, errors.Join(errors.Join(errs...), err, c.Validate(), v.checkKeyFiles())
}

// setFields reads the text of each setting into its field. A field with a wrong text keeps its default.
func (v values) setFields(c *node.Config) (errs []error) {
	for _, s := range settings {
		text := v.text[s.key]
		if !s.secret && strings.ContainsFunc(text, unicode.IsControl) {
			errs = append(errs, fmt.Errorf("%s: has a control character, such as a carriage return", s.key))
		}
		if s.field.set == nil || text == "" {
			continue
		}
		err := s.field.set(c, text)
		if several, ok := err.(interface{ Unwrap() []error }); ok {
			for _, err := range several.Unwrap() {
				errs = append(errs, wrapped(s.key, err))
			}
			continue
		}
		errs = append(errs, wrapped(s.key, err))
	}
	return errs
}

// keys returns the keys of the settings, restricted to the algorithms of pcs_sign_alg if that is set.
func (v values) keys() ([]verify.Key, error) {
	var errs []error
	var out []verify.Key
	errs = append(errs, v.checkLists())
	algs := v.list("pcs_sign_alg")
	for _, a := range algs {
		if a != "hmac" && a != "ed25519" {
			errs = append(errs, fmt.Errorf("pcs_sign_alg: %q is neither hmac nor ed25519", a))
		}
	}
	wants := func(alg string) bool { return len(algs) == 0 || slices.Contains(algs, alg) }
	if wants("hmac") {
		secrets := v.list("pcs_hmac_keys")
		if one := v.text["pcs_hmac_key"]; one != "" && !slices.Contains(secrets, one) {
			secrets = append([]string{one}, secrets...)
		}
		for i, s := range secrets {
			errs = append(errs, wrap("HMAC key", i, verify.CheckSecret([]byte(s))))
			k, err := verify.NewHMACKey([]byte(s))
			out, errs = append(out, k), append(errs, wrap("HMAC key", i, err))
		}
	}
	if wants("ed25519") {
		for i, s := range v.list("pcs_ed25519_pub_b64") {
			raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(s))
			if err != nil {
				errs = append(errs, wrap("pcs_ed25519_pub_b64", i, err))
				continue
			}
			k, err := verify.NewEd25519Key(raw)
			out, errs = append(out, k), append(errs, wrap("pcs_ed25519_pub_b64", i, err))
		}
	}
	return out, errors.Join(errs...)
}

func wrap(what string, i int, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s number %d: %w", what, i+1, err)
}
