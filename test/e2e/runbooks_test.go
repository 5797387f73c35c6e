package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// runbook is a page whose shell blocks are played in order.
type runbook struct {
	t       *testing.T
	name    string
	blocks  []runbookBlock
	shells  [2]*shell // of the two persons; the second one may be nil
	refused []string  // what the lines begin with that end with exit code 4 for one of two persons
	fails   map[string]int
	all     []said
	last    string // the section that was played last
	took    time.Duration
}

// runbookBlock is one block of a page.
type runbookBlock struct {
	section  string // number or beginning of the heading, or of the bold words, before it
	second   bool   // for the second person
	commands []string
}

// readRunbook reads the blocks of a page.
func readRunbook(t *testing.T, page string) *runbook {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	r := &runbook{t: t, name: page}
	section := "top"
	parts := regexp.MustCompile("(?ms)^(?:## (.*?)$|\\*\\*([0-9].*?)\\*\\*|```sh\n(.*?)\n```$)").FindAllStringSubmatch(string(text), -1)
	for _, m := range parts {
		if heading := m[1] + m[2]; heading != "" {
			section = heading
			continue
		}
		lines := strings.Split(m[3], "\n")
		b := runbookBlock{section: section, second: strings.HasPrefix(lines[0], "# The second person")}
		for _, line := range lines {
			last := len(b.commands) - 1
			switch {
			case strings.HasPrefix(line, "#"):
			case last >= 0 && strings.HasSuffix(b.commands[last], "&&"):
				b.commands[last] += "\n" + line
			default:
				b.commands = append(b.commands, line)
			}
		}
		r.blocks = append(r.blocks, b)
	}
	if strings.Count(string(text), "```") != 2*len(r.blocks) || strings.Contains(string(text), "\n    recount ") {
		t.Fatalf("%s has blocks that nobody plays", page)
	}
	return r
}

// settings is the first block with the values of a cluster: each variable in it gets one of them, and no other is there.
func (r *runbook) settings(values map[string]string) (lines []string) {
	r.t.Helper()
	assignment := regexp.MustCompile(`^((?:export )?([A-Z_]+)=)`)
	for _, line := range r.blocks[0].commands {
		m := assignment.FindStringSubmatch(line)
		if m == nil || values[m[2]] == "" {
			r.t.Fatalf("%s: the block on top has %q", r.name, line)
		}
		lines = append(lines, m[1]+"'"+values[m[2]]+"'")
	}
	return lines
}

// play types the blocks of all sections whose heading begins so, and holds the exit codes against what they must be.
func (r *runbook) play(section string) (lines []said) {
	r.t.Helper()
	began, played := time.Now(), 0
	for _, b := range r.blocks[1:] {
		if !strings.HasPrefix(b.section, section) {
			continue
		}
		person := r.shells[0]
		if b.second {
			if person = r.shells[1]; person == nil {
				continue
			}
		}
		for _, line := range b.commands {
			played++
			s := person.run(line)
			r.t.Logf("$ %s\n%s", line, s.out)
			lines = append(lines, s)
			if want := r.code(line, section); s.code != want {
				r.t.Errorf("%s, %s: %s: exit code %d, want %d:\n%s", r.name, b.section, line, s.code, want, s.out)
			}
		}
	}
	if played == 0 {
		r.t.Fatalf("%s has no block in a section %q", r.name, section)
	}
	took := time.Since(began)
	r.t.Logf("%8.2f s  %s: %s", took.Seconds(), r.name, section)
	r.took += took
	r.all, r.last = append(r.all, lines...), section
	return lines
}

// code is the exit code that a line must have in a section.
func (r *runbook) code(line, section string) int {
	if code, known := r.fails[section+": "+line]; known {
		return code
	}
	for _, begin := range r.refused {
		if r.shells[1] != nil && strings.HasPrefix(line, begin) {
			return 4
		}
	}
	return 0
}

// shows wants a text of what some lines printed.
func (r *runbook) shows(lines []said, want string) {
	r.t.Helper()
	var all strings.Builder
	for _, s := range lines {
		all.WriteString(s.out)
	}
	if !regexp.MustCompile(want).MatchString(all.String()) {
		r.t.Errorf("%s: %s: nothing matches %s:\n%s", r.name, r.last, want, all.String())
	}
}

// whole fails unless every block of the page was played, and how long all took.
func (r *runbook) whole() {
	r.t.Helper()
	r.t.Logf("%8.2f s  %s: all blocks", r.took.Seconds(), r.name)
	want := 0
	for _, b := range r.blocks[1:] {
		if !b.second || r.shells[1] != nil {
			want += len(b.commands)
		}
	}
	if len(r.all) != want || want < 10 {
		r.t.Errorf("%s: %d lines of %d were played", r.name, len(r.all), want)
	}
}

// shell is one person's shell. It reads what is typed from a pipe of its own, so that no command can take it for its input.
type shell struct {
	t   *testing.T
	in  io.WriteCloser
	out *bytes.Buffer // not read yet
	raw *os.File
}

func newShell(ctx context.Context, t *testing.T, dir string, settings []string) *shell {
	t.Helper()
	script, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	raw, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "bash", "/dev/fd/3")
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = dir, out, out, []*os.File{script}
	cmd.Env = append(clean(), "PATH="+filepath.Dir(recountTool(t))+":"+os.Getenv("PATH"))
	err = cmd.Start()
	_, _ = script.Close(), out.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
		_ = raw.Close()
	})
	s := &shell{t: t, in: in, out: &bytes.Buffer{}, raw: raw}
	for _, line := range settings {
		if got := s.run(line); got.code != 0 || got.out != "" {
			t.Fatalf("%s: %+v", line, got)
		}
	}
	return s
}

// run types a line and reads what it prints up to its end.
func (s *shell) run(line string) said {
	s.t.Helper()
	if _, err := fmt.Fprintf(s.in, "%s\nprintf '\\001end %%d\\n' $?\n", line); err != nil {
		s.t.Fatalf("%s: %v", line, err)
	}
	for buf := make([]byte, 1<<16); ; {
		if out, rest, ok := strings.Cut(s.out.String(), "\x01end "); ok && strings.Contains(rest, "\n") {
			code, rest, _ := strings.Cut(rest, "\n")
			n, err := strconv.Atoi(code)
			if err != nil {
				s.t.Fatalf("%s: %v", line, err)
			}
			s.out.Reset()
			s.out.WriteString(rest)
			return said{line, out, n}
		}
		n, err := s.raw.Read(buf)
		if err != nil {
			s.t.Fatalf("%s: %v: %s", line, err, s.out)
		}
		s.out.Write(buf[:n])
	}
}
