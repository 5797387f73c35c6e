package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/wire"
)

// own rejects a directory that dev has not made and that has files that dev would replace: settings and keys of
// other nodes.
func (d *devCluster) own() error {
	if _, err := os.Lstat(filepath.Join(d.dir, "cluster-id")); err == nil {
		return nil
	}
	taken := []string{"ca.pem", "endpoints.json", "keys", "tokens", "peer-ca", "api-ca"}
	for i := range d.nodes {
		taken = append(taken, d.nodeID(i))
	}
	for _, name := range taken {
		if _, err := os.Lstat(filepath.Join(d.dir, name)); err == nil {
			return &usageError{fmt.Errorf("--dir: %s has %s, and is not a directory of recount-node dev; "+
				"nothing was written. Give another name",
				d.dir, name)}
		}
	}
	return nil
}

// prepare creates the missing files in the directory. It keeps existing ones.
func (d *devCluster) prepare() error {
	if err := d.own(); err != nil {
		return err
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	clusterID, err := d.clusterID() // the first file, which marks the directory as dev's
	if err != nil {
		return err
	}
	for _, dir := range []string{"keys", "tokens", "peer-ca", "api-ca"} {
		if err := os.MkdirAll(filepath.Join(d.dir, dir), 0o700); err != nil {
			return err
		}
	}
	if err := d.writeTokens(); err != nil {
		return err
	}
	keyLines, err := d.writeKeys()
	if err != nil {
		return err
	}
	if d.sample {
		if keyLines, err = d.withSample(keyLines); err != nil {
			return err
		}
	}
	if err := d.writeCheckpointKey(clusterID); err != nil {
		return err
	}
	apiCA, err := authority(filepath.Join(d.dir, "api-ca"), "Recount dev API CA")
	if err != nil {
		return err
	}
	peerCA, err := authority(filepath.Join(d.dir, "peer-ca"), "Recount dev peer CA")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(d.dir, "ca.pem"), apiCA.CertPEM(), 0o644); err != nil {
		return err
	}
	for i := range d.nodes {
		if err := d.prepareNode(i, clusterID, keyLines, apiCA, peerCA); err != nil {
			return fmt.Errorf("prepare %s: %w", d.nodeID(i), err)
		}
	}
	return nil
}

// clusterID returns the id of the cluster. It is generated once and kept in DIR/cluster-id.
func (d *devCluster) clusterID() (string, error) {
	path := filepath.Join(d.dir, "cluster-id")
	b, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	raw := make([]byte, 8)
	if _, err := rand.Read(raw); err != nil {
		return "", err
	}
	id := "dev-" + hex.EncodeToString(raw)
	return id, os.WriteFile(path, []byte(id+"\n"), 0o644)
}

// writeTokens makes one token of each role, and the tokens file for the nodes.
func (d *devCluster) writeTokens() error {
	lines := "# id role sha256 expiry name; the tokens are beside this file. Written by recount-node dev.\n"
	for _, role := range wire.Roles() {
		path := filepath.Join(d.dir, "tokens", string(role)+".token")
		text, id, err := devToken(path, role)
		if err != nil {
			return err
		}
		lines += fmt.Sprintf("%s %s %s never dev-%s\n", id, role, wire.TokenDigest(text), role)
	}
	return os.WriteFile(filepath.Join(d.dir, "tokens", "tokens"), []byte(lines), 0o600)
}

// devToken reads a token. If the file does not exist or holds no token, devToken makes one.
func devToken(path string, role wire.Role) (text, id string, err error) {
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", err
	}
	text = strings.TrimSpace(string(b))
	if has, id, err := wire.ParseToken(text); err == nil && has == role {
		return text, id, nil
	}
	if text, id, err = wire.NewToken(role); err != nil {
		return "", "", err
	}
	return text, id, os.WriteFile(path, []byte(text+"\n"), 0o600)
}

// keySettings are the key settings that dev copies from its environment into files of the cluster.
var keySettings = []string{"pcs_hmac_key", "pcs_hmac_keys", "pcs_ed25519_pub_b64"}

