package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/wire"
)

const good = `
node_id: n1
cluster_id: c
dir: data
api: {listen: "127.0.0.1:1", cert_file: a.pem, key_file: /abs/a.key}
peer: {listen: "127.0.0.1:2", ca_file: ca.pem, cert_file: p.pem, key_file: p.key}
voters: [{id: n1, peer: "127.0.0.1:2", api: "https://127.0.0.1:1"}]
`

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func environment(m map[string]string) func(string) (string, bool) {
	return func(k string) (string, bool) { v, ok := m[k]; return v, ok }
}

func flags(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	addFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

func TestPrecedence(t *testing.T) {
	path := write(t, "config.yaml", good+"token_rate: 7\nmax_body: 2048\nelection_timeout: 3s\n")
	env := environment(map[string]string{"TOKEN_RATE": "8", "RECOUNT_MAX_BODY": "4096"})
	v, err := load(path, flags(t, "--token-rate", "9"), env)
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.nodeConfig()
	if err != nil {
		t.Fatal(err)
	}
	if c.TokenRate != 9 || c.MaxBody != 4096 || c.ElectionTimeout.Seconds() != 3 || c.ThrottleStatus != 429 || c.Profiles != pcs.DefaultProfiles {
		t.Errorf("%+v", c)
	}
	if want := filepath.Join(filepath.Dir(path), "a.pem"); c.API.Cert != want || c.API.Key != "/abs/a.key" {
		t.Errorf("names relative to the file: %q %q", c.API.Cert, c.API.Key)
	}
}

func TestEveryProblemIsReported(t *testing.T) {
	path := write(t, "config.yaml", "node_id: n1\ntokenrate: 5\nlisten: x\nthrottle_status: 418\nvoters: [{id: a, peer: bad, api: http://x}, {id: a, peer: 'h:1', api: 'https://x'}]\n")
	v, err := load(path, flags(t), environment(map[string]string{"TOKEN_RATE": "many", "PCS_SIGN_ALG": "rsa", "PCS_PROFILES": "f9,xml"}))
	text := ""
	if err != nil {
		text = err.Error()
	}
	if _, err := v.nodeConfig(); err != nil {
		text += "\n" + err.Error()
	}
	for _, want := range []string{`"tokenrate", did you mean "token_rate"`, `"listen", did you mean "api.listen"`, `"many" is not a number`, `"rsa"`, `"xml"`,
		"418", "cluster_id is required", "not 2", "voters[0].peer", "voters[0].api", "voters[1].id", "not among them"} {
		if !strings.Contains(text, want) {
			t.Errorf("missing %q in:\n%s", want, text)
		}
	}
}

func TestSecretFiles(t *testing.T) {
	key := write(t, "key", "secret-text\n")
	path := write(t, "config.yaml", good+"pcs_hmac_key: from-file\n")
	v, err := load(path, flags(t), environment(map[string]string{"PCS_HMAC_KEY_FILE": key}))
	if err != nil {
		t.Fatal(err)
	}
	if v.text["pcs_hmac_key"] != "secret-text" {
		t.Errorf("exactly one final line feed must go: %q", v.text["pcs_hmac_key"])
	}
	if _, err := load(path, flags(t), environment(map[string]string{"PCS_HMAC_KEY": "a", "PCS_HMAC_KEY_FILE": key})); err == nil {
		t.Error("value and file in one layer must be refused")
	}
	if fs := flags(t); fs.Lookup("pcs-hmac-key") != nil || fs.Lookup("pcs-hmac-key-file") == nil {
		t.Error("a secret must not be a flag, its file must be one")
	}
}

func TestKeysOfSettings(t *testing.T) {
	env := map[string]string{"PCS_HMAC_KEYS": "new,old,new", "PCS_HMAC_KEY": "one", "PCS_ED25519_PUB_B64": "+CpgkgeQRd0qAM1WygfHS4iIs5ceeUpNz+A69X/KbpY="}
	for alg, want := range map[string]int{"": 4, "hmac": 3, "ed25519": 1, "hmac,ed25519": 4} {
		if delete(env, "PCS_SIGN_ALG"); alg != "" {
			env["PCS_SIGN_ALG"] = alg
		}
		v, err := load(write(t, "c.yaml", good), flags(t), environment(env))
		if err != nil {
			t.Fatal(err)
		}
		keys, err := v.keys()
		if err != nil || len(keys) != want {
			t.Errorf("%q: %d keys, %v", alg, len(keys), err)
		}
	}
}

func TestTrustedProxies(t *testing.T) {
	for text, want := range map[string]string{
		"10.1.0.0/16, 192.0.2.7,fd00::/8": "[10.1.0.0/16 192.0.2.7/32 fd00::/8]", "": "[]", "10.1.2.3/8": "the network is 10.0.0.0/8",
		"proxy": "neither a network", "0.0.0.0/0": "everybody", "::/0": "everybody", "::ffff:10.0.0.0/104": "IPv4", "fe80::1%eth0": "neither",
	} {
		env := map[string]string{}
		if text != "" {
			env["RECOUNT_TRUSTED_PROXIES"] = text
		}
		v, err := load(write(t, "c.yaml", good), flags(t, "--api-client-ca-file", "clients.pem"), environment(env))
		if err != nil {
			t.Fatal(err)
		}
		c, err := v.nodeConfig()
		if got := fmt.Sprint(c.TrustedProxies, " ", err); !strings.Contains(got, want) || strings.HasPrefix(want, "[") != (err == nil) {
			t.Errorf("%q: %s", text, got)
		}
		if c.API.CA != "clients.pem" {
			t.Errorf("authorities of clients: %q", c.API.CA)
		}
	}
}

func TestAuthSettings(t *testing.T) {
	tokens := write(t, "tokens", "")
	path := write(t, "config.yaml", good+"auth: {tokens_file: "+tokens+", two_person: true}\n")
	v, err := load(path, flags(t, "--auth-failures", "0"), environment(nil))
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.nodeConfig()
	if err != nil || c.NoAuth || !c.TwoPerson || c.TokensFile != tokens || c.AuthFailures != 0 {
		t.Errorf("%+v %v", c, err)
	}
	for env, part := range map[string]string{"RECOUNT_AUTH_REQUIRED=maybe": "auth.required", "RECOUNT_AUTH_FAILURES=x": "auth.failures", "RECOUNT_AUTH_REQUIRED=false": "auth.two_person: needs auth.required"} {
		name, value, _ := strings.Cut(env, "=")
		v, err := load(path, flags(t), environment(map[string]string{name: value}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.nodeConfig(); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", env, err)
		}
	}
}

// TestDevTokens: one token of each role, real ones, kept by a second start; what is no token is replaced.
func TestDevTokens(t *testing.T) {
	d := &devCluster{dir: t.TempDir()}
	dir := filepath.Join(d.dir, "tokens")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	placeholder := filepath.Join(dir, "auditor.token")
	if err := os.WriteFile(placeholder, []byte("rct_auditor_OLD\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var before string
	for range 2 {
		if err := d.writeTokens(); err != nil {
			t.Fatal(err)
		}
		lines, err := os.ReadFile(filepath.Join(dir, "tokens"))
		if err != nil || before != "" && before != string(lines) {
			t.Errorf("%v\n%s\n%s", err, before, lines)
		}
		before = string(lines)
	}
	for _, role := range wire.Roles() {
		text, err := os.ReadFile(filepath.Join(dir, string(role)+".token"))
		if err != nil {
			t.Fatal(err)
		}
		got, id, err := wire.ParseToken(strings.TrimSpace(string(text)))
		if err != nil || got != role || !strings.Contains(before, id+" "+string(role)+" "+wire.TokenDigest(strings.TrimSpace(string(text)))+" never dev-"+string(role)+"\n") {
			t.Errorf("%s: %v in\n%s", role, err, before)
		}
	}
}

// TestDevProfiles: dev takes the profiles that a node takes by default, all of them when it is asked to, and those of the environment.
func TestDevProfiles(t *testing.T) {
	line := func(d devCluster) string {
		_, rest, _ := strings.Cut(d.settingsFile(0, "c", nil), "\npcs_profiles: ")
		got, _, _ := strings.Cut(rest, "\n")
		return strings.Trim(got, `"`)
	}
	if got, want := line(devCluster{nodes: 1}), settingOf("pcs_profiles").def(); got != want {
		t.Errorf("dev takes %s, a node %s", got, want)
	}
	if all := line(devCluster{nodes: 1, allProfiles: true}); all != "f9,py,es,go,go-fold,py-utf8,ryu,bin,py-bin" {
		t.Errorf("all profiles: %s", all)
	}
	t.Setenv("PCS_PROFILES", "f9")
	if got := line(devCluster{nodes: 1, allProfiles: true}); got != "f9" {
		t.Errorf("PCS_PROFILES=f9 gives %s", got)
	}
}
