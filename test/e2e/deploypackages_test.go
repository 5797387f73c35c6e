package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// packagesProgram is hostsProgram for hosts with a root of their own. It skips without RECOUNT_PACKAGE_TEST, and fails
// where that is set and a program lacks.
func packagesProgram(t *testing.T, dir string) []string {
	t.Helper()
	if os.Getenv("RECOUNT_PACKAGE_TEST") == "" {
		t.Skip("builds packages and installs them: run it by make package-test, as root, on Debian")
	}
	for _, program := range []string{"dpkg-deb", "apt-get", "rpm", "lintian", "python3", "ip", "unshare", "nsenter", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is missing (Debian: apt install lintian rpm python3 iproute2 curl)", program)
		}
	}
	t.Setenv("HOSTS_WHOLE", "1")
	return hostsProgram(t, dir)
}

// buildPackages runs make packages in a clone, for this architecture, and returns the directory.
func buildPackages(t *testing.T) string {
	t.Helper()
	clone := filepath.Join(t.TempDir(), "recount")
	if _, err := harness.Git(root, "clone", "--quiet", root, clone); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("make", "packages")
	cmd.Dir, cmd.Env = clone, append(clean(), "ARCHES="+runtime.GOARCH, "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make packages: %v\n%s", err, out)
	}
	return filepath.Join(clone, "bin", "packages")
}

