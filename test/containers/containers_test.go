package containers

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// bench is a clone of the repository, and podman with a storage of its own.
type bench struct {
	dir string
	env []string
}

// newBench clones the commit of the working tree. It needs no systemd: runc and cgroupfs run containers. The storage is
// plain directories, which every file system has.
func newBench(t *testing.T, root string) bench {
	t.Helper()
	dir := t.TempDir()
	if _, err := harness.Git(root, "clone", "--quiet", root, filepath.Join(dir, "recount")); err != nil {
		t.Fatal(err)
	}
	engine := write(t, filepath.Join(dir, "containers.conf"), `[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
log_driver = "k8s-file"
default_ulimits = ["nofile=16384:16384", "nproc=4096:4096"]
`)
	storage := write(t, filepath.Join(dir, "storage.conf"), "[storage]\ndriver = \"vfs\"\ngraphroot = \""+dir+
		"/graph\"\nrunroot = \""+dir+"/run\"\n")
	arches := runtime.GOARCH
	if os.Getenv("RECOUNT_IMAGE_TEST") == "whole" {
		arches = "amd64 arm64"
	}
	return bench{filepath.Join(dir, "recount"),
		clean("CONTAINERS_CONF="+engine, "CONTAINERS_STORAGE_CONF="+storage, "IMAGE_ARCHES="+arches)}
}

// run runs a program on the bench.
func (b bench) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env, cmd.Stderr = b.dir, b.env, t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return string(out)
}

// need skips without RECOUNT_IMAGE_TEST, and fails if it is set on a machine that lacks something.
func need(t *testing.T) (root string) {
	t.Helper()
	if os.Getenv("RECOUNT_IMAGE_TEST") == "" {
		t.Skip("builds an image and starts containers: run it by make image-test, as root")
	}
	for _, program := range []string{"podman", "buildah", "runc", "curl", "git", "make", "mkfs.ext4"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is missing (Debian: apt install podman buildah runc curl git make e2fsprogs)", program)
		}
	}
	if os.Getuid() != 0 {
		t.Fatal("run it as root: files of the container's user are made here, and a disk is mounted")
	}
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// read returns a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestImageTwice: two builds of one commit in two directories give the same digests and the same archives, and the list
// of what is linked in is there.
func TestImageTwice(t *testing.T) {
	root := need(t)
	var first string
	for range 2 {
		b := newBench(t, root)
		b.run(t, "make", "image")
		archives, err := filepath.Glob(filepath.Join(b.dir, "bin", "image", "*.tar"))
		if err != nil || len(archives) == 0 {
			t.Fatalf("%v %v", archives, err)
		}
		sums := read(t, filepath.Join(b.dir, "bin", "image", "digests"))
		for _, a := range archives {
			sum, _, _ := strings.Cut(b.run(t, "sha256sum", a), " ")
			sums += sum + " " + filepath.Base(a) + "\n"
		}
		t.Logf("in %s:\n%s", b.dir, sums)
		if first == "" {
			first = sums
		}
		if sums != first {
			t.Errorf("two builds differ:\n%s%s", first, sums)
		}
		checkSBOM(t, filepath.Join(b.dir, "bin", "image"))
	}
}

// checkSBOM: each program has a list of its modules, with the one of the log and without tools.
func checkSBOM(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "recount-node-*.cdx.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v %v", files, err)
	}
	var bom struct {
		BOMFormat  string
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal([]byte(read(t, files[0])), &bom); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, c := range bom.Components {
		found = found || c.Name == "github.com/hashicorp/raft" && c.Version != ""
		if strings.Contains(c.Name, "golangci") {
			t.Errorf("a tool is linked in: %s", c.Name)
		}
	}
	if bom.BOMFormat != "CycloneDX" || !found {
		t.Errorf("%s: %s with %d components", files[0], bom.BOMFormat, len(bom.Components))
	}
}

// testKeys are the keys of the sample corpus, as secrets of a node.
var testKeys = []struct{ file, setting, text string }{
	{"hmac.keys", "pcs_hmac_keys_file", strings.TrimPrefix(harness.Keys[1], "PCS_HMAC_KEYS=")},
	{"agents.pub", "pcs_ed25519_pub_b64_file",
		strings.TrimPrefix(harness.Keys[2], "PCS_ED25519_PUB_B64=")},
}

// TestContainers plays the page with three nodes. It gives them the keys of the sample corpus, sends the corpus, and
// fills the volume of one node.
func TestContainers(t *testing.T) {
	b := newBench(t, need(t))
	port, err := harness.FreePort(3)
	if err != nil {
		t.Fatal(err)
	}
	page := read(t, filepath.Join(b.dir, "docs", "deploy-containers.md"))
	for i := range 3 {
		page = strings.ReplaceAll(page, strconv.Itoa(9440+10*i), strconv.Itoa(port+10*i))
	}
	third := "https://127.0.0.1:" + strconv.Itoa(port+20)
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
	defer cancel()
	t.Cleanup(func() {
		if t.Failed() {
			for _, node := range []string{"node-1", "node-2", "node-3"} {
				out, _ := b.command("podman", "logs", "--tail", "15", node).CombinedOutput()
				t.Logf("the last lines of %s:\n%s", node, out)
			}
		}
		_ = b.command("podman", "rm", "--all", "--force").Run()
		_ = b.command("podman", "volume", "rm", "--all", "--force").Run()
	})
	s := &script{t: t, page: page}
	s.section("1. ", step{"make image", "sha256:"})
	s.section("2. ", step{"config init", `node-3 +` + third})
	s.section("3. ")
	keysOfTheCorpus(s)
	diskOfTheThird(s)
	s.section("4. ", step{"curl", "(?m)^ok$"}, step{"for p", "(?s)ok\n.*ok\n.*ok\n"})
	s.section("5. ", step{"cluster status", "3 of 3 ready"}, step{"digest", "3 endpoints agree"},
		step{"doctor", "all is well"})
	s.section("6. ", step{"key add", "lab-7"}, step{"./recount submit", "(?m)^outcome +accepted$"})
	for _, corpus := range []string{"good-hmac", "good-ed25519", "bad-input"} {
		s.add(step{"./recount submit --check testdata/" + corpus + ".ndjson", ""})
	}
	s.section("7. ", step{"podman kill", ""}, step{"./recount submit", "(?m)^outcome +accepted$"}, step{"curl", "(?m)^ok$"},
		step{"doctor", "all is well"})
	fullVolume(s, third)
	nothingOutside(s)
	s.play(ctx, b.dir, b.env, "bash", "-c")
}

