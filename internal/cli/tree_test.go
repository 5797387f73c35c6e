package cli

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

func TestNearest(t *testing.T) {
	known := []string{"audit", "approve", "operations", "keys", "shard", "known", "list", "endpoint", "op-id"}
	for word, want := range map[string]string{
		"audti": "audit", "lst": "list", "know": "known", "KEY": "keys", "endpont": "endpoint", "opid": "op-id",
		"": "", "x": "", "zz": "", "nothing-like-it": "", strings.Repeat("a", 100_000): "", "ätti": "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("%.20q: %q, want %q", word, got, want)
		}
	}
}

var errUsage = errors.New("usage")

// tree is a program with a group, a command with a closed flag and one with a required flag.
func tree(ran *int) *cobra.Command {
	root := &cobra.Command{Use: "prog", SilenceErrors: true, SilenceUsage: true, PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
		if err := Check(cmd, args); err != nil {
			return errors.Join(errUsage, err)
		}
		return nil
	}}
	run := func(*cobra.Command, []string) error { *ran++; return nil }
	group := &cobra.Command{Use: "keys"}
	list := &cobra.Command{Use: "list", RunE: run}
	list.Flags().String("by", "shard", "")
	Closed(list, "by", "shard", "key", "outcome")
	list.Flags().Int("limit", 0, "")
	list.Flags().Uint64("from", 0, "")
	list.Flags().Bool("all", false, "")
	Span(list.Flags(), new(time.Duration), "every", 0, "")
	need := &cobra.Command{Use: "need", RunE: run}
	need.Flags().String("dir", "", "")
	if err := need.MarkFlagRequired("dir"); err != nil {
		panic(err)
	}
	group.AddCommand(list, need)
	root.AddCommand(group)
	Strict(root, func(err error) error { return errors.Join(errUsage, err) })
	root.SetOut(io.Discard)
	return root
}

func TestStrict(t *testing.T) {
	for args, want := range map[string]string{
		"kyes":                 `prog has no command "kyes", did you mean "prog keys"? "prog --help" lists them`,
		"keys lst":             `did you mean "prog keys list"?`,
		"keys zzzzzz":          `prog keys has no command "zzzzzz"; "prog keys --help" lists them`,
		"keys list x":          `takes no arguments, and "x" is one`,
		"keys list --bi key":   `unknown flag: --bi, did you mean "--by"?`,
		"keys list --by shrad": `--by "shrad": must be shard, key or outcome, did you mean "shard"?`,
		"keys list --by=":      `--by is given without a value`,
		"keys list --limit x":  `--limit "x": must be a whole number; "prog keys list --help" shows the flags`,
		"keys list --from -1":  `--from "-1": must be a whole number, 0 or more`,
		"keys list --from " + strings.Repeat("9", 30): `must be a number nearer to 0`,
		"keys list --all=maybe":                       `--all "maybe": must be true or false`,
		"keys list --every soon":                      `--every "soon": must be a time span such as 15m, 12h, 2d or 1w`,
		"keys need":                                   `required flag(s) "dir" not set`,
		"keys need --dir x list":                      `takes no arguments`,
		"keys list -z":                                `unknown shorthand flag: 'z' in -z`,
	} {
		ran := 0
		cmd := tree(&ran)
		cmd.SetArgs(strings.Fields(args))
		err := cmd.Execute()
		if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), want) || ran != 0 {
			t.Errorf("%s: %v, %d runs", args, err, ran)
		}
	}
	for _, args := range []string{"", "keys", "keys list", "keys list --by outcome", "keys need --dir x", "keys --help"} {
		cmd := tree(new(int))
		cmd.SetArgs(strings.Fields(args))
		if err := cmd.Execute(); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"list", "lsit", 1}, {"list", "lst", 1}, {"audit", "edit", 2}, {"abc", "xyz", 3}} {
		if got := distance(c.a, c.b); got != c.want || distance(c.b, c.a) != c.want {
			t.Errorf("%q %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
