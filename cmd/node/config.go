package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// nodeConfig converts the text of the settings to a node.Config and reports all problems at once.
func (v values) nodeConfig() (node.Config, error) {
	var errs []error
	c := node.Defaults()
	t := v.text
	c.NodeID, c.ClusterID, c.Dir, c.Voters = t["node_id"], t["cluster_id"], t["dir"], v.voters
	c.Clock, c.Elapsed = clocks(c.NodeID)
	c.API, c.Peer = v.listener("api", "client_ca_file"), v.listener("peer", "ca_file")
	c.MetricsListen, c.MetricsUser, c.MetricsPass = t["metrics.listen"], t["metrics_user"], t["metrics_pass"]
	c.TokenRate = number(v, "token_rate", &errs, parseFloat)
	c.AddressRate = node.AddressFactor * c.TokenRate
	if t["address_rate"] != "" {
		c.AddressRate = number(v, "address_rate", &errs, parseFloat)
	}
	c.KeyRate = number(v, "key_rate", &errs, parseFloat)
	c.NoAuth = !v.yes("auth.required", &errs)
	c.NewCluster = v.yes("new_cluster", &errs)
	c.RecordRemote = v.yes("record_remote", &errs)
	c.TwoPerson = v.yes("auth.two_person", &errs)
	c.TokensFile = t["auth.tokens_file"]
	if c.AuthFailures = number(v, "auth.failures", &errs, strconv.Atoi); c.AuthFailures <= 0 {
		c.AuthFailures = -1
	}
	c.ThrottleStatus = number(v, "throttle_status", &errs, strconv.Atoi)
	c.MaxBody = number(v, "max_body", &errs, strconv.Atoi)
	c.Ballast = number(v, "ballast", &errs, parseInt)
	c.PackBatchBytes = number(v, "pack_batch_bytes", &errs, strconv.Atoi)
	c.ElectionTimeout = v.duration("election_timeout", &errs)
	c.Audit = node.AuditLog{
		File:     t["audit_log.file"],
		Keep:     v.duration("audit_log.keep", &errs),
		MaxBytes: number(v, "audit_log.max_bytes", &errs, parseInt),
	}
	if text := t["accept_clock"]; text != "" {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			errs = append(errs, fmt.Errorf("accept_clock: %q is no time such as 2006-01-02T15:04:05Z", text))
		}
		c.AcceptClock = at
	}
	c.Profiles = v.profiles(&errs)
	for _, text := range v.list("trusted_proxies") {
		p, err := parseProxy(text)
		errs = append(errs, err)
		c.TrustedProxies = append(c.TrustedProxies, p)
	}
	for _, s := range settings {
		if !s.secret && strings.ContainsFunc(t[s.key], unicode.IsControl) {
			errs = append(errs, fmt.Errorf("%s: has a control character, such as a carriage return", s.key))
		}
	}
	if pass := t["metrics_pass"]; pass != "" {
		errs = append(errs, wrapped("metrics_pass", verify.CheckSecret([]byte(pass))))
	}
	keys, err := v.keys()
	c.Keys, c.RereadKeys = keys, v.rereadKeys()
	return c, errors.Join(errors.Join(errs...), err, c.Validate(), v.checkKeyFiles())
}

// listener returns the settings of one listener.
func (v values) listener(name, ca string) node.Listener {
	return node.Listener{
		Listen: v.text[name+".listen"],
		Cert:   v.text[name+".cert_file"],
		Key:    v.text[name+".key_file"],
		CA:     v.text[name+"."+ca],
	}
}

// profiles returns the set of profiles in the settings.
func (v values) profiles(errs *[]error) (set pcs.ProfileSet) {
	for _, name := range v.list("pcs_profiles") {
		profile, err := pcs.ParseProfile(name)
		if err != nil {
			*errs = append(*errs, fmt.Errorf("pcs_profiles: %w", err))
			continue
		}
		set |= pcs.ProfilesOf(profile)
	}
	return set
}

func parseFloat(s string) (float64, error) { return strconv.ParseFloat(s, 64) }

func parseInt(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }

// parseProxy parses 10.0.0.0/8, or one address. It rejects bits after the prefix, which are usually a mistake.
func parseProxy(text string) (netip.Prefix, error) {
	text = strings.TrimSpace(text)
	p, err := netip.ParsePrefix(text)
	if a, addrErr := netip.ParseAddr(text); addrErr == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	switch {
	case err != nil:
		return p, fmt.Errorf("trusted_proxies: %q is neither a network such as 10.1.0.0/16 nor an address", text)
	case p.Addr().Is4In6():
		return p, fmt.Errorf("trusted_proxies: write %q as an IPv4 network", text)
	case p != p.Masked():
		return p, fmt.Errorf("trusted_proxies: %q has bits behind its prefix; the network is %s", text, p.Masked())
	}
	return p, nil
}

func (v values) yes(key string, errs *[]error) bool {
	b, err := strconv.ParseBool(v.text[key])
	if err != nil {
		*errs = append(*errs, fmt.Errorf("%s: %q is neither true nor false", key, v.text[key]))
	}
	return b
}

func number[T any](v values, key string, errs *[]error, parse func(string) (T, error)) T {
	n, err := parse(v.text[key])
	if err != nil {
		*errs = append(*errs, fmt.Errorf("%s: %q is not a number", key, v.text[key]))
	}
	return n
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
