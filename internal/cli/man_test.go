package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// manTree has a group, a command with all that a help text can hold, one that is hidden and one that is deprecated.
func manTree() *cobra.Command {
	run := func(*cobra.Command, []string) {}
	root := &cobra.Command{Use: "prog", Short: "A program", Long: "prog does things.\n\nwell\n.and 'good"}
	root.PersistentFlags().StringP("output", "o", "table", "table or json")
	group := &cobra.Command{Use: "key", Short: "Keys"}
	add := &cobra.Command{Use: "add NAME [flags]", Short: "Add a key", Run: run,
		Long:    "add adds it\nin two lines.\n\nhmac     a secret\n         of many bytes\ned25519  a pair\n\nLast one:\n\n  indented --block\n  .of lines \\n",
		Example: "  prog key add x --count 3\n  prog key add \"y z\""}
	add.Flags().Int("count", 3, "how `many` there are")
	add.Flags().Bool("fast", false, "do it fast")
	add.Flags().String("secret", "", "nobody sees it")
	if err := add.Flags().MarkHidden("secret"); err != nil {
		panic(err)
	}
	group.AddCommand(add, &cobra.Command{Use: "old", Short: "Old", Run: run, Hidden: true})
	root.AddCommand(group, &cobra.Command{Use: "gone", Short: "Gone", Run: run, Deprecated: "no more"})
	root.CompletionOptions.DisableDefaultCmd = true
	return root
}

// TestPages: each command that help lists has a page with its synopsis, flags, lists, blocks and examples.
func TestPages(t *testing.T) {
	pages := Pages(manTree(), "v1.2-rc")
	if len(pages) != 3 {
		t.Errorf("%d pages", len(pages))
	}
	for page, parts := range map[string][]string{
		"prog.1": {".TH PROG 1 \"\" \"v1.2\\-rc\"", "prog \\- A program\n", "\n.PP\nprog does things.\n.PP\nwell\n\\&.and 'good\n",
			".SH COMMANDS\n.TP\n.BR prog\\-key (1)\nKeys\n", "\\fB\\-o, \\-\\-output\\fR \\fIstring\\fR\ntable or json (default table)\n"},
		"prog-key.1": {".BR prog\\-key\\-add (1)\nAdd a key\n", "SEE ALSO\n.BR prog (1)\n", "\n.PP\nKeys.\n"},
		"prog-key-add.1": {".B prog key add NAME [flags]\n", ".PP\nadd adds it\nin two lines.\n",
			".TP\n.B hmac\na secret\nof many bytes\n.TP\n.B ed25519\na pair\n", ".PP\nLast one:\n.PP\n.EX\n  indented \\-\\-block\n  .of lines \\en\n.EE\n",
			"\\-\\-count\\fR \\fImany\\fR\nhow many there are (default 3)\n", "\\-\\-fast\\fR \\fI\\fR\ndo it fast\n",
			".SH OPTIONS OF EVERY COMMAND\n", ".SH EXAMPLES\n.PP\n.EX\n  prog key add x \\-\\-count 3\n  prog key add \\(dqy z\\(dq\n.EE\n"},
	} {
		for _, part := range parts {
			if !strings.Contains(pages[page], part) {
				t.Errorf("%s has no %q:\n%s", page, part, pages[page])
			}
		}
	}
	if strings.Contains(pages["prog-key-add.1"], "nobody sees it") || strings.Contains(pages["prog-key.1"], "Old") {
		t.Error("what is hidden is shown")
	}
}

// TestManPages writes them, and refuses a line without a directory.
func TestManPages(t *testing.T) {
	for _, args := range []int{0, 1, 2} {
		root := manTree()
		root.AddCommand(ManPages("prog", "v1", func(err error) error { return err }))
		Strict(root, func(err error) error { return err })
		dir := filepath.Join(t.TempDir(), "new")
		root.SetArgs(append([]string{"man"}, []string{dir, "more"}[:args]...))
		root.SilenceErrors, root.SilenceUsage = true, true
		err := root.Execute()
		pages, _ := filepath.Glob(filepath.Join(dir, "*.1"))
		if (err == nil) != (args == 1) || args == 1 && len(pages) != 4 {
			t.Errorf("%d arguments: %v, %v", args, err, pages)
		}
	}
}

// TestPagesAreRoff: man shows the page of every command without a warning.
func TestPagesAreRoff(t *testing.T) {
	if _, err := exec.LookPath("groff"); err != nil {
		t.Skip("no groff here (Debian: groff)")
	}
	for name, page := range Pages(manTree(), "v1") {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("groff", "-man", "-Tutf8", "-ww", "-z", path).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}