// writeKeys stores the key settings of the environment below DIR/keys, so that a node started by hand has them
// too. Without any, keys stored earlier stay, and a new cluster gets a demo key.
func (d *devCluster) writeKeys() ([]string, error) {
	v, err := load("", devFlags(), os.LookupEnv)
	if err != nil {
		return nil, &usageError{err}
	}
	given := false
	for _, key := range keySettings {
		given = given || v.text[key] != ""
	}
	list := filepath.Join(d.dir, "keys", "settings")
	if !given {
		b, err := os.ReadFile(list)
		if err == nil {
			return strings.Split(strings.TrimSpace(string(b)), "\n"), nil
		}
		if !errors.Is(err, fs.ErrNotExist) { // a new key would replace the one that signs the records of this ledger
			return nil, err
		}
		raw := make([]byte, 32)
		if _, err := rand.Read(raw); err != nil {
			return nil, err
		}
		v.text["pcs_hmac_key"] = base64.StdEncoding.EncodeToString(raw)
	}
	var lines []string
	if alg := v.text["pcs_sign_alg"]; alg != "" {
		lines = append(lines, fmt.Sprintf("pcs_sign_alg: %q", alg))
	}
	for _, key := range keySettings {
		if v.text[key] == "" {
			continue
		}
		name := key
		if !given {
			name = "demo-hmac"
		}
		path := filepath.Join(d.dir, "keys", name+".key")
		if err := os.WriteFile(path, []byte(v.text[key]+"\n"), 0o600); err != nil {
			return nil, err
		}
		lines = append(lines, fmt.Sprintf("%s_file: %q", key, path))
	}
	return lines, os.WriteFile(list, []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

// devFlags returns an empty flag set, because dev takes key settings from the environment only.
func devFlags() *pflag.FlagSet { return pflag.NewFlagSet("dev", pflag.ContinueOnError) }

func authority(dir, name string) (*certs.CA, error) {
	ca, err := certs.LoadCA(dir, "ca")
	if err == nil {
		return ca, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if ca, err = certs.NewCA(name); err != nil {
		return nil, err
	}
	return ca, ca.Save(dir, "ca")
}

func (d *devCluster) prepareNode(i int, clusterID string, keyLines []string, apiCA, peerCA *certs.CA) error {
	dir := d.nodeDir(i)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	names := certs.Request{
		CommonName: d.nodeID(i),
		DNS:        []string{"localhost", d.nodeID(i)},
		IPs:        []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		Server:     true,
	}
	if err := issue(apiCA, filepath.Join(dir, "api"), names); err != nil {
		return err
	}
	names.Client = true
	names.URIs = []string{"recount://" + clusterID + "/node/" + d.nodeID(i)}
	if err := issue(peerCA, filepath.Join(dir, "peer"), names); err != nil {
		return err
	}
	more, err := d.perNode(i)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(d.settingsFile(i, clusterID, keyLines)+more), 0o600)
}

func issue(ca *certs.CA, base string, r certs.Request) error {
	if _, err := os.Stat(base + ".pem"); err == nil {
		return nil
	}
	cert, key, err := ca.Issue(r)
	if err != nil {
		return err
	}
	if err := os.WriteFile(base+"-key.pem", key, 0o600); err != nil {
		return err
	}
	return os.WriteFile(base+".pem", cert, 0o644)
}

func (d *devCluster) settingsFile(i int, clusterID string, keyLines []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Settings of %s, written by recount-node dev. Relative names are relative to this file.
node_id: %q
cluster_id: %q
dir: data
pid_file: pid
checkpoint_key_file: ../checkpoint.key
api:
  listen: "127.0.0.1:%d"
  cert_file: api.pem
  key_file: api-key.pem
peer:
  listen: %q
  ca_file: ../peer-ca/ca.crt
  cert_file: peer.pem
  key_file: peer-key.pem
voters:
`, d.nodeID(i), d.nodeID(i), clusterID, d.basePort+10*i, d.peerAddr(i))
	for j := range d.nodes {
		fmt.Fprintf(&b, "  - {id: %q, peer: %q, api: %q}\n", d.nodeID(j), d.peerAddr(j), d.apiURL(j))
	}
	fmt.Fprintf(&b, "pcs_profiles: %q\n", envOr("PCS_PROFILES", d.profiles()))
	fmt.Fprintf(&b, "auth:\n  required: %s\n  two_person: %s\n  tokens_file: ../tokens/tokens\n  failures: %s\n",
		envOrDefault("auth.required"), envOrDefault("auth.two_person"), envOrDefault("auth.failures"))
	fmt.Fprintf(&b, "ballast: 0\n")
	fmt.Fprintf(&b, "token_rate: %s\n", envOr("TOKEN_RATE", "0"))
	for _, line := range keyLines {
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

// profiles returns the profiles of the first policy: those of production, unless all are requested.
func (d *devCluster) profiles() string {
	set := pcs.DefaultProfiles
	if d.allProfiles {
		set = pcs.AllProfiles
	}
	return profileNames(set)
}

func envOr(name, def string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return def
}

// envOrDefault returns the text of a setting in the environment, or its default.
func envOrDefault(key string) string {
	s := settingOf(key)
	return envOr(s.env, s.def())
}

// ownSetting reports whether the settings file that dev writes decides a setting. In the environment it would
// be the same for all nodes.
func ownSetting(key string) bool {
	inherited := strings.HasPrefix(key, "tracing.") ||
		slices.Contains([]string{"api.client_ca_file", "debug.block_rate", "debug.mutex_fraction"}, key)
	return strings.Contains(key, ".") && !inherited || slices.Contains(keySettings, key) ||
		slices.Contains([]string{"node_id", "cluster_id", "dir", "pid_file", "checkpoint_key_file", "token_rate",
			"pcs_profiles", "pcs_sign_alg"}, key)
}

// childEnv returns the environment without the settings that are in the settings files of the nodes.
func childEnv() []string {
	own := map[string]bool{}
	for _, s := range settings {
		if ownSetting(s.key) {
			own[s.env], own[s.env+"_FILE"] = true, true
		}
	}
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return own[name]
	})
}