// output runs a program that must succeed.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// TestDeployPackages plays docs/deploy-packages.md word for word on three hosts, each with a root of its own. Then it
// purges the package where nothing was configured, and looks for what is left.
func TestDeployPackages(t *testing.T) {
	dir := readmeCopy(t)
	program := packagesProgram(t, dir)
	built := buildPackages(t)
	if err := os.CopyFS(filepath.Join(dir, "bin", "packages"), os.DirFS(built)); err != nil {
		t.Fatal(err)
	}
	blocks := shellBlocks(t, "docs/deploy-packages.md", 8)
	if got := strings.Join(blocks[0], "\n"); got != "make packages" {
		t.Errorf("the first block does not build: %s", got)
	}
	lines := slices.Concat(blocks[1:]...)
	page := len(lines)
	const look = `'stat -c "%U %G %a" /etc/recount /var/lib/recount && runuser -u recount -- recount-node --version'`
	lines = append(lines, `ssh root@10.0.0.1 'apt-get purge -y recount'`, `ssh root@10.0.0.2 'apt-get purge -y recount'`,
		`ssh root@10.0.0.2 'rm -r /etc/recount /var/lib/recount && userdel recount'`,
		`ssh root@10.0.0.2 'apt-get install -y /root/recount.deb'`, `ssh root@10.0.0.2 `+look,
		`ssh root@10.0.0.2 'apt-get purge -y recount'`, `ssh root@10.0.0.2 'getent passwd recount || echo nobody'`,
		`scp -q bin/packages/recount-*.x86_64.rpm root@10.0.0.2:/root/recount.rpm`, // whose database knows no package here
		`ssh root@10.0.0.2 'rpm --force-debian --install --nodeps --nosignature /root/recount.rpm'`,
		`ssh root@10.0.0.2 `+look, `ssh root@10.0.0.2 'rpm --force-debian --erase recount'`,
		`ssh root@10.0.0.2 'getent passwd recount || echo nobody'`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	all := playLinesBy(ctx, t, dir, program, lines)
	checkPlayed(t, all[:page], []playedLine{
		{"export PATH", 0, ``}, {"config init", 0, `node-3 +https://10.0.0.3:9440`}, {"recount_", 0, ``},
		{"apt-get install", 0, `Setting up recount`}, {"out/node-", 0, ``}, {"chown", 0, ``},
		{"config check", 0, `(?s)ok\n.*ok\n.*ok\n`}, {"set-environment", 0, ``}, {"enable", 0, ``},
		{"curl", 0, `(?m)^ok$`}, {"RECOUNT_ENDPOINTS", 0, ``}, {"RECOUNT_CA", 0, ``},
		{"cluster status", 0, `3 of 3 ready`}, {"recount doctor", 0, `all is well`},
		{"recount_", 0, ``}, {"--reinstall", 0, `Setting up recount`}, {"curl", 0, `(?m)^ok$`},
		{"purge", 0, `kept /etc/recount /var/lib/recount and the user recount`},
		{"ls /etc/recount", 0, `(?s)api.key.*config.yaml.*events`}, {"recount doctor", 1, `node +node-3`},
		{"apt-get install", 0, ``}, {"curl", 0, `(?m)^ok$`}, {"recount doctor", 0, `all is well`},
	})
	const there = `^root recount 750\nrecount recount 700\nrecount-node version`
	checkPlayed(t, all[page:], []playedLine{
		{"apt-get purge", 0, "kept"}, {"apt-get purge", 0, "kept"}, {"rm -r", 0, ""},
		{"apt-get install", 0, ""}, {"stat", 0, there}, {"apt-get purge", 0, ""}, {"getent", 0, "^nobody\n$"},
		{"rpm", 0, ""}, {"--install", 0, ""}, {"stat", 0, there}, {"--erase", 0, ""}, {"getent", 0, "^nobody\n$"},
	})
	hosts := filepath.Join(dir, ".hosts")
	checkLeft(t, filepath.Join(hosts, "10.0.0.1", "upper"), "etc/recount", "var/lib/recount", "etc/passwd", "etc/group")
	checkLeft(t, filepath.Join(hosts, "10.0.0.2", "upper"))
}

// checkLeft: of all that a host changed, nothing is left that the package brought, but for the named files and
// directories. What dpkg, apt, rpm and the test write of their own does not count.
func checkLeft(t *testing.T, upper string, kept ...string) {
	t.Helper()
	own := strings.Fields(`var/lib/dpkg var/lib/apt var/lib/rpm var/cache var/log root tmp run etc/mtab
		usr/bin/systemctl usr/bin/journalctl usr/bin/notify.py var/lib/systemd-of-the-host
		etc/.pwd.lock etc/passwd- etc/group- etc/shadow etc/shadow- etc/gshadow etc/gshadow-
		etc/subuid etc/subuid- etc/subgid etc/subgid-`)
	if len(kept) == 0 {
		own = append(own, "etc/passwd", "etc/group") // without the user, as getent said
	}
	found := map[string]bool{}
	err := filepath.WalkDir(upper, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == upper {
			return err
		}
		name, err := filepath.Rel(upper, path)
		if err != nil {
			return err
		}
		if slices.Contains(own, name) || slices.Contains(kept, name) {
			found[name] = true
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if d.Type()&os.ModeCharDevice == 0 && !d.IsDir() { // a character device stands for a file that was deleted
			t.Errorf("%s is left", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range kept {
		if !found[name] {
			t.Errorf("%s is gone", name)
		}
	}
}

// TestPackages: two builds give the same bytes, lintian finds nothing, and the package of RPM has the same programs and
// scripts.
func TestPackages(t *testing.T) {
	packagesProgram(t, t.TempDir())
	first, second := buildPackages(t), buildPackages(t)
	sums := output(t, "cat", filepath.Join(first, "sha256sums"))
	if again := output(t, "cat", filepath.Join(second, "sha256sums")); sums != again {
		t.Errorf("two builds differ:\n%s%s", sums, again)
	}
	t.Logf("\n%s%s", sums, output(t, "sh", "-c", "ls -l "+first))
	deb := output(t, "sh", "-c", "echo -n "+first+"/*.deb")
	if out := output(t, "lintian", "--allow-root", "--tag-display-limit", "0", deb); out != "" {
		t.Errorf("lintian: %s", out)
	}
	rpm := output(t, "sh", "-c", "echo -n "+first+"/*.rpm")
	files := output(t, "rpm", "-qp", "--nosignature", "--list", rpm)
	for _, name := range strings.Fields(`/usr/bin/recount-node /usr/bin/recount /usr/lib/systemd/system/recount-node.service
		/usr/share/man/man1/recount-node.1.gz /usr/share/zsh/site-functions/_recount`) {
		if !strings.Contains(files, name+"\n") {
			t.Errorf("the package of RPM has no %s:\n%s", name, files)
		}
	}
	unpacked := t.TempDir()
	output(t, "dpkg-deb", "-x", deb, filepath.Join(unpacked, "deb"))
	output(t, "sh", "-c", "mkdir "+unpacked+"/rpm && rpm2archive "+rpm+" && tar -xzf "+rpm+".tgz -C "+unpacked+"/rpm")
	output(t, "diff", "-r", filepath.Join(unpacked, "deb", "usr", "bin"), filepath.Join(unpacked, "rpm", "usr", "bin"))
	output(t, filepath.Join(unpacked, "deb", "usr", "bin", "recount-node"), "config", "view", "--config",
		filepath.Join(unpacked, "deb", "usr", "share", "doc", "recount", "examples", "config.yaml"))
}
