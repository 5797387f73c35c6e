package containers

import (
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
)

// step is a line of a script, and what it must print. Every line must end with code 0.
type step struct{ line, prints string }

// script holds the lines of the page and, between them, lines of the test.
type script struct {
	t     *testing.T
	page  string
	steps []step
}

// add adds lines of the test.
func (s *script) add(steps ...step) { s.steps = append(s.steps, steps...) }

// section adds the lines of the shell blocks in a section of the page. prints has, by a part of the line, what some of
// them must print.
func (s *script) section(heading string, prints ...step) {
	s.t.Helper()
	_, rest, ok := strings.Cut(s.page, "\n## "+heading)
	if !ok {
		s.t.Fatalf("the page has no section %q", heading)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)\n```").FindAllStringSubmatch(rest, -1) {
		for line := range strings.SplitSeq(block[1], "\n") {
			now := step{line: line}
			if len(prints) > 0 && strings.Contains(line, prints[0].line) {
				now.prints, prints = prints[0].prints, prints[1:]
			}
			s.steps = append(s.steps, now)
		}
	}
	if len(prints) > 0 {
		s.t.Fatalf("section %q has no line with %q", heading, prints[0].line)
	}
}

// play runs the lines in one shell in dir and checks each of them. program takes the script as its last argument.
func (s *script) play(ctx context.Context, dir string, env []string, program ...string) {
	s.t.Helper()
	const mark = "\x01end "
	var text strings.Builder
	for _, now := range s.steps {
		text.WriteString(now.line + "\nprintf '\\001end %d\\n' $?\n")
	}
	cmd := exec.CommandContext(ctx, program[0], append(program[1:], text.String())...)
	cmd.Dir, cmd.Env = dir, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	parts := strings.Split(string(out), mark)
	if err != nil || len(parts) != len(s.steps)+1 {
		s.t.Fatalf("%v: %d answers to %d lines:\n%s", err, len(parts)-1, len(s.steps), out)
	}
	said := parts[0]
	for i, now := range s.steps {
		code, next, _ := strings.Cut(parts[i+1], "\n")
		s.t.Logf("$ %s\n%s", now.line, said)
		if n, err := strconv.Atoi(code); err != nil || n != 0 || !regexp.MustCompile(now.prints).MatchString(said) {
			s.t.Errorf("%s: exit code %s, want 0 and %q:\n%s", now.line, code, now.prints, said)
		}
		said = next
	}
}

// until is a line that waits for a condition.
func until(condition string) string {
	return "timeout 120 bash -c '" + condition + "' && echo so"
}

// clean is the environment of somebody who has set nothing for this project, with more variables.
func clean(more ...string) (env []string) {
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "RECOUNT_") && !strings.HasPrefix(kv, "PCS_") && !strings.HasPrefix(kv, "GOFLAGS=") {
			env = append(env, kv)
		}
	}
	return append(env, more...)
}

// write writes a file of the test and returns its path.
func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
