package chart

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// kubectl stands in for the program: it makes a directory for each Secret, with a file for each key.
const kubectl = `#!/bin/sh
[ "$3 $4 $5" = "create secret generic" ] || exit 0
name=$6
mkdir -p "$SECRETS/$name"
shift 6
for file; do
  pair=${file#--from-file=}
  cp "${pair#*=}" "$SECRETS/$name/${pair%%=*}" || exit 1
done
`

// blocks returns the blocks of one language in a section of docs/kubernetes.md.
func blocks(t *testing.T, heading, language string) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "\n## "+heading)
	rest, _, _ = strings.Cut(rest, "\n## ")
	var out []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(rest, -1) {
		out = append(out, m[1])
	}
	if !ok || len(out) == 0 {
		t.Fatalf("no block of %s in section %q", language, heading)
	}
	return out
}

// TestPage: the commands of docs/kubernetes.md make the Secrets that a pod of its values mounts, and the Secrets of the
// tests. The values of its other sections are accepted, too.
func TestPage(t *testing.T) {
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, "ledger", 3)
	work := t.TempDir()
	stub := filepath.Join(work, "stub")
	c.write(filepath.Join(stub, "kubectl"), []byte(kubectl), 0o755)
	c.write(filepath.Join(stub, "make"), []byte("#!/bin/sh\n"), 0o755)
	script := "set -e\n" + blocks(t, "1. ", "sh")[0] + blocks(t, "2. ", "sh")[0]
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir = work
	cmd.Env = []string{"PATH=" + stub + ":" + dir + ":" + os.Getenv("PATH"), "SECRETS=" + filepath.Join(work, "made")}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	made := map[string]map[string][]byte{}
	paths, err := filepath.Glob(filepath.Join(work, "made", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		name := filepath.Base(filepath.Dir(path))
		if made[name] == nil {
			made[name] = map[string][]byte{}
		}
		if made[name][filepath.Base(path)], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	for name, secret := range made {
		got, want := slices.Sorted(maps.Keys(secret)), slices.Sorted(maps.Keys(c.secrets[name]))
		if !slices.Equal(got, want) {
			t.Errorf("the page makes %s with %q, the tests with %q", name, got, want)
		}
	}
	c.secrets = made
	of := blocks(t, "3. ", "yaml")[0]
	c.mount(render(t, values(t, of), false))
	for _, section := range []string{"Add a node", "Replace a node"} {
		for _, more := range blocks(t, section, "yaml") {
			render(t, values(t, of+more), true)
		}
	}
}
