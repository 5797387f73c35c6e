package main

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/pcs"
)

// tried is one setting: a good text, the place where it arrives, and wrong texts with a part of the complaint.
type tried struct {
	good string
	at   func(c node.Config) any
	want any
	bad  map[string]string
}

// everySetting has each setting that fills a field of node.Config. The keys that sign have tests of their own.
var everySetting = map[string]tried{
	"node_id":            {"n7", func(c node.Config) any { return c.NodeID }, "n7", nil},
	"cluster_id":         {"c7", func(c node.Config) any { return c.ClusterID }, "c7", map[string]string{"a/b": "no certificate"}},
	"dir":                {"/d", func(c node.Config) any { return c.Dir }, "/d", nil},
	"new_cluster":        {"true", func(c node.Config) any { return c.NewCluster }, true, notBool},
	"join":               {"true", func(c node.Config) any { return c.Join }, true, notBool},
	"join_token_file":    {"/t", func(c node.Config) any { return c.JoinTokenFile }, "/t", nil},
	"api.listen":         {"127.0.0.1:7", func(c node.Config) any { return c.API.Listen }, "127.0.0.1:7", notAddress},
	"api.cert_file":      {"/c", func(c node.Config) any { return c.API.Cert }, "/c", nil},
	"api.key_file":       {"/k", func(c node.Config) any { return c.API.Key }, "/k", nil},
	"api.client_ca_file": {"/a", func(c node.Config) any { return c.API.CA }, "/a", nil},
	"peer.listen":        {"[::1]:7", func(c node.Config) any { return c.Peer.Listen }, "[::1]:7", notAddress},
	"peer.ca_file":       {"/a", func(c node.Config) any { return c.Peer.CA }, "/a", nil},
	"peer.cert_file":     {"/c", func(c node.Config) any { return c.Peer.Cert }, "/c", nil},
	"peer.key_file":      {"/k", func(c node.Config) any { return c.Peer.Key }, "/k", nil},
	"checkpoint_key_file": {"/ck", func(c node.Config) any { return c.CheckpointKeyFile }, "/ck",
		nil},
	"witness_file": {"/wf", func(c node.Config) any { return c.WitnessFile }, "/wf", nil},
	"pcs_profiles": {"es,f9", func(c node.Config) any { return c.Profiles }, pcs.ProfilesOf(pcs.F9, pcs.ES),
		map[string]string{"f9,xml": `"xml"`, "F9": `"F9"`, "f9,,es": "empty part"}},
	"auth.required":   {"false", func(c node.Config) any { return c.NoAuth }, true, notBool},
	"auth.two_person": {"true", func(c node.Config) any { return c.TwoPerson }, true, notBool},
	"auth.tokens_file": {"/tokens", func(c node.Config) any { return c.TokensFile }, "/tokens",
		nil},
	"auth.failures": {"7", func(c node.Config) any { return c.AuthFailures }, 7, notNumber},
	"token_rate":    {"0.5", func(c node.Config) any { return c.TokenRate }, 0.5, notRate},
	"address_rate":  {"1e3", func(c node.Config) any { return c.AddressRate }, 1000.0, notRate},
	"key_rate":      {"3", func(c node.Config) any { return c.KeyRate }, 3.0, notRate},
	"throttle_status": {"503", func(c node.Config) any { return c.ThrottleStatus }, 503,
		map[string]string{"418": "429 or 503, not 418", "x": "not a number", "503.0": "not a number"}},
	"metrics.listen": {"127.0.0.1:7", func(c node.Config) any { return c.MetricsListen }, "127.0.0.1:7", notAddress},
	"metrics_user":   {"prom", func(c node.Config) any { return c.MetricsUser }, "prom", nil},
	"metrics_pass": {"secret", func(c node.Config) any { return c.MetricsPass }, "secret",
		map[string]string{" secret": "begins or ends with a blank", "sec\tret": "control character"}},
	"tracing.endpoint": {"https://o:4318", func(c node.Config) any { return c.Tracing.Endpoint }, "https://o:4318",
		map[string]string{"o:4318": "must be a URL such as", "https://u:p@o": "without user", "grpc://o:4317": "must be a URL"}},
	"tracing.protocol": {"http/json", func(c node.Config) any { return c.Tracing.Protocol }, "http/json",
		map[string]string{"grpc": "http/protobuf or http/json"}},
	"tracing.sample_ratio": {"0.5", func(c node.Config) any { return c.Tracing.SampleRatio }, 0.5,
		map[string]string{"1.1": "between 0 (none) and 1", "NaN": "between 0 (none) and 1", "1%": "not a number"}},
	"tracing.client_rate": {"3", func(c node.Config) any { return c.Tracing.ClientRate }, 3.0,
		map[string]string{"-1": "between 0 (none) and 1000", "1001": "between 0 (none) and 1000"}},
	"tracing.ca_file":      {"/ca", func(c node.Config) any { return c.Tracing.CAFile }, "/ca", nil},
	"tracing.headers_file": {"/h", func(c node.Config) any { return c.Tracing.HeadersFile }, "/h", nil},
	"debug.listen": {"localhost:7", func(c node.Config) any { return c.Debug.Listen }, "localhost:7",
		map[string]string{"0.0.0.0:7": "not on loopback", ":7": "not on loopback", "10.0.0.1:7": "not on loopback",
			"debug.example:7": "not on loopback", "127.0.0.1": "must be host:port"}},
	"debug.block_rate": {"10000", func(c node.Config) any { return c.Debug.BlockRate }, 10000,
		map[string]string{"-1": "0 (off), or 1000", "999": "0 (off), or 1000", "1us": "not a number"}},
	"debug.mutex_fraction": {"10", func(c node.Config) any { return c.Debug.MutexFraction }, 10,
		map[string]string{"-1": "0 (off) or more"}},
	"audit_log.file": {"/log", func(c node.Config) any { return c.Audit.File }, "/log", nil},
	"audit_log.max_bytes": {"7", func(c node.Config) any { return c.Audit.MaxBytes }, int64(7),
		map[string]string{"-1": "0 (never) or more", "7k": "not a number", "9223372036854775808": "not a number"}},
	"audit_log.keep": {"1w", func(c node.Config) any { return c.Audit.Keep }, 7 * 24 * time.Hour,
		map[string]string{"-1h": "0 (always) or more", "3 weeks": "no time span", "7": "no time span"}},
	"trusted_proxies": {"10.0.0.0/8", func(c node.Config) any { return fmt.Sprint(c.TrustedProxies) },
		fmt.Sprint([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}),
		map[string]string{"10.0.0.1/8": "the network is 10.0.0.0/8", "proxy": "neither a network", "::/0": "everybody"}},
	"record_remote": {"false", func(c node.Config) any { return c.RecordRemote }, false, notBool},
	"max_body": {"2048", func(c node.Config) any { return c.MaxBody }, 2048,
		map[string]string{"1023": "between 1024", "4194305": "between 1024", "1MiB": "not a number"}},
	"copy_rate": {"1000", func(c node.Config) any { return c.CopyRate }, 1000,
		map[string]string{"-1": "0 or more", "32MiB": "not a number"}},
	"ballast": {"0", func(c node.Config) any { return c.Ballast }, int64(0),
		map[string]string{"-1": "0 or more", "1GiB": "not a number"}},
	"election_timeout": {"150ms", func(c node.Config) any { return c.ElectionTimeout }, 150 * time.Millisecond,
		map[string]string{"99ms": "between 100ms and 1m", "61s": "between 100ms and 1m", "2": "no time span"}},
	"accept_clock": {"2026-01-02T03:04:05Z", func(c node.Config) any { return c.AcceptClock.Unix() }, int64(1767323045),
		map[string]string{"2026-01-02": "is no time such as", "now": "is no time such as"}},
	"fold_read_bytes": {"7", func(c node.Config) any { return c.FoldReadBytes }, 7, notNumber},
}

