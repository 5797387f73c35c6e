package chart

import (
	"errors"
	"io/fs"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"helm.sh/helm/v3/pkg/chartutil"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
)

// programs returns a directory with recount-node and recount: CHART_BIN, or what it builds.
var programs = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("CHART_BIN"); dir != "" {
		return dir, nil
	}
	dir, err := os.MkdirTemp("", "chart")
	if err != nil {
		return "", err
	}
	for name, path := range map[string]string{"recount-node": "./cmd/node", "recount": "./cmd/recount"} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, name), path)
		cmd.Dir = "../.."
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", errors.Join(err, errors.New(string(out)))
		}
	}
	return dir, nil
})

// run runs one of the programs, without settings of the environment, and returns what it prints.
func run(t *testing.T, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, name), args...)
	var out, bad strings.Builder
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &bad, []string{"HOME=" + t.TempDir()}
	err = cmd.Run()
	return out.String(), bad.String(), err
}

// cluster has the files of config init and the Secrets that people and operators make.
type cluster struct {
	t       *testing.T
	dir     string
	secrets map[string]map[string][]byte
	ports   map[string]string // the port for clients of each pod on this machine, without its last digit
}

// newCluster makes the Secrets of docs/kubernetes.md with recount-node config init, for a cluster with the id.
func newCluster(t *testing.T, id string, nodes int) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), secrets: map[string]map[string][]byte{}}
	var list []string
	for i := range nodes {
		list = append(list, pods[i]+"="+pods[i]+".recount-peers.ledger.svc.cluster.local")
	}
	_, stderr, err := run(t, "recount-node", "config", "init", "--cluster", id, "--nodes", strings.Join(list, ","),
		"--host", "recount.ledger.svc", "--host", "127.0.0.1", "--dir", c.path("out"))
	if err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	for i := range nodes {
		c.secret(pods[i]+"-peer", "tls.crt", pods[i]+"/peer.crt", "tls.key", pods[i]+"/peer.key",
			"ca.crt", pods[i]+"/peer-trust.crt")
		c.secret(pods[i]+"-api", "tls.crt", pods[i]+"/api.crt", "tls.key", pods[i]+"/api.key")
	}
	c.secret("recount-shared", "tokens", "recount-0/tokens", "checkpoint.key", "recount-0/checkpoint.key")
	c.secret("backend-mtls-ca", "ca.crt", "recount-0/client-trust.crt")
	var shared certificate
	shared.Spec.DNSNames, shared.Spec.Duration = []string{"*.recount-peers.ledger.svc.cluster.local"}, "2160h"
	shared.Spec.Usages = []string{"server auth"}
	c.secrets["backend-mtls-cert"] = newAuthority(t).issue(t, shared)
	c.secrets["fractal-lba-signing"] = map[string][]byte{"hmacKey": []byte("bm90IGEgc2VjcmV0IGJ1dCBsb25n\n")}
	c.secret("recount-metrics", "token", "metrics.token", "ca.crt", "api-ca.crt")
	c.ports = freePorts(t)
	return c
}

var pods = []string{"recount-0", "recount-1", "recount-2", "recount-3", "recount-4"}

// at returns the address of a port of a pod on this machine.
func (c *cluster) at(pod, port string) string { return "127.0.0.1:" + c.ports[pod] + port[3:] }

// freePorts finds ten ports in a row for each pod.
func freePorts(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for tens := 2000 + mathrand.IntN(900); len(found) < len(pods) && tens < 3200; tens++ {
		free := true
		for last := range 3 {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(10*tens+last))
			if free = free && err == nil; err == nil {
				_ = l.Close()
			}
		}
		if free {
			found[pods[len(found)]] = strconv.Itoa(tens)
		}
	}
	if len(found) < len(pods) {
		t.Fatal("too few free ports")
	}
	return found
}

func (c *cluster) path(names ...string) string {
	return filepath.Join(append([]string{c.dir}, names...)...)
}

// secret makes a Secret of files, given as key and file in pairs.
func (c *cluster) secret(name string, pairs ...string) {
	c.t.Helper()
	c.secrets[name] = map[string][]byte{}
	for pair := range slices.Chunk(pairs, 2) {
		text, err := os.ReadFile(c.path("out", pair[1]))
		if err != nil {
			c.t.Fatal(err)
		}
		c.secrets[name][pair[0]] = text
	}
}

// mount lays the Secrets of the pods into a directory, as the kubelet does for the projected volume, and returns it.
func (c *cluster) mount(files map[string]string) string {
	c.t.Helper()
	var set apps.StatefulSet
	if err := strict([]byte(files["statefulset.yaml"]), &set); err != nil {
		c.t.Fatal(err)
	}
	at, err := os.MkdirTemp(c.dir, "run-secrets-")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, v := range set.Spec.Template.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			for _, item := range source.Secret.Items {
				text, ok := c.secrets[source.Secret.Name][item.Key]
				switch optional := source.Secret.Optional; {
				case !ok && optional != nil && *optional:
					continue
				case !ok:
					c.t.Fatalf("the Secret %s has no %s: the pod would wait", source.Secret.Name, item.Key)
				}
				c.write(filepath.Join(at, item.Path), text, fs.FileMode(*v.Projected.DefaultMode))
			}
		}
	}
	return at
}

