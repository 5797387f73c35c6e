package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// far is the distance of two words by its definition, without any cleverness: the other implementation.
func far(a, b string) int {
	if a == "" || b == "" {
		return len(a) + len(b)
	}
	cost := 1
	if a[0] == b[0] {
		cost = 0
	}
	least := min(far(a[1:], b)+1, far(a, b[1:])+1, far(a[1:], b[1:])+cost)
	if len(a) > 1 && len(b) > 1 && a[0] == b[1] && a[1] == b[0] {
		least = min(least, far(a[2:], b[2:])+1)
	}
	return least
}

// TestDistanceByDefinition compares all short words of two letters.
func TestDistanceByDefinition(t *testing.T) {
	words := []string{""}
	for begin := 0; len(words) < 60; {
		end := len(words)
		for _, w := range words[begin:end] {
			words = append(words, w+"a", w+"b")
		}
		begin = end
	}
	for _, a := range words {
		for _, b := range words {
			if got, want := distance(a, b), far(a, b); got != want {
				t.Fatalf("%q %q: %d, want %d", a, b, got, want)
			}
		}
	}
	for _, long := range []string{strings.Repeat("a", 65), strings.Repeat("é", 40)} {
		if got := distance(long, "a"); got < 3 || distance("a", long) != got {
			t.Errorf("%.10q…: %d", long, got)
		}
	}
}

// TestNearestRules: one or two slips of the fingers, fewer in short words, a beginning of two letters, and of equal
// ones the first.
func TestNearestRules(t *testing.T) {
	for _, c := range []struct {
		word  string
		known []string
		want  string
	}{
		{"list", []string{"list"}, "list"},
		{"lits", []string{"list"}, "list"},
		{"lixt", []string{"list"}, "list"},
		{"lxxt", []string{"list"}, "list"},
		{"xxxt", []string{"list"}, ""},
		{"ab", []string{"ac"}, "ac"},
		{"ab", []string{"cd"}, ""},
		{"a", []string{"b"}, ""},
		{"a", []string{"ab"}, ""}, // one letter begins too much
		{"a", []string{"a"}, "a"},
		{"gen", []string{"generation"}, "generation"},
		{"ge", []string{"generation"}, "generation"},
		{"GEN", []string{"generation"}, "generation"},
		{"gen", []string{"Generation"}, "Generation"},
		{"key", []string{"kex", "keys"}, "kex"},
		{"keys", []string{"kexs", "keys"}, "keys"}, // the nearer one, though it comes later
		{"abcdefgh", []string{"abcdefxy"}, "abcdefxy"},
		{"abcdefgh", []string{"abcdewxy"}, ""}, // three slips are too many
		{"", []string{"list", ""}, ""},
		{"list", nil, ""},
	} {
		if got := Nearest(c.word, c.known); got != c.want {
			t.Errorf("%q of %q: %q, want %q", c.word, c.known, got, c.want)
		}
	}
}

// TestReflow: paragraphs are wrapped, what is set off stays, and no word is lost or cut.
func TestReflow(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{
		{"", 10, ""},
		{"one two", 10, "one two"},
		{"one two", 7, "one two"},
		{"one two", 6, "one\ntwo"},
		{"one\ntwo", 10, "one two"},
		{"one\n\ntwo", 10, "one\n\ntwo"},
		{"one\n  a command that is long\ntwo", 5, "one\n  a command that is long\ntwo"},
		{"one\n\n\ntwo", 5, "one\n\n\ntwo"},
		{"  begins set off\nthen not", 4, "  begins set off\nthen\nnot"},
		{"averyverylongword one", 5, "averyverylongword\none"},
		{"one   two", 10, "one two"},
		{"ends with a feed\n", 40, "ends with a feed\n"},
	} {
		if got := Reflow(c.text, c.width); got != c.want {
			t.Errorf("%q in %d: %q, want %q", c.text, c.width, got, c.want)
		}
		if again := Reflow(Reflow(c.text, c.width), c.width); again != Reflow(c.text, c.width) {
			t.Errorf("%q in %d: twice it is %q", c.text, c.width, again)
		}
	}
}

// TestHelpTooNarrow: below the least width the help stays as it is written.
func TestHelpTooNarrow(t *testing.T) {
	long := strings.Repeat("some words of a long help ", 9)
	for width, whole := range map[int]bool{0: true, 1: true, leastHelp - 1: true, leastHelp: false} {
		var out bytes.Buffer
		root := &cobra.Command{Use: "root", Long: long}
		FitHelp(root, func() int { return width })
		root.SetOut(&out)
		if err := root.Help(); err != nil || strings.Contains(out.String(), strings.TrimSpace(long)) != whole {
			t.Errorf("%d columns: %v\n%s", width, err, out.String())
		}
	}
}

