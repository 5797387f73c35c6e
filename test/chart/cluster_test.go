package chart

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/chartutil"
)

// process is a node that runs with the settings of its pod.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// start starts the node of a pod.
func (c *cluster) start(pod, config string) *process {
	c.t.Helper()
	dir, err := programs()
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := os.CreateTemp(c.dir, pod+"-*.log")
	if err != nil {
		c.t.Fatal(err)
	}
	p := &process{cmd: exec.Command(filepath.Join(dir, "recount-node"), "serve", "--config", config), log: out.Name(),
		done: make(chan struct{})}
	p.cmd.Stderr, p.cmd.Env = out, []string{"HOME=" + c.dir}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		_ = out.Close()
		close(p.done)
	}()
	c.t.Cleanup(func() { p.stop(syscall.SIGKILL) })
	return p
}

func (p *process) stop(signal syscall.Signal) {
	_ = p.cmd.Process.Signal(signal)
	<-p.done
}

// says waits until the log of a node contains a text, or /readyz of its pod, asked as the kubelet asks it.
func (c *cluster) says(p *process, pod, want string) {
	c.t.Helper()
	client := &http.Client{Timeout: 5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(c.t.Context(), 90*time.Second)
	defer cancel()
	for ended := false; ; {
		log, err := os.ReadFile(p.log)
		if err != nil {
			c.t.Fatal(err)
		}
		said := string(log)
		if resp, err := client.Get("https://" + c.at(pod, "9440") + "/readyz?verbose"); err == nil {
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			said += string(body)
		}
		if strings.Contains(said, want) {
			return
		}
		if ended || ctx.Err() != nil {
			c.t.Fatalf("%s, ended %t, does not say %q:\n%s", pod, ended, want, said)
		}
		select {
		case <-ctx.Done():
		case <-p.done:
			ended = true // and its log is whole
		case <-tick.C:
		}
	}
}

const ready = "readyz check passed"

// installed starts the nodes of an installation, and returns the settings that they have after an upgrade, too.
func (c *cluster) installed() (nodes map[string]*process, before, after map[string]string) {
	c.t.Helper()
	v := values(c.t, "secrets-values.yaml")
	before = c.settings(render(c.t, v, false), true)
	after = c.settings(render(c.t, v, true), true)
	nodes = map[string]*process{}
	for pod, config := range before {
		nodes[pod] = c.start(pod, config)
	}
	for pod, p := range nodes {
		c.says(p, pod, ready)
	}
	return nodes, before, after
}

// TestClusterIsFoundedOnce: the rendered settings found a cluster. A node that lost its volume comes back neither with
// the settings of the upgrade nor with those of the installation, and a pod that helm does not know has no settings.
func TestClusterIsFoundedOnce(t *testing.T) {
	c := newCluster(t, "ledger", 3)
	nodes, before, after := c.installed()
	nodes["recount-1"].stop(syscall.SIGTERM)
	c.says(c.start("recount-1", after["recount-1"]), "recount-1", ready)
	nodes["recount-2"].stop(syscall.SIGKILL)
	if err := os.RemoveAll(c.path("data", "recount-2")); err != nil {
		t.Fatal(err)
	}
	lost := c.start("recount-2", after["recount-2"])
	<-lost.done
	c.says(lost, "recount-2", "new-cluster")
	again := c.start("recount-2", before["recount-2"])
	c.says(again, "recount-2", "lost its disk and must not vote")
	c.says(nodes["recount-0"], "recount-0", ready)
	scaled := c.start("recount-3", filepath.Join(filepath.Dir(after["recount-0"]), "recount-3.yaml"))
	<-scaled.done
	c.says(scaled, "recount-3", "recount-3.yaml: no such file")
}

// TestInvitedNodeJoins: a node joins with the settings, the Secrets and the token of docs/kubernetes.md, and a node
// without a token that counts waits.
func TestInvitedNodeJoins(t *testing.T) {
	c := newCluster(t, "ledger", 3)
	nodes, _, _ := c.installed()
	c.invite("recount-3", "recount-3")
	c.invite("recount-4", "recount-4")
	c.tool("cluster", "invite", "recount-4", "--withdraw", "--reason", "no more readers")
	v := chartutil.CoalesceTables(values(t, `
replicas: 5
joined: [{ordinal: 3, tokenSecret: recount-3-join}, {ordinal: 4, tokenSecret: recount-4-join}]
`), values(t, "secrets-values.yaml"))
	configs := c.settings(render(t, v, true), true)
	joined, refused := c.start("recount-3", configs["recount-3"]), c.start("recount-4", configs["recount-4"])
	c.says(joined, "recount-3", ready)
	c.says(refused, "recount-4", "join_token_withdrawn")
	c.tool("cluster", "promote", "recount-3", "--wait", "1m", "--reason", "a fourth voter")
	status := c.tool("cluster", "status")
	if !strings.Contains(status, "recount-3") || strings.Contains(status, "recount-4") {
		t.Errorf("the members are\n%s", status)
	}
	// The other nodes need no other settings. With those of the upgrade they start as well.
	nodes["recount-0"].stop(syscall.SIGTERM)
	c.says(c.start("recount-0", configs["recount-0"]), "recount-0", ready)
}

// TestLostNodeIsReplaced: a new node with the name and the address of the pod that lost its volume takes its place, as
// docs/kubernetes.md says.
func TestLostNodeIsReplaced(t *testing.T) {
	c := newCluster(t, "ledger", 3)
	nodes, _, _ := c.installed()
	nodes["recount-2"].stop(syscall.SIGKILL)
	if err := os.RemoveAll(c.path("data", "recount-2")); err != nil {
		t.Fatal(err)
	}
	c.tool("cluster", "remove", "recount-2", "--reason", "lost its volume", "--yes")
	c.invite("recount-2-b", "recount-2")
	v := chartutil.CoalesceTables(values(t, `
joined: [{ordinal: 2, id: recount-2-b, tokenSecret: recount-2-b-join}]
removed: [recount-2]
`), values(t, "secrets-values.yaml"))
	configs := c.settings(render(t, v, true), true)
	c.says(c.start("recount-2", configs["recount-2"]), "recount-2", ready)
	c.tool("cluster", "promote", "recount-2-b", "--wait", "1m", "--reason", "in place of recount-2")
	status := c.tool("cluster", "status")
	if !strings.Contains(status, "recount-2-b") || strings.Count(status, " voter ") != 3 {
		t.Errorf("the members are\n%s", status)
	}
	nodes["recount-0"].stop(syscall.SIGTERM)
	c.says(c.start("recount-0", configs["recount-0"]), "recount-0", ready)
}

// invite invites a node for a pod, and makes its three Secrets.
func (c *cluster) invite(id, pod string) {
	c.t.Helper()
	c.tool("cluster", "invite", id, "--peer", c.at(pod, "9441"), "--api", "https://"+c.at(pod, "9440"),
		"--out", c.path(id+".join"), "--reason", "a test")
	_, stderr, err := run(c.t, "recount-node", "join", "--token-file", c.path(id+".join"), "--out", c.path("out", id),
		"--peer-ca", c.path("out", "pki", "peer-ca"), "--api-ca", c.path("out", "pki", "api-ca"))
	if err != nil {
		c.t.Fatalf("%v: %s", err, stderr)
	}
	c.secret(id+"-peer", "tls.crt", id+"/peer.crt", "tls.key", id+"/peer.key", "ca.crt", id+"/peer-trust.crt")
	c.secret(id+"-api", "tls.crt", id+"/api.crt", "tls.key", id+"/api.key")
	c.secret(id+"-join", "token", id+"/join.token")
}

// tool runs the command line tool as the operator and returns what it prints.
func (c *cluster) tool(args ...string) string {
	c.t.Helper()
	args = append(args, "--endpoint", "https://"+c.at("recount-1", "9440"), "--ca", c.path("out", "api-ca.crt"),
		"--token-file", c.path("out", "operator.token"))
	stdout, stderr, err := run(c.t, "recount", args...)
	if err != nil {
		c.t.Fatalf("recount %s: %v\n%s%s", strings.Join(args, " "), err, stdout, stderr)
	}
	return stdout
}
