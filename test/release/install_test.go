package release

import (
	"archive/zip"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

const path = "github.com/recount-ledger/recount"

// moduleZip writes the archive that a module proxy makes of a commit.
func moduleZip(t *testing.T, repo, version, commit, to string) {
	t.Helper()
	f, err := os.Create(to)
	if err == nil {
		err = modzip.CreateFromVCS(f, module.Version{Path: path, Version: version}, repo, commit, "")
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestModuleCanBeInstalled: a module proxy takes the tree, without the modules of the tools, and go install takes its
// go.mod, which may replace and exclude nothing.
func TestModuleCanBeInstalled(t *testing.T) {
	if _, err := os.Stat(filepath.Join(root, ".git")); err != nil {
		t.Skip("there is no history here")
	}
	archive, clone := filepath.Join(t.TempDir(), "recount.zip"), filepath.Join(t.TempDir(), "clone")
	if out, err := sh(root, "git clone --quiet --shared --no-checkout . "+clone); err != nil {
		t.Fatal(out)
	}
	moduleZip(t, clone, "v0.1.0", "HEAD", archive)
	z, err := zip.OpenReader(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }()
	names := map[string]bool{}
	for _, f := range z.File {
		names[strings.TrimPrefix(f.Name, path+"@v0.1.0/")] = true
	}
	for name, want := range map[string]bool{"go.mod": true, "LICENSE": true, "cmd/node/main.go": true,
		"tools/go.mod": false, "tools/release/go.mod": false, "test/chart/go.mod": false} {
		if names[name] != want {
			t.Errorf("%s in the module: %v", name, names[name])
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", text, nil)
	if err != nil || len(mod.Replace) > 0 || len(mod.Exclude) > 0 {
		t.Errorf("go install refuses this go.mod: %v, %+v", err, mod)
	}
}

// proxy is a module proxy of files: the tag of a repository, and all that this machine has downloaded. It returns the
// environment that uses it and nothing else.
func proxy(t *testing.T, repo, tag string) []string {
	t.Helper()
	dir := t.TempDir()
	at := filepath.Join(dir, "github.com", "recount-ledger", "recount", "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(repo, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	file(t, at, tag+".mod", string(mod))
	file(t, at, tag+".info", `{"Version": "`+tag+`"}`)
	file(t, at, "list", tag+"\n")
	moduleZip(t, repo, tag, tag, filepath.Join(at, tag+".zip"))
	cache, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	here := "file://" + filepath.Join(strings.TrimSpace(string(cache)), "cache", "download")
	// With -trimpath what was compiled before is taken from the cache. Nothing else in the programs changes.
	return []string{"GOPROXY=file://" + dir + "," + here, "GOSUMDB=off", "GOFLAGS=-trimpath -modcacherw",
		"GOMODCACHE=" + t.TempDir()}
}

// build has what a program says of itself.
type build struct {
	Version, Go, Platform, Commit string
	CommitTime                    string `json:"commit_time"`
}

// checkPrograms: both programs in a directory name the version, their release of Go, and the commit with its time, or
// none for "".
func checkPrograms(t *testing.T, dir, version, commit string) {
	t.Helper()
	var client []struct{ Answer build }
	var node build
	for program, into := range map[string]any{"recount": &client, "recount-node": &node} {
		out, err := exec.Command(filepath.Join(dir, program), "version", "-o", "json").Output()
		if err == nil {
			err = json.Unmarshal(out, into)
		}
		if err != nil {
			t.Fatalf("%s: %v: %s", program, err, out)
		}
	}
	for _, b := range []build{client[0].Answer, node} {
		if b.Version != version || !strings.HasPrefix(b.Go, "go1.") || b.Platform == "" || b.Commit != commit ||
			(b.CommitTime == "") != (commit == "") {
			t.Errorf("%+v, want %s of commit %q", b, version, commit)
		}
	}
}