// TestHostileNames: whatever is typed for a command or a flag is quoted in the error, on one line, and none of it is
// written to the terminal as it is.
func TestHostileNames(t *testing.T) {
	for _, name := range []string{"\x1b[31mred", "two\nlines", "\u202eevil", "nul\x00", "%s%n%d", `"quoted"`, "tab\there",
		strings.Repeat("x", 70_000), "\xff\xfe"} {
		for _, args := range [][]string{{name}, {"keys", name}, {"keys", "list", name}, {"keys", "list", "--by", name},
			{"help", "keys", name}, {"keys", "list", "--limit", name}, {"keys", "list", "--every", name}} {
			ran := 0
			cmd := tree(&ran)
			cmd.SetArgs(args)
			err := cmd.Execute()
			if !errors.Is(err, errUsage) || ran != 0 {
				t.Fatalf("%.40q: %v, %d runs", args, err, ran)
			}
			if says := strings.TrimPrefix(err.Error(), errUsage.Error()+"\n"); strings.ContainsAny(says, "\x1b\x00\t\n\u202e") ||
				strings.Contains(says, "MISSING") {
				t.Errorf("%.40q: %.200q", args, says)
			}
		}
	}
}

// TestOrList: a list as a sentence has it.
func TestOrList(t *testing.T) {
	for want, words := range map[string][]string{"": nil, "a": {"a"}, "a or b": {"a", "b"}, "a, b or c": {"a", "b", "c"}} {
		if got := orList(words); got != want {
			t.Errorf("%q: %q", words, got)
		}
	}
}

