package chart

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	syaml "sigs.k8s.io/yaml"
)

// podman is the program with a storage of its own. It needs no systemd.
type podman struct {
	t   *testing.T
	env []string
}

func newPodman(t *testing.T, dir string) podman {
	t.Helper()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name + "=" + path
	}
	return podman{t, append(os.Environ(), write("CONTAINERS_CONF", `[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
log_driver = "k8s-file"
default_ulimits = ["nofile=16384:16384", "nproc=4096:4096"]
`), write("CONTAINERS_STORAGE_CONF", "[storage]\ndriver = \"vfs\"\ngraphroot = \""+dir+
		"/graph\"\nrunroot = \""+dir+"/run\"\n"))}
}

// try runs podman and returns what it prints.
func (e podman) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "podman", args...)
	cmd.Env = e.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (e podman) must(args ...string) string {
	e.t.Helper()
	out, err := e.try(args...)
	if err != nil {
		e.t.Fatalf("podman %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// podOf makes the pod of an ordinal as the controller of StatefulSets does. A directory of this machine takes the place
// of the projected volume, which podman does not know.
func (c *cluster) podOf(set apps.StatefulSet, name, secrets string) *core.Pod {
	c.t.Helper()
	pod := &core.Pod{TypeMeta: meta.TypeMeta{APIVersion: "v1", Kind: "Pod"}, Spec: *set.Spec.Template.Spec.DeepCopy()}
	pod.Name, pod.Labels = name, set.Spec.Template.Labels
	local(&pod.Spec)
	kind := core.HostPathDirectory
	directory := core.VolumeSource{HostPath: &core.HostPathVolumeSource{Path: secrets, Type: &kind}}
	for i, v := range pod.Spec.Volumes {
		if v.Projected != nil {
			pod.Spec.Volumes[i].VolumeSource = directory
		}
	}
	claim := &core.PersistentVolumeClaimVolumeSource{ClaimName: "data-" + name}
	pod.Spec.Volumes = append(pod.Spec.Volumes,
		core.Volume{Name: "data", VolumeSource: core.VolumeSource{PersistentVolumeClaim: claim}})
	return pod
}

// local lets a pod use the network of this machine, where no name service knows the pods, and fills in what the kubelet
// does.
func local(spec *core.PodSpec) {
	spec.HostNetwork, spec.Affinity, spec.TopologySpreadConstraints = true, nil, nil
	for i := range spec.Containers {
		c := &spec.Containers[i]
		c.Image, c.ImagePullPolicy = "localhost/recount:chart", core.PullNever
		c.Ports = nil // nothing is mapped
		for k := range c.Env {
			name := pods[0] + ".recount-peers.ledger.svc.cluster.local"
			c.Env[k].Value = strings.ReplaceAll(c.Env[k].Value, name, "127.0.0.1")
		}
		for k, arg := range c.Args {
			c.Args[k] = strings.ReplaceAll(arg, "$(POD_NAME)", pods[0])
		}
		c.LivenessProbe, c.StartupProbe, c.ReadinessProbe = nil, nil, nil // podman asks by curl in the container
	}
}

// play writes the objects into a file and plays them.
func (c *cluster) play(e podman, all ...any) string {
	c.t.Helper()
	var text []string
	for _, o := range all {
		raw, err := syaml.Marshal(o)
		if err != nil {
			c.t.Fatal(err)
		}
		text = append(text, string(raw))
	}
	file, err := os.CreateTemp(c.dir, "play-*.yaml")
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err = file.WriteString(strings.Join(text, "---\n")); err != nil {
		c.t.Fatal(err)
	}
	_ = file.Close()
	return e.must("kube", "play", file.Name())
}

// give gives the files of a volume to the group of the pod, as fsGroup does.
func (c *cluster) give(dir string, group int64) {
	c.t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, 0, int(group))
	})
	if err = errors.Join(err, os.Chmod(dir, 0o755)); err != nil {
		c.t.Fatal(err)
	}
}

// TestPodRuns: podman runs the rendered pod of a node and the pod of helm test, with the image of CHART_IMAGE.
func TestPodRuns(t *testing.T) {
	image := os.Getenv("CHART_IMAGE")
	if image == "" {
		t.Skip("starts containers as root: CHART_IMAGE=bin/image/recount-VERSION-ARCH.tar make chart-test")
	}
	c := newCluster(t, "ledger", 1)
	files := render(t, values(t, "one-values.yaml"), false)
	all := objects(t, files)
	set := decoded[apps.StatefulSet](t, all, "StatefulSet")[0]
	settings := decoded[core.ConfigMap](t, all, "ConfigMap")[0]
	secrets := c.mount(files)
	c.give(secrets, *set.Spec.Template.Spec.SecurityContext.FSGroup)
	e := newPodman(t, c.dir)
	loaded := strings.TrimSpace(e.must("load", "--quiet", "--input", image))
	e.must("tag", strings.TrimSpace(loaded[strings.LastIndex(loaded, " ")+1:]), "localhost/recount:chart")
	t.Cleanup(func() {
		_, _ = e.try("pod", "rm", "--all", "--force", "--time", "1")
		_, _ = e.try("volume", "rm", "--all", "--force")
	})
	data := set.Spec.VolumeClaimTemplates[0]
	data.Name = "data-recount-0"
	c.play(e, settings, data, c.podOf(set, "recount-0", secrets))
	t.Logf("\n%s", e.must("ps", "--all", "--pod"))
	c.awaitPod(e)
	e.restricted("recount-0-node")
	test := decoded[core.Pod](t, all, "Pod")[0]
	local(&test.Spec)
	c.play(e, test)
	if code := strings.TrimSpace(e.must("wait", "recount-test-recount-0")); code != "0" {
		out, _ := e.try("logs", "recount-test-recount-0")
		t.Errorf("the test of helm ends with %s: %s", code, out)
	}
	t.Logf("\n%s", e.must("ps", "--all", "--pod"))
}

// restricted looks at a container that runs: its user, and that it has no capability and cannot get one.
func (e podman) restricted(container string) {
	e.t.Helper()
	pid := strings.TrimSpace(e.must("inspect", "--format", "{{.State.Pid}}", container))
	status, err := os.ReadFile("/proc/" + pid + "/status")
	for _, line := range []string{"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1",
		"Uid:\t65532"} {
		if err != nil || !strings.Contains(string(status), line) {
			e.t.Errorf("the node has not %q: %v\n%s", line, err, status)
		}
	}
}

// awaitPod waits until the node in the pod serves.
func (c *cluster) awaitPod(e podman) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 90*time.Second)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := e.try("exec", "recount-0-node", "/usr/bin/recount-node", "health", "--ready", "--config",
			"/etc/recount/recount-0.yaml")
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			log, _ := e.try("logs", "--tail", "15", "recount-0-node")
			c.t.Fatalf("the node does not serve: %s\n%s", out, log)
		case <-tick.C:
		}
	}
}
