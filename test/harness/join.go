package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Join starts one more node beside a dev cluster of this base port, with a certificate and the settings of node 1, and
// returns its peer address. The node waits to be added. program starts it: the binary, or a program that runs the binary.
// Nodes are counted from 0, and their ports follow from the base port. Restart takes it from there.
func (c *Cluster) Join(program []string, port, node int, env ...string) (peer string, err error) {
	dir, id := c.NodeDir(node), fmt.Sprintf("node-%d", node+1)
	api, own := port+10*node, port+10*node+1
	settings, err := os.ReadFile(filepath.Join(c.NodeDir(1), "config.yaml"))
	if err != nil {
		return "", err
	}
	args := []string{"certs", "create-node", "--cluster", SettingOf(string(settings), "cluster_id"), "--node", id, "--host", "localhost",
		"--host", "127.0.0.1", "--peer-ca", filepath.Join(c.Dir, "peer-ca", "ca"), "--api-ca", filepath.Join(c.Dir, "api-ca", "ca"),
		"--out", dir}
	if out, err := exec.Command(program[len(program)-1], args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w: %s", args, err, out)
	}
	change := strings.NewReplacer("node-2", id, fmt.Sprint(port+10), fmt.Sprint(api), fmt.Sprint(port+11), fmt.Sprint(own),
		"api.pem", "api.crt", "api-key.pem", "api.key", "peer.pem", "peer.crt", "peer-key.pem", "peer.key")
	text := change.Replace(string(settings)) + "join: true\n"
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text), 0o600),
		os.WriteFile(filepath.Join(dir, "log"), nil, 0o600)); err != nil {
		return "", err
	}
	c.API = append(c.API, fmt.Sprintf("https://127.0.0.1:%d", api))
	return fmt.Sprintf("127.0.0.1:%d", own), c.RestartAs(node, program, env...)
}

// SettingOf returns the value of a top-level setting.
func SettingOf(settings, name string) string {
	for line := range strings.Lines(settings) {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}
