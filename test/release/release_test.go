package release

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const tag = "v0.1.0"

// blocks are the shell blocks of docs/releases.md under a heading.
func blocks(t *testing.T, heading string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "releases.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "# "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n#")
	var code []string
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1) {
		code = append(code, m[1])
	}
	if !found || len(code) == 0 {
		t.Fatalf("the page has no block under %q", heading)
	}
	return code
}

// TestPageNamesTheCheckOfTheTest: the tests of signatures run the command that users are told to run.
func TestPageNamesTheCheckOfTheTest(t *testing.T) {
	if code := blocks(t, "Check what you downloaded")[0]; !strings.HasPrefix(code, verify+"\n") {
		t.Errorf("the page says\n%s", code)
	}
}

// place is the directory and the environment of a user or a maintainer.
type place struct {
	dir string
	env []string
}

// play runs the only block under a heading, in a shell without a network if this may be had. Its output contains the
// wanted.
func (p place) play(t *testing.T, heading string, offline bool, wanted ...string) {
	t.Helper()
	p.run(t, heading, blocks(t, heading)[0], offline, wanted...)
}

func (p place) run(t *testing.T, what, code string, offline bool, wanted ...string) {
	t.Helper()
	args := []string{"bash", "-euxo", "pipefail", "-c", code}
	if offline && os.Getuid() == 0 && exec.Command("unshare", "--net", "true").Run() == nil {
		args = append([]string{"unshare", "--net"}, args...)
		t.Log("without a network:", what)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = p.dir, append(os.Environ(), append([]string{"GOFLAGS="}, p.env...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", what, err, out)
	}
	for _, w := range wanted {
		if !strings.Contains(string(out), w) {
			t.Errorf("%s: no %q in\n%s", what, w, out)
		}
	}
}

// origin is a repository with the history of this one and nothing that was changed since, and returns the environment
// in which it is the one of GitHub.
func origin(t *testing.T) (dir string, env []string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "origin.git")
	if out, err := sh(root, "git clone --quiet --bare . "+dir); err != nil {
		t.Fatal(out)
	}
	env = []string{"GIT_CONFIG_COUNT=3",
		"GIT_CONFIG_KEY_0=url." + dir + ".insteadOf", "GIT_CONFIG_VALUE_0=https://github.com/recount-ledger/recount",
		"GIT_CONFIG_KEY_1=user.name", "GIT_CONFIG_VALUE_1=Maintainer",
		"GIT_CONFIG_KEY_2=user.email", "GIT_CONFIG_VALUE_2=maintainers@recount-ledger.example"}
	return dir, env
}

// TestPage makes a release of this commit as docs/releases.md tells maintainers, and then takes every form of it as the
// page tells users: what they build again, in another directory and without a network, has the same checksums.
func TestPage(t *testing.T) {
	if os.Getenv("RECOUNT_RELEASE_TEST") == "" {
		t.Skip("builds all programs for all systems twice: run it by make release-test")
	}
	maker, env := maintained(t)
	user := place{dir: t.TempDir(), env: env}
	for _, from := range []string{"bin/release", "deploy/release"} {
		if err := os.CopyFS(user.dir, os.DirFS(filepath.Join(maker.dir, from))); err != nil {
			t.Fatal(err)
		}
	}
	checkFiles(t, user.dir)
	user.play(t, "Check what you downloaded", true, `Good "recount-release" signature`,
		"recount_0.1.0_linux_amd64.tar.gz: OK")
	user.run(t, "checksums on macOS", "shasum -a 256 --check --ignore-missing SHA256SUMS", true,
		"recount_0.1.0-1_arm64.deb: OK")
	user.archive(t)
	commit, err := sh(maker.dir, "git rev-parse "+tag+"^{commit}")
	if err != nil {
		t.Fatal(commit)
	}
	checkPrograms(t, filepath.Join(user.dir, "prefix", "bin"), tag, strings.TrimSpace(commit))
	user.play(t, "Package", true)
	if maker.images() {
		user.play(t, "Image", true, "amd64")
	}
	user.play(t, "Build it again", true, "recount-client_0.1.0_windows_arm64.zip: OK", "recount-0.1.0-1.x86_64.rpm: OK",
		"recount_0.1.0_linux_arm64.tar.gz: OK", "recount-node_0.1.0_linux_amd64.cdx.json: OK")
	same(t, maker.dir, filepath.Join(user.dir, "again", "recount"))
	installer := place{dir: user.dir, env: append(proxy(t, maker.dir, tag), "GOTOOLCHAIN=local")}
	installer.play(t, "go install", true, "recount-node version "+tag)
	checkPrograms(t, filepath.Join(user.dir, "gobin"), tag, "") // a module proxy knows no commit
}

// maintained makes the release in a clone and returns the clone.
func maintained(t *testing.T) (maker place, env []string) {
	t.Helper()
	_, env = origin(t)
	maker = place{dir: filepath.Join(t.TempDir(), "recount"), env: env}
	place{dir: t.TempDir(), env: env}.run(t, "clone",
		"git clone --quiet https://github.com/recount-ledger/recount "+maker.dir, false)
	maker.play(t, "Once: the key", true)
	maker.refuseTag(t)
	maker.run(t, "write the changelog", `sed -i 's/^## `+tag+` .*/## `+tag+` - 2026-12-31/' CHANGELOG.md
		git commit --quiet --all --message 'all: prepare `+tag+`'`, true)
	maker.run(t, "the notes", "scripts/release-notes.sh "+tag, true, "The first release.")
	maker.play(t, "The tag", true)
	if maker.images() {
		maker.env = append(maker.env, "RELEASE_IMAGES=1", "STORAGE_DRIVER=vfs")
	}
	maker.play(t, "By hand", false, "bin/release/SHA256SUMS.sig", "bin/release-notes.md")
	return maker, env
}

// refuseTag: the changelog calls v0.1.0 planned, and a tag of it builds nothing.
func (p place) refuseTag(t *testing.T) {
	t.Helper()
	p.run(t, "a tag without a section", `git stash --quiet && git tag `+tag+`
		if make release; then exit 3; fi
		git tag --delete `+tag+` && git stash pop --quiet
		test ! -e bin/release`, true, "has no date")
}

// images reports that this machine can build and load images.
func (p place) images() bool {
	_, errBuild := exec.LookPath("buildah")
	_, errLoad := exec.LookPath("podman")
	return errBuild == nil && errLoad == nil && os.Getuid() == 0
}

// archive takes the archive, into a prefix of the test.
func (p place) archive(t *testing.T) {
	t.Helper()
	prefix := filepath.Join(p.dir, "prefix")
	code := strings.Replace(blocks(t, "Archive")[0], "PREFIX=/usr/local", "PREFIX="+prefix, 1)
	p.run(t, "Archive", code, true, "recount-node version "+tag+" go1.", "commit ")
	for _, name := range []string{"bin/recount", "share/man/man1/recount-key-add.1",
		"share/bash-completion/completions/recount-node"} {
		if _, err := os.Stat(filepath.Join(prefix, name)); err != nil {
			t.Error(err)
		}
	}
}

// checkFiles: the release has every form for every system, and no file that its checksums leave out.
func checkFiles(t *testing.T, dir string) {
	t.Helper()
	sums, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(`recount_0.1.0_linux_amd64.tar.gz recount_0.1.0_linux_arm64.tar.gz
		recount-client_0.1.0_darwin_amd64.tar.gz recount-client_0.1.0_darwin_arm64.tar.gz
		recount-client_0.1.0_windows_amd64.zip recount-client_0.1.0_windows_arm64.zip
		recount_0.1.0-1_amd64.deb recount_0.1.0-1_arm64.deb recount-0.1.0-1.x86_64.rpm recount-0.1.0-1.aarch64.rpm
		recount-node_0.1.0_linux_arm64.cdx.json recount_0.1.0_darwin_arm64.cdx.json
		recount_0.1.0_windows_amd64.cdx.json`) {
		if !strings.Contains(string(sums), "  "+name+"\n") {
			t.Errorf("no %s in\n%s", name, sums)
		}
	}
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		own := strings.HasPrefix(name, "SHA256SUMS") || name == "signers"
		if err == nil && !d.IsDir() && !own && !strings.Contains(string(sums), "  "+name+"\n") {
			t.Errorf("SHA256SUMS leaves out %s", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// same: two directories built the same files, apart from the images, which the second did not build.
func same(t *testing.T, one, two string) {
	t.Helper()
	var sums [2]string
	for i, dir := range []string{one, two} {
		text, err := os.ReadFile(filepath.Join(dir, "bin", "release", "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if !strings.Contains(line, "  recount-"+tag+"-") {
				sums[i] += line
			}
		}
	}
	if sums[0] != sums[1] || strings.Count(sums[0], "\n") < 18 {
		t.Errorf("the first build:\n%sthe second one:\n%s", sums[0], sums[1])
	}
}
