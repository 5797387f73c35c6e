package main

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/verify"
)

// checked runs `config check` on a settings file.
func checked(t *testing.T, text string, env map[string]string) (values, string) {
	t.Helper()
	v, err := load(write(t, "config.yaml", text), flags(t), environment(env))
	said := fmt.Sprint(err)
	if _, err := v.nodeConfig(); err != nil {
		said += "\n" + err.Error()
	}
	return v, said
}

// TestYAMLKinds: what YAML reads as something else than text would be written back as another text, so a secret of digits
// would be another secret. Every such setting is refused by name.
func TestYAMLKinds(t *testing.T) {
	for _, s := range settings {
		for _, suffix := range suffixes(s) {
			for value, kind := range map[string]string{"0123456789": "a number", "12345678901234567890123": "a number", "1.5e3": "a number", "True": "true or false",
				"2026-11-29": "a date", "~": "no value", "": "no value", "''": "no value", "' '": "no value", "!!binary YQ==": "bytes"} {
				key := s.key + suffix
				top, text := settingsWith(key, value)
				if suffix == "" && (kind == "a number" && s.field.kind == kindNumber ||
					kind == "true or false" && s.field.kind == kindBool) {
					continue
				}
				if _, said := checked(t, text, nil); !strings.Contains(said, key+":") || !strings.Contains(said, kind) {
					t.Errorf("%s: %s\n%s", top, value, said)
				}
			}
		}
	}
}

// settingsWith is a settings file with this setting and nothing else.
func settingsWith(key, value string) (top, text string) {
	if top, below, ok := strings.Cut(key, "."); ok {
		return top, top + ":\n  " + below + ": " + value + "\n"
	}
	return key, key + ": " + value + "\n"
}

// TestYAMLOfDefaults: a setting whose default is a number or a truth value may be written in YAML as it stands.
func TestYAMLOfDefaults(t *testing.T) {
	for _, s := range settings {
		if s.def() == "" {
			continue
		}
		_, text := settingsWith(s.key, s.def())
		if _, errs := yamlTexts(write(t, "config.yaml", text)); len(errs) > 0 {
			t.Errorf("%s: %v", text, errs)
		}
	}
}