var (
	notBool    = map[string]string{"maybe": "neither true nor false", "2": "neither true nor false"}
	notNumber  = map[string]string{"many": "not a number", "1.5": "not a number", "99999999999999999999": "not a number"}
	notRate    = map[string]string{"many": "not a number", "-1": "between 0", "NaN": "between 0", "1e10": "between 0"}
	notAddress = map[string]string{"nonsense": "host:port", "127.0.0.1:0": "1..65535", "127.0.0.1:http": "1..65535",
		"a b:7": "neither an address nor a host name"}
)

// oneSetting reads a configuration in which only this setting is given, in one layer, and what is said of the setting.
func oneSetting(t *testing.T, s setting, layer, text string) (node.Config, string) {
	t.Helper()
	path, env, fs := "", map[string]string{}, flags(t)
	switch layer {
	case "file":
		_, yaml := settingsWith(s.key, fmt.Sprintf("%q", text))
		path = write(t, "config.yaml", yaml)
	case "environment":
		env[s.env] = text
	case "flag":
		fs = flags(t, "--"+s.flag()+"="+text)
	}
	v, err := load(path, fs, environment(env))
	c, bad := v.nodeConfig()
	var said []string
	for line := range strings.Lines(errors.Join(err, bad, errors.New("")).Error()) {
		if strings.Contains(line, s.key) && !strings.HasSuffix(line, " is required\n") &&
			!strings.HasPrefix(line, "metrics_user and metrics_pass") {
			said = append(said, line)
		}
	}
	return c, strings.Join(said, "")
}