// TestHelpCommand: help finds a command, and refuses one that there is not, in a group too.
func TestHelpCommand(t *testing.T) {
	for args, want := range map[string]string{
		"help": "", "help keys": "", "help keys list": "", "help help": "",
		"help kyes":     `prog has no command "kyes", did you mean "prog keys"?`,
		"help keys lst": `did you mean "prog keys list"?`,
		"help keys zz":  `prog keys has no command "zz"; "prog keys --help" lists them`,
	} {
		var out bytes.Buffer
		cmd := tree(new(int))
		cmd.SetOut(&out)
		cmd.SetArgs(strings.Fields(args))
		err := cmd.Execute()
		if want == "" && (err != nil || !strings.Contains(out.String(), "Usage:")) {
			t.Errorf("%s: %v\n%s", args, err, out.String())
		}
		if want != "" && (!errors.Is(err, errUsage) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}

// TestUnknownSuggestsNoHidden: what is hidden or deprecated is not suggested, an alias is.
func TestUnknownSuggestsNoHidden(t *testing.T) {
	run := func(*cobra.Command, []string) {}
	group := &cobra.Command{Use: "prog"}
	group.AddCommand(&cobra.Command{Use: "secret", Hidden: true, Run: run},
		&cobra.Command{Use: "ancient", Deprecated: "no", Run: run},
		&cobra.Command{Use: "operations", Aliases: []string{"deeds"}, Run: run})
	for name, want := range map[string]string{"secre": "", "ancien": "", "operation": "prog operations", "deed": "prog deeds"} {
		err := Unknown(group, name)
		if guess := strings.Contains(err.Error(), "did you mean"); guess != (want != "") ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestClosedFlags: a closed flag takes its words and no others, of a command and of all below it. A flag that is not
// given is not looked at.
func TestClosedFlags(t *testing.T) {
	for args, ok := range map[string]bool{
		"":                             true,
		"below":                        true,
		"--color auto below":           true,
		"below --color never":          true,
		"below --color NEVER":          false,
		"below --color=":               false,
		"below --color nev":            false,
		"below --color never,auto":     false,
		"below --color auto --color x": false,
	} {
		root := &cobra.Command{Use: "prog", SilenceErrors: true, SilenceUsage: true, PersistentPreRunE: Check,
			RunE: func(*cobra.Command, []string) error { return nil }}
		root.PersistentFlags().String("color", "something else", "")
		Closed(root, "color", "auto", "never")
		root.AddCommand(&cobra.Command{Use: "below", RunE: func(*cobra.Command, []string) error { return nil }})
		root.SetArgs(strings.Fields(args))
		if err := root.Execute(); (err == nil) != ok {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// TestClosedPanics: a mistake in the program is found at every start.
func TestClosedPanics(t *testing.T) {
	panics := func(f func()) (did bool) {
		defer func() { did = recover() != nil }()
		f()
		return false
	}
	cmd := &cobra.Command{Use: "c"}
	cmd.Flags().String("by", "", "")
	if !panics(func() { Closed(cmd, "no-such-flag", "x") }) {
		t.Error("a flag that there is not")
	}
	Closed(cmd, "by", "x")
	if !panics(func() { Closed(cmd, "by", "y") }) {
		t.Error("twice")
	}
}

// TestCompletionScripts: a script for each shell, and an error for every other word. The shell's own question about an
// empty word is not refused.
func TestCompletionScripts(t *testing.T) {
	for _, c := range []struct {
		args []string
		ok   bool
	}{
		{[]string{"completion", "bash"}, true},
		{[]string{"completion", "zsh"}, true},
		{[]string{"completion", "fish"}, true},
		{[]string{"completion", "powershell"}, true},
		{[]string{"completion"}, false},
		{[]string{"completion", "tcsh"}, false},
		{[]string{"completion", "bash", "zsh"}, false},
		{[]string{"completion", "Bash"}, false},
		{[]string{cobra.ShellCompRequestCmd, ""}, true},
		{[]string{cobra.ShellCompRequestCmd, "keys", "list", "--by", ""}, true},
	} {
		var out bytes.Buffer
		root := tree(new(int))
		root.AddCommand(Completion("prog", func(err error) error { return errors.Join(errUsage, err) }))
		root.SetOut(&out)
		root.SetErr(io.Discard)
		root.SetArgs(c.args)
		err := root.Execute()
		if (err == nil) != c.ok || c.ok != (out.Len() > 0) || err != nil && !errors.Is(err, errUsage) {
			t.Errorf("%q: %v, %d bytes", c.args, err, out.Len())
		}
		if slices.Contains(c.args, "--by") && !strings.HasPrefix(out.String(), "shard\nkey\noutcome\n:") {
			t.Errorf("%q: %q", c.args, out.String())
		}
	}
}

// TestCompletionOnAFullDisk: a script that is lost is an error of the command, for every shell.
func TestCompletionOnAFullDisk(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		out := Watch(full{})
		root := tree(new(int))
		root.AddCommand(Completion("prog", func(err error) error { return err }))
		root.SetOut(out)
		root.SetArgs([]string{"completion", shell})
		if err := out.Lost(root.Execute()); err == nil {
			t.Errorf("%s: lost, and nobody says so", shell)
		}
	}
}

// TestOutput: what is written arrives, the writer behind it can be found, and the first of several errors is kept.
func TestOutput(t *testing.T) {
	var b bytes.Buffer
	out := Watch(&b)
	if n, err := io.WriteString(out, "text"); n != 4 || err != nil || b.String() != "text" || out.Under() != io.Writer(&b) ||
		out.Lost(nil) != nil {
		t.Errorf("%d %v %q", n, err, b.String())
	}
	n := 0
	out = Watch(failing(func() error { n++; return fmt.Errorf("failure %d", n) }))
	for range 3 {
		_, _ = io.WriteString(out, "x")
	}
	if err := out.Lost(nil); err == nil || !strings.Contains(err.Error(), "failure 1") {
		t.Errorf("%v", err)
	}
}

// failing is a writer that fails in its own way every time.
type failing func() error

func (f failing) Write([]byte) (int, error) { return 0, f() }

// TestRefuseEmptyForms: which flag or argument is empty is said. Numbers and truth values are never empty.
func TestRefuseEmptyForms(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--text", ""}, "--text is given without a value"},
		{[]string{"--many", "a,,b"}, "--many is given without a value"},
		{[]string{"--array", ""}, "--array is given without a value"},
		{[]string{"--array", "\t"}, "--array is given without a value"},
		{[]string{"--array", "a,b"}, ""},
		{[]string{"--numbers", "1,2"}, ""},
		{[]string{"--n", "0", "--on=false", "--every", "0s"}, ""},
		{[]string{"a", "", "c"}, "argument 2 of c is empty"},
		{[]string{"a", "b", "\u00a0"}, "argument 3 of c is empty"},
		{[]string{"--", "--text"}, ""},
		{[]string{"--", ""}, "argument 1 of c is empty"},
	} {
		cmd := &cobra.Command{Use: "c", SilenceErrors: true, SilenceUsage: true, RunE: RefuseEmpty}
		f := cmd.Flags()
		f.String("text", "", "")
		f.StringSlice("many", nil, "")
		f.StringArray("array", nil, "")
		f.IntSlice("numbers", nil, "")
		f.Int("n", 7, "")
		f.Bool("on", true, "")
		Span(f, new(time.Duration), "every", time.Minute, "")
		cmd.SetArgs(c.args)
		err := cmd.Execute()
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v, want %q", c.args, err, c.says)
		}
	}
}

// TestSpanFlag: a span has its default, takes days and weeks, and refuses what is none and what is before nothing.
func TestSpanFlag(t *testing.T) {
	for text, want := range map[string]time.Duration{"": time.Minute, "0s": 0, "2d": 48 * time.Hour, "1w": 168 * time.Hour,
		"90s": 90 * time.Second, "-1s": -1, "soon": -1, "1": -1, "999999w": -1} {
		var got time.Duration
		cmd := &cobra.Command{Use: "c", SilenceErrors: true, SilenceUsage: true, RunE: func(*cobra.Command, []string) error { return nil }}
		Span(cmd.Flags(), &got, "every", time.Minute, "how often")
		args := []string{}
		if text != "" {
			args = []string{"--every=" + text}
		}
		cmd.SetArgs(args)
		if err := cmd.Execute(); (err != nil) != (want == -1) || err == nil && got != want {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
}
