package containers

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const composeDir = "../../deploy/compose"

// TestComposeIsLocked: every service has a read-only root and no capability, and every file that it mounts is there or made by
// the page. Only the proxy is open to others, and who waits for a node waits until it serves.
func TestComposeIsLocked(t *testing.T) {
	file := readCompose(t, composeDir+"/compose.yaml", map[string]string{"RECOUNT_IMAGE": "recount:of-this-tree"})
	if len(file.Services) != 7 || len(file.order()) != 7 {
		t.Fatalf("%d services, of which %v can start", len(file.Services), file.order())
	}
	for name, s := range file.Services {
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || s.CapAdd != nil && name != "caddy" ||
			!slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s is not locked: %+v", name, s)
		}
		_, tag, _ := strings.Cut(s.Image, ":")
		if tag == "" || tag == "latest" {
			t.Errorf("%s: the image %q has no version", name, s.Image)
		}
		for _, p := range s.Ports {
			if name != "caddy" && !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s is open to everybody at %s", name, p)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if !strings.HasPrefix(from, ".") || strings.HasPrefix(from, "./out/") {
				continue
			}
			if _, err := os.Stat(filepath.Join(composeDir, from)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, x := range s.Secrets {
			if file.Secrets[x.Source].File == "" || x.Target == "" {
				t.Errorf("%s: no file for the secret %+v", name, x)
			}
		}
		for other, d := range s.DependsOn {
			if d.Condition != "service_healthy" || !slices.Contains(file.Services[other].Healthcheck.Test, "--ready") {
				t.Errorf("%s does not wait until %s serves", name, other)
			}
		}
	}
}

// standIn makes an image of a program of this machine, with its libraries, and with a directory for its data.
func (b bench) standIn(t *testing.T, image, program, path, data string) {
	t.Helper()
	b.run(t, "bash", "-euc", `
c=$(buildah from scratch)
at=$(buildah mount "$c")
install -D "$(command -v "$1")" "$at$2"
if [ -d /usr/share/prometheus/alertmanager ]; then # templates of Debian
  mkdir -p "$at/usr/share/prometheus" && cp -r /usr/share/prometheus/alertmanager "$at/usr/share/prometheus/"
fi
for lib in $(ldd "$at$2" | grep -o '/[^ ]*'); do install -D "$lib" "$at$lib"; done
if [ -n "$4" ]; then install -d -o 65534 -g 65534 "$at$4"; fi
buildah umount "$c" >/dev/null
[ -z "$4" ] || buildah config --entrypoint "[\"$2\"]" "$c"
buildah commit --quiet --rm "$c" "$3"`, "stand-in", program, path, image, data)
}

// TestCompose plays the section of the page about compose, with podman in the place of docker compose, the network of the host
// in the place of a bridge, and programs of this machine in the place of images of others. It asks each service for what
// it is there for.
func TestCompose(t *testing.T) {
	root := need(t)
	for _, program := range []string{"caddy", "prometheus", "prometheus-alertmanager", "unshare", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is missing (Debian: apt install caddy prometheus prometheus-alertmanager iproute2)", program)
		}
	}
	b := newBench(t, root)
	b.run(t, "make", "image")
	path := filepath.Join(b.dir, "deploy", "compose", "compose.yaml")
	first := readCompose(t, path, map[string]string{"RECOUNT_NEW_CLUSTER": "true"})
	later := readCompose(t, path, nil)
	delete(first.Services, "grafana") // Debian has none: TestGrafanaOfCompose reads its files
	delete(later.Services, "grafana")
	b.standIn(t, later.Services["caddy"].Image, "caddy", "/usr/bin/caddy", "")
	b.standIn(t, later.Services["prometheus"].Image, "prometheus", "/bin/prometheus", "/prometheus")
	b.standIn(t, later.Services["alertmanager"].Image, "prometheus-alertmanager", "/bin/alertmanager", "/alertmanager")
	t.Cleanup(func() {
		if t.Failed() {
			for name := range later.Services {
				out, _ := b.command("podman", "logs", "--tail", "10", name).CombinedOutput()
				t.Logf("the last lines of %s:\n%s", name, out)
			}
		}
		_ = b.command("podman", "rm", "--all", "--force").Run()
		_ = b.command("podman", "volume", "rm", "--all", "--force").Run()
	})
	hosts := []string{"node-1:127.0.1.1", "node-2:127.0.1.2", "node-3:127.0.1.3", "alertmanager:127.0.0.1"}
	// A node with a name listens at every address, of which this network has only one set.
	page := strings.ReplaceAll(read(t, filepath.Join(b.dir, "docs", "deploy-containers.md")), "node-1=node-1,node-2=node-2,node-3=node-3",
		"node-1=127.0.1.1,node-2=127.0.1.2,node-3=127.0.1.3 --host recount.internal --host node-1 --host node-2 --host node-3")
	played := &script{t: t, page: page}
	played.section("All of it by compose", step{"--insecure", "^ok\n$"})
	s := &script{t: t}
	nodes := []string{"node-1", "node-2", "node-3"}
	for _, now := range played.steps {
		switch {
		case strings.HasPrefix(now.line, "RECOUNT_NEW_CLUSTER=true docker compose up"):
			s.add(first.up(first.order(), hosts)...)
		case strings.HasPrefix(now.line, "docker compose up"):
			s.add(step{"podman rm --force " + strings.Join(nodes, " "), ""})
			s.add(later.up(nodes, hosts)...)
			s.add(step{until("until curl -sf --insecure https://localhost:8443/readyz; do sleep 0.5; done"), "so"})
		default:
			s.add(now)
		}
	}
	s.add(
		step{until(`until curl -sf "localhost:9090/api/v1/query?query=sum(up)" | grep -q "\"3\""; do sleep 0.5; done`), "so"},
		step{"curl -sf localhost:9090/api/v1/rules | grep -o RecountNoLeader | head -1", "RecountNoLeader"},
		step{until("until curl -sf localhost:9090/api/v1/alertmanagers | grep -q alertmanager:9093; do sleep 0.5; done"), "so"},
		step{"curl -sf localhost:9093/-/ready", "(?i)ok"},
		step{"podman exec node-1 /usr/bin/recount-node health --config /etc/recount/config.yaml --ready", "leader ok"},
		step{"for c in prometheus alertmanager node-1; do grep CapEff /proc/$(podman inspect --format '{{.State.Pid}}' $c)/status; done | " +
			"sort -u", `^CapEff:\s0{16}\n$`})
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	s.play(ctx, b.dir, b.env, "unshare", "--net", "bash", "-c", `ip link set lo up && exec bash -c "$1"`, "bash")
}