func (b bench) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = b.dir, b.env
	return cmd
}

// keysOfTheCorpus gives each node what the corpus needs: its keys, all profiles, and no limit of the rate.
func keysOfTheCorpus(s *script) {
	for _, k := range testKeys {
		s.add(step{"for i in 1 2 3; do printf %s '" + k.text + "' > secrets/node-$i/" + k.file + " && echo '" +
			k.setting + ": /run/secrets/" + k.file + "' >> out/node-$i/config.yaml; done", ""})
	}
	s.add(step{"chown 65532:65532 secrets/node-*/* && chmod 0400 secrets/node-*/*", ""},
		step{"for i in 1 2 3; do printf 'token_rate: 0\\npcs_profiles: " + profiles + "\\n' >> out/node-$i/config.yaml; done",
			""})
}

// profiles are all canonical profiles.
const profiles = "f9,py,es,go,go-fold,py-utf8,ryu,bin,py-bin"

// diskOfTheThird makes the volume of node-3 before the page does: a file system of 2 GiB.
func diskOfTheThird(s *script) {
	s.add(step{"truncate -s 2G disk && mkfs.ext4 -q -m 0 -E root_owner=65532:65532 disk", ""},
		step{"mkdir at && mount -o loop disk at && rmdir at/lost+found && chmod 0700 at && umount at", ""},
		step{"podman volume create --opt type=ext4 --opt device=$PWD/disk --opt o=loop recount-node-3", ""})
}

// fullVolume fills the volume of node-3. The node refuses records, the others take them, and with room it serves again.
func fullVolume(s *script, third string) {
	fresh := func(shard string) string {
		return "sed 's/shard-001/lab-7-" + shard + "/' testdata/record.json | " +
			"./recount sign --scheme pcs/2 --pcs-id --key-file agent-7.key"
	}
	submit := ` | curl -sS --cacert out/api-ca.crt -H "Authorization: Bearer $(cat out/operator.token)" ` +
		"-H 'Content-Type: application/json' --data-binary @- " + third + "/v1/pcs/submit"
	health := "podman exec node-3 /usr/bin/recount-node health --config /etc/recount/config.yaml"
	s.add(
		step{fresh("before") + submit, `"accepted": *true`},
		step{"at=$(podman volume inspect --format '{{.Mountpoint}}' recount-node-3)", ""},
		step{`fallocate -l $(($(df --output=avail -B1 $at | tail -1) - 20971520)) $at/filler`, ""},
		step{until("while " + health + " --ready; do sleep 0.2; done"), "short of disk|disk"},
		step{health, "(?m)^ok$"},
		step{fresh("full") + submit, `"code": *"overloaded"`},
		step{"podman healthcheck run node-3", ""},
		step{fresh("elsewhere") + " | ./recount submit -", "(?m)^outcome +accepted"},
		step{"timeout 5 bash -c 'while :; do cat /dev/zero >> '$at'/filler 2>/dev/null; done'; df --output=avail $at",
			`(?m)^ +[0-9]{1,2}$`},
		step{"podman ps --format '{{.Names}} {{.Status}}'", "node-3 Up"},
		step{"rm $at/filler", ""},
		step{until("until " + health + " --ready; do sleep 0.2; done"), "so"},
		step{fresh("after") + submit, `"accepted": *true`},
		step{"./recount digest", "3 endpoints agree"})
}

// nothingOutside: a node changed nothing of its image, can write nowhere but to its volume and below /dev, left nothing
// there, and has no capability and no way to get one.
func nothingOutside(s *script) {
	const pid = "p=$(podman inspect --format '{{.State.Pid}}' node-$i)"
	s.add(
		step{"for i in 1 2 3; do podman diff node-$i; done; echo end", `^end\n$`},
		step{"for i in 1 2 3; do " + pid + `; awk '$4 ~ /^rw/ && $2 !~ "^/(proc|sys|dev/(pts|mqueue))(/|$)" {print $2}' ` +
			"/proc/$p/mounts; done | sort | uniq -c", `^ +3 /dev\n +3 /dev/shm\n +3 /var/lib/recount\n$`},
		step{"for i in 1 2 3; do " + pid + "; find /proc/$p/root/dev -type f; done; echo end", `^end\n$`},
		step{"for i in 1 2 3; do " + pid + "; grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs):' /proc/$p/status; done | " +
			"tr -s '\\t' ' ' | sort | uniq -c",
			`^ +3 CapBnd: 0{16}\n +3 CapEff: 0{16}\n +3 NoNewPrivs: 1\n +3 Uid: 65532 65532 65532 65532\n$`})
}