// TestYAMLLists: several keys may be a list in YAML; it means the same as one text with commas.
func TestYAMLLists(t *testing.T) {
	id := func(secret string) string {
		k, err := verify.NewHMACKey([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(k.Fingerprint[:])
	}
	for text, want := range map[string][]string{
		"pcs_hmac_keys: [old, new]": {"old", "new"}, "pcs_hmac_keys: old,new": {"old", "new"}, "pcs_hmac_keys:\n- '007'\n- \"1e3\"": {"007", "1e3"},
		"pcs_hmac_key: '0123456789'": {"0123456789"}, "pcs_hmac_key: a b": {"a b"},
	} {
		v, said := checked(t, good+text+"\n", nil)
		keys, err := v.keys()
		if said != "<nil>" || err != nil || len(keys) != len(want) {
			t.Errorf("%s: %s %v", text, said, err)
			continue
		}
		for i, k := range keys {
			if hex.EncodeToString(k.Fingerprint[:]) != id(want[i]) {
				t.Errorf("%s: key %d is %s", text, i, k.ID)
			}
		}
	}
	for text, want := range map[string]string{
		"pcs_hmac_keys: [old, 7]": "pcs_hmac_keys[1]: is read as a number", "pcs_hmac_keys: [old, '']": "pcs_hmac_keys[1]", "pcs_hmac_keys: ['a,b']": "pcs_hmac_keys[0]",
		"pcs_hmac_keys: []": "pcs_hmac_keys: is an empty list", "pcs_hmac_keys: [[a]]": "pcs_hmac_keys[0]", "pcs_hmac_key: [a, b]": "pcs_hmac_key: is read as a list",
		"metrics_pass: [a]": "metrics_pass: is read as a list", "pcs_hmac_keys: {a: b}": `unknown key "pcs_hmac_keys.a"`, "pcs_hmac_keys: 'old, new'": "number 2: begins or ends with a blank",
		"pcs_hmac_keys: old,,new": "pcs_hmac_keys: has an empty part", "trusted_proxies: '10.0.0.0/8,'": "trusted_proxies: has an empty part",
		"token_rate: 0x10": "token_rate", "election_timeout: 5": "election_timeout", "auth: {required: 1}": "auth.required: is read as a number",
		"auth: {required: yes please}": "auth.required",
	} {
		if _, said := checked(t, good+text+"\n", nil); !strings.Contains(said, want) {
			t.Errorf("%s: %s", text, said)
		}
	}
}

// TestEmptyEnvironment: a variable that was made of an unset one says nothing; taken for "not given" it would turn the
// two-person rule off, or a rate. Without METRICS_USER a node takes fewer credentials, not more.
func TestEmptyEnvironment(t *testing.T) {
	for _, s := range settings {
		for _, value := range []string{"", " "} {
			_, err := load(write(t, "config.yaml", good), flags(t), environment(map[string]string{s.env: value}))
			if named := err != nil && strings.Contains(err.Error(), "environment "+s.env+" is set to nothing"); named == (s.secret || s.none && value == "") {
				t.Errorf("%s=%q: %v", s.env, value, err)
			}
		}
	}
}

// TestOneDocument: what stands behind a second --- would not count.
func TestOneDocument(t *testing.T) {
	for _, behind := range []string{"---\npcs_hmac_key: two\n", "---\n", "...\n---\nx: 1\n", "--- text\n"} {
		if _, said := checked(t, good+"pcs_hmac_key: one\n"+behind, nil); !strings.Contains(said, "a second document") {
			t.Errorf("%q: %s", behind, said)
		}
	}
	if _, said := checked(t, "---\n"+good+"...\n", nil); said != "<nil>" {
		t.Errorf("one document: %s", said)
	}
}

// TestDirtySecrets: a byte order mark, carriage returns, blanks, several lines and UTF-16 are never meant as a part of a key.
func TestDirtySecrets(t *testing.T) {
	for content, want := range map[string]string{
		"secret\n": "", "secret": "", "two words\n": "", "secret\r\n": "carriage return", "\xef\xbb\xbfsecret\n": "byte order mark", "secret\n\n": "more than one line",
		"secret \n": "blank", " secret\n": "blank", "\u00a0secret\n": "blank", "s\x00e\x00c\x00r\x00e\x00t\x00\n\x00": "not UTF-8", "\xff\xfes\x00": "byte order mark",
		"one\ntwo\n": "more than one line", "sec\tret\n": "control character", "\xff\n": "not UTF-8", "\nsecret\n": "more than one line",
	} {
		path := write(t, "secret", content)
		for _, env := range []string{"PCS_HMAC_KEY", "PCS_HMAC_KEYS", "METRICS_PASS"} {
			_, said := checked(t, good, map[string]string{env + "_FILE": path, "METRICS_USER": "u"})
			if env != "METRICS_PASS" {
				_, said = checked(t, good, map[string]string{env + "_FILE": path})
			}
			if want == "" && said != "<nil>" || !strings.Contains(said, want) || want != "" && !strings.Contains(said, strings.ToLower(env)+"_file") {
				t.Errorf("%s %q: %s", env, content, said)
			}
			if strings.Contains(said, "secret\n") && want == "" {
				t.Errorf("a secret in an error: %s", said)
			}
		}
	}
	for env, want := range map[string]string{"PCS_HMAC_KEY= a": "blank", "PCS_HMAC_KEYS=old, new": "number 2", "PCS_HMAC_KEY=a\r": "carriage return", "PCS_HMAC_KEYS=a,": "empty part",
		"METRICS_PASS=a ": "metrics_pass: begins or ends", "RECOUNT_DIR=data\r": "dir: has a control character"} {
		name, value, _ := strings.Cut(env, "=")
		if _, said := checked(t, good, map[string]string{name: value, "METRICS_USER": "u"}); !strings.Contains(said, want) {
			t.Errorf("%q: %s", env, said)
		}
	}
}

// TestNonsenseAddresses: members that share an address, addresses that nothing can be bound to or reached at, ids that no
// certificate can have: all refused by the name of the setting before anything is opened.
func TestNonsenseAddresses(t *testing.T) {
	three := strings.Split(good, "voters:")[0] + "voters:\n- {id: n1, peer: '10.0.0.1:2', api: 'https://10.0.0.1:1'}\n- {id: n2, peer: '10.0.0.2:2', api: 'https://10.0.0.2:1'}\n" +
		"- {id: n3, peer: '10.0.0.3:2', api: 'https://10.0.0.3:1'}\n"
	if _, said := checked(t, three, nil); said != "<nil>" {
		t.Fatal(said)
	}
	for change, want := range map[string]string{
		"10.0.0.3:2=10.0.0.2:2": "voters[2].peer", "https://10.0.0.3:1=https://10.0.0.2:1": "voters[2].api", "https://10.0.0.3:1=https://10.0.0.3:2": "voters[2].api",
		"api: 'https://10.0.0.2:1'=api: 'https://10.0.0.2:1', apii: x": "unknown member \"apii\"", "id: n3=id: N2": "voters[2].id", "id: n3=id: a/b": "no certificate", "id: n3=id: 3": "quote it",
		"127.0.0.1:2=127.0.0.1:1": "peer.listen", "127.0.0.1:2=nonsense": "peer.listen", "127.0.0.1:2='127.0.0.1:70000'": "peer.listen", "10.0.0.3:2=10.0.0.3:0": "voters[2].peer",
		"10.0.0.3:2=0.0.0.0:2": "voters[2].peer", "10.0.0.3:2=[::]:2": "voters[2].peer", "10.0.0.3:2=:2": "voters[2].peer", "10.0.0.3:2=a b:2": "voters[2].peer",
		"https://10.0.0.3:1=https://10.0.0.3:1/v1": "voters[2].api", "https://10.0.0.3:1=https://0.0.0.0:1": "voters[2].api", "https://10.0.0.3:1=http://10.0.0.3:1": "voters[2].api",
		"cluster_id: c=cluster_id: c/d": "cluster_id", "node_id: n1=node_id: n1\nelection_timeout: 1000h": "election_timeout", "node_id: n1=node_id: n1\nmetrics: {listen: '127.0.0.1:2'}": "metrics.listen",
		"127.0.0.1:1=:1": "<nil>", "127.0.0.1:1=0.0.0.0:2": "peer.listen", "127.0.0.1:1=localhost:http": "api.listen",
	} {
		from, to, _ := strings.Cut(change, "=")
		text := strings.ReplaceAll(three, from, strings.Trim(to, "'"))
		if text == three {
			t.Errorf("%q changes nothing", change)
		}
		if _, said := checked(t, text, nil); !strings.Contains(said, want) {
			t.Errorf("%q: %s", change, said)
		}
	}
}

// TestSettingsThatAreAKey: a file that holds no settings is not quoted, because it may be a secret.
func TestSettingsThatAreAKey(t *testing.T) {
	for _, text := range []string{"superSecretKeyValue1234567890\n", "- superSecretKeyValue\n", "'superSecretKeyValue'\n"} {
		_, said := checked(t, text, nil)
		if strings.Contains(said, "superSe") || !strings.Contains(said, "must be a mapping of names and values") {
			t.Errorf("%q: %s", text, said)
		}
	}
}