func (c *cluster) write(path string, text []byte, mode fs.FileMode) {
	c.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, text, mode); err != nil {
		c.t.Fatal(err)
	}
}

// settings writes the settings of every pod, with the places of this machine in place of those of a pod, and returns
// the files by pod. With local, the names of all pods lead to this machine, too.
func (c *cluster) settings(files map[string]string, local bool) map[string]string {
	c.t.Helper()
	var m core.ConfigMap
	if err := strict([]byte(files["configmap.yaml"]), &m); err != nil {
		c.t.Fatal(err)
	}
	secrets := c.mount(files)
	at, err := os.MkdirTemp(c.dir, "etc-recount-")
	if err != nil {
		c.t.Fatal(err)
	}
	byPod := map[string]string{}
	for name, text := range m.Data {
		pod := strings.TrimSuffix(name, ".yaml")
		change := []string{"/run/secrets", secrets, "/var/lib/recount", c.path("data", pod)}
		for _, other := range pods {
			for _, port := range []string{"9440", "9441", "9442"} {
				if local {
					change = append(change, other+".recount-peers.ledger.svc.cluster.local:"+port, c.at(other, port))
				}
				if other == pod {
					change = append(change, "listen: :"+port, "listen: "+c.at(other, port))
				}
			}
		}
		byPod[pod] = filepath.Join(at, name)
		c.write(byPod[pod], []byte(strings.NewReplacer(change...).Replace(text)), 0o644)
	}
	return byPod
}

// TestSettings: recount-node config check accepts the settings of every pod, with the Secrets laid out as the volume
// says.
func TestSettings(t *testing.T) {
	for _, e := range []struct {
		values, cluster string
		nodes, issued   int
		more            map[string]map[string][]byte
	}{
		{"secrets-values.yaml", "ledger", 3, 0, nil},
		{"one-values.yaml", "ledger", 1, 0, nil},
		{"overview-values.yaml", "ledger", 3, 0, nil},
		{"everything-values.yaml", "lab", 5, 10, map[string]map[string][]byte{"recount-signing": {
			"hmacKey": []byte("first,second-of-two"), "agents": []byte("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")}}},
		{"members-values.yaml", "ledger", 3, 8, map[string]map[string][]byte{
			"recount-1-b-join": {"token": []byte("a token")}, "recount-3-join": {"recount-3.join": []byte("a token")}}},
	} {
		for _, upgrade := range []bool{false, true} {
			files := render(t, values(t, e.values), upgrade)
			c := newCluster(t, e.cluster, e.nodes)
			for name, secret := range e.more {
				c.secrets[name] = secret
			}
			if n := c.issueAll(files); n != e.issued {
				t.Errorf("%s: %d certificates, want %d", e.values, n, e.issued)
			}
			byPod := c.settings(files, false)
			for pod, path := range byPod {
				stdout, stderr, err := run(t, "recount-node", "config", "check", "--config", path)
				if err != nil || stdout != "ok\n" || strings.Contains(stderr, "_file") {
					t.Errorf("%s, upgrade %t, %s: %v\n%s%s", e.values, upgrade, pod, err, stdout, stderr)
				}
			}
		}
	}
}

// founding lists the pods whose settings found a cluster, and those that join one.
func founding(t *testing.T, files map[string]string) (found, join []string) {
	t.Helper()
	var m core.ConfigMap
	if err := strict([]byte(files["configmap.yaml"]), &m); err != nil {
		t.Fatal(err)
	}
	for name, text := range m.Data {
		v, err := chartutil.ReadValues([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if v["new_cluster"] == true {
			found = append(found, strings.TrimSuffix(name, ".yaml"))
		}
		if v["join"] == true {
			join = append(join, strings.TrimSuffix(name, ".yaml"))
		}
	}
	slices.Sort(found)
	slices.Sort(join)
	return found, join
}

// TestFounding: the founders found a cluster at an installation and at no upgrade, and who joins never founds one.
func TestFounding(t *testing.T) {
	all := pods[:3]
	members := "members-values.yaml"
	for _, c := range []struct {
		values      string
		upgrade     bool
		found, join []string
	}{
		{"secrets-values.yaml", false, all, nil},
		{"secrets-values.yaml", true, nil, nil},
		{"auth: {tokensSecret: {name: s}}\nnewCluster: true", true, all, nil},
		{"auth: {tokensSecret: {name: s}}\nnewCluster: false", false, nil, nil},
		{"auth: {tokensSecret: {name: s}}\njoined: [{ordinal: 3, tokenSecret: j}]\nreplicas: 4", false, nil, pods[3:4]},
		{"auth: {tokensSecret: {name: s}}\nremoved: [recount-2]\nreplicas: 2", false, nil, nil},
		{members, false, nil, []string{"recount-1", "recount-3"}},
	} {
		found, join := founding(t, render(t, values(t, c.values), c.upgrade))
		if !slices.Equal(found, c.found) || !slices.Equal(join, c.join) {
			t.Errorf("%s, upgrade %t: %q found and %q join, want %q and %q", c.values, c.upgrade, found, join, c.found, c.join)
		}
	}
	install := render(t, values(t, "secrets-values.yaml"), false)
	upgrade := render(t, values(t, "secrets-values.yaml"), true)
	if install["statefulset.yaml"] != upgrade["statefulset.yaml"] {
		t.Error("the upgrade that ends the founding restarts the pods")
	}
}
