package e2e

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// shellBlocks are the shell blocks of a page, a command a line. There are at least so many.
func shellBlocks(t *testing.T, page string, least int) (blocks [][]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)\n```").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, strings.Split(m[1], "\n"))
	}
	if len(blocks) < least {
		t.Fatalf("%s has %d shell blocks", page, len(blocks))
	}
	return blocks
}

// readmeCopy makes what a reader has after make build: the files of the repository and the two programs.
func readmeCopy(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "testdata"), os.DirFS(filepath.Join(root, "testdata"))); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(nodeBin, filepath.Join(bin, "recount-node")); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "recount"), "./cmd/recount")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

// clean is the environment of somebody who has set nothing for this project.
func clean() (env []string) {
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "RECOUNT_") && !strings.HasPrefix(kv, "PCS_") {
			env = append(env, kv)
		}
	}
	return env
}

// said holds what one line of the README printed.
type said struct {
	line, out string
	code      int
}

// playLines runs lines in one shell, as somebody does who pastes them. Whatever they start ends with ctx.
func playLines(ctx context.Context, t *testing.T, dir string, lines []string) (all []said) {
	t.Helper()
	return playLinesBy(ctx, t, dir, []string{"bash", "-c"}, lines)
}

// playLinesBy gives the lines as one script to a program, as its last argument.
func playLinesBy(ctx context.Context, t *testing.T, dir string, program, lines []string) (all []said) {
	t.Helper()
	const mark = "\x01end "
	script := strings.Join(lines, "\nprintf '\\001end %d\\n' $?\n") + "\nprintf '\\001end %d\\n' $?\n"
	cmd := exec.CommandContext(ctx, program[0], append(program[1:len(program):len(program)], script)...)
	cmd.Dir, cmd.Env = dir, clean()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	b, err := cmd.CombinedOutput()
	parts := strings.Split(string(b), mark)
	if err != nil || len(parts) != len(lines)+1 {
		t.Fatalf("%v: %d answers to %d lines:\n%s", err, len(parts)-1, len(lines), b)
	}
	rest := parts[0]
	for i, line := range lines {
		code, next, _ := strings.Cut(parts[i+1], "\n")
		n, err := strconv.Atoi(code)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, said{line, rest, n})
		t.Logf("$ %s\n%s", line, rest)
		rest = next
	}
	return all
}

// TestReadme plays the blocks of the README word for word, but for directory and port, from a copy of the repository.
func TestReadme(t *testing.T) {
	blocks := shellBlocks(t, "README.md", 5)
	if got := strings.Join(blocks[0], "\n"); got != "git clone https://github.com/recount-ledger/recount && cd recount\nmake build" {
		t.Errorf("the first block does not fetch and build: %s", got)
	}
	dir, home := readmeCopy(t), filepath.Join(t.TempDir(), "recount")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	startReadme(ctx, t, dir, strings.ReplaceAll(blocks[1][0], "/tmp/recount", home))
	var lines []string
	for _, b := range blocks[2:] {
		for _, line := range b {
			lines = append(lines, strings.ReplaceAll(line, "/tmp/recount", home))
		}
	}
	begun := time.Now()
	all := playLines(ctx, t, dir, lines)
	t.Logf("all lines took %s", time.Since(begun))
	checkReadme(t, all)
}

// startReadme runs the line that starts the nodes, with ports of its own from the one that it returns on, until the test ends.
func startReadme(ctx context.Context, t *testing.T, dir, line string) int {
	t.Helper()
	port, err := harness.FreePort(3)
	if err != nil {
		t.Fatal(err)
	}
	nodes := exec.CommandContext(ctx, "bash", "-c", "exec "+line+" --base-port "+strconv.Itoa(port))
	nodes.Dir, nodes.Env, nodes.Stderr = dir, clean(), os.Stderr
	out, err := nodes.StdoutPipe()
	if err == nil {
		err = nodes.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = nodes.Process.Signal(syscall.SIGTERM)
		_ = nodes.Wait()
	})
	nodes.Cancel = func() error { return nodes.Process.Signal(syscall.SIGTERM) }
	if ready, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.Contains(ready, `"ready":true`) {
		t.Fatalf("%s: %q %v", line, ready, err)
	}
	return port
}

// checkReadme holds what the lines printed against what the README says of them.
func checkReadme(t *testing.T, all []said) {
	t.Helper()
	own := regexp.MustCompile(`(?m)^outcome +accepted$`)
	want := []struct{ in, out string }{
		{"cluster status", `3 of 3 ready`},
		{"| bin/recount submit -", own.String()},
		{"get b3997e86", own.String()},
		{"submit testdata/good-hmac.ndjson", `(?m)^reason +bad_signature +7$`},
		{"generation diff 2", `(?m)^flips +[1-9][0-9]*$`},
		{"generation activate 2", `(?m)^instead of +1$`},
		{"get f6e3fd19", `(?m)^outcome +escalated$`},
		{"generation rollback", `(?m)^instead of +2$`},
		{"get f6e3fd196e63eb37", own.String()},
	}
	next := 0
	for _, s := range all {
		if s.code != 0 && !strings.Contains(s.line, "good-hmac") {
			t.Errorf("%s: exit code %d:\n%s", s.line, s.code, s.out)
		}
		if next < len(want) && strings.HasSuffix(strings.Split(s.line, " --diff")[0], want[next].in) {
			if !regexp.MustCompile(want[next].out).MatchString(s.out) {
				t.Errorf("%s: nothing matches %s:\n%s", s.line, want[next].out, s.out)
			}
			next++
		}
	}
	if next < len(want) {
		t.Errorf("README.md has no line that ends with %q", want[next].in)
	}
}