// TestEverySetting gives each setting a good text and wrong ones in each layer. A good one arrives in its field and in no
// other one, a wrong one is refused by the name of the setting and leaves the default.
func TestEverySetting(t *testing.T) {
	for _, s := range settings {
		c, listed := everySetting[s.key]
		if !listed && s.field.set == nil {
			continue
		}
		if !listed {
			t.Errorf("%s is not tried; add it to everySetting", s.key)
			continue
		}
		layers := []string{"file", "environment", "flag"}
		if s.secret {
			layers = layers[:2]
		}
		for _, layer := range layers {
			got, said := oneSetting(t, s, layer, c.good)
			if c.at(got) != c.want || strings.Contains(said, s.key+":") {
				t.Errorf("%s by %s: %v, want %v; %s", s.key, layer, c.at(got), c.want, said)
			}
			for text, want := range c.bad {
				if layer == "file" && strings.Contains(text, "\t") {
					continue // a tab is no text of YAML
				}
				if _, said := oneSetting(t, s, layer, text); !strings.Contains(said, want) {
					t.Errorf("%s by %s: %q: %q, want %q", s.key, layer, text, said, want)
				}
			}
		}
		if _, said := oneSetting(t, s, "environment", c.good+"\r"); !s.secret && !strings.Contains(said, "control character") {
			t.Errorf("%s with a carriage return: %q", s.key, said)
		}
	}
}

// TestSettingsDoNotMeet: each good text changes one field of the defaults and leaves the others.
func TestSettingsDoNotMeet(t *testing.T) {
	base, _ := values{text: map[string]string{}}.nodeConfig()
	for key, c := range everySetting {
		got, _ := oneSetting(t, settingOf(key), "environment", c.good)
		for other, o := range everySetting {
			follows := key == "token_rate" && other == "address_rate"
			if changed := o.at(got) != o.at(base); changed != (key == other || follows) {
				t.Errorf("%s=%s: changed %s: %v", key, c.good, other, changed)
			}
		}
	}
}

// TestWrongTextKeepsTheDefault: one wrong setting is one problem, and not another one about the value that stands for it.
func TestWrongTextKeepsTheDefault(t *testing.T) {
	for _, s := range settings {
		c := everySetting[s.key]
		for text, want := range c.bad {
			if want != "not a number" && want != "no time span" && want != "neither true nor false" {
				continue
			}
			got, said := oneSetting(t, s, "environment", text)
			if base, _ := (values{text: map[string]string{}}).nodeConfig(); c.at(got) != c.at(base) {
				t.Errorf("%s=%s: %v", s.key, text, c.at(got))
			}
			if strings.Count(said, "\n") > 1 {
				t.Errorf("%s=%s: said twice: %s", s.key, text, said)
			}
		}
	}
}

// TestRelativeNames: names of files are relative to the settings file in it, and to the working directory elsewhere.
func TestRelativeNames(t *testing.T) {
	for _, s := range settings {
		isFile := strings.HasSuffix(s.key, "_file") || s.key == "dir" || s.key == "audit_log.file"
		if s.secret || s.field.kind != kindText || s.field.set == nil || s.key == "accept_clock" {
			continue
		}
		_, yaml := settingsWith(s.key, "x")
		path := write(t, "config.yaml", yaml)
		v, err := load(path, flags(t), environment(nil))
		want := "x"
		if isFile {
			want = filepath.Join(filepath.Dir(path), "x")
		}
		if err != nil || v.text[s.key] != want || v.origin[s.key] != "file "+path {
			t.Errorf("%s in the file: %q of %s, %v", s.key, v.text[s.key], v.origin[s.key], err)
		}
		v, err = load(path, flags(t, "--"+s.flag(), "y"), environment(map[string]string{s.env: "z"}))
		if err != nil || v.text[s.key] != "y" || v.origin[s.key] != "flag --"+s.flag() {
			t.Errorf("%s as flag: %q of %s, %v", s.key, v.text[s.key], v.origin[s.key], err)
		}
	}
}

// TestFilesThatAreNoSettings: what cannot be read as settings is one problem with the name of the file.
func TestFilesThatAreNoSettings(t *testing.T) {
	for text, want := range map[string]string{
		"a: b: c":                   "mapping values are not allowed",
		"voters: {id: n1}\n":        "voters: must be a list",
		"voters: [n1]\n":            "voters[0]: must have id, peer and api",
		"voters: [{id: [a]}]\n":     "voters[0].id: is read as a list",
		"7: x\n":                    "a name must be text",
		"node_id: &a n1\ndir: *a\n": "", // an alias is what it names
		"\n":                        "",
		"# nothing\n":               "",
	} {
		path := write(t, "config.yaml", text)
		_, err := load(path, flags(t), environment(nil))
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "settings file "+path)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := load("/nowhere/config.yaml", flags(t), environment(nil)); err == nil {
		t.Error("a file that is not there")
	}
}
