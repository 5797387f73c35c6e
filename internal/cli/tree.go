package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// closedValues is the annotation of a flag that takes one of a few words.
const closedValues = "recount_closed_values"

// Closed restricts a flag to words. Check refuses others, and the shell completes these.
func Closed(cmd *cobra.Command, flag string, words ...string) {
	set := cmd.Flags()
	if set.Lookup(flag) == nil {
		set = cmd.PersistentFlags()
	}
	f := set.Lookup(flag)
	if f == nil {
		panic("no flag --" + flag + " of " + cmd.Name()) // a mistake in the program, which every start would show
	}
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[closedValues] = words
	if err := cmd.RegisterFlagCompletionFunc(flag,
		cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // registered twice: a mistake in the program
	}
}

// Check refuses what no command takes: an empty value or argument, a missing flag, a word that the flag does not have.
func Check(cmd *cobra.Command, args []string) error {
	if cmd.Name() == cobra.ShellCompRequestCmd || cmd.Name() == cobra.ShellCompNoDescRequestCmd {
		return nil // the shell asks how an empty word may go on
	}
	if err := RefuseEmpty(cmd, args); err != nil {
		return err
	}
	if err := cmd.ValidateRequiredFlags(); err != nil {
		return err
	}
	return checkClosed(cmd)
}

func checkClosed(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		words := f.Annotations[closedValues]
		if value := f.Value.String(); err == nil && words != nil && !slices.Contains(words, value) {
			err = fmt.Errorf("--%s %q: must be %s%s", f.Name, value, orList(words), meant(value, words, ""))
		}
	})
	return err
}

// orList is "a, b or c".
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// Strict completes a tree of commands. A group without a run of its own shows its help, and refuses a name that
// it does not have. What is wrong with arguments or flags is passed through usage, which gives it the exit code
// of wrong usage.
func Strict(root *cobra.Command, usage func(error) error) {
	wrap := func(err error) error {
		if err == nil {
			return nil
		}
		return usage(err)
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return wrap(flagError(cmd, err)) })
	root.SetHelpCommand(helpCommand(wrap))
	all := []*cobra.Command{root}
	for i := 0; i < len(all); i++ {
		cmd := all[i]
		all = append(all, cmd.Commands()...)
		check := cmd.Args
		switch {
		case cmd.HasSubCommands() && !cmd.Runnable():
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
			check = noSuch
		case check == nil:
			check = None
		}
		cmd.Args = func(cmd *cobra.Command, args []string) error { return wrap(check(cmd, args)) }
	}
}

// helpCommand is cobra's own, with an error for a command that does not exist.
func helpCommand(wrap func(error) error) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Show the help of a command", Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			switch {
			case found == nil:
				return wrap(err)
			case len(rest) > 0 && found.HasSubCommands():
				return wrap(Unknown(found, rest[0]))
			}
			return found.Help()
		},
	}
}

// Completion prints the completion script of a shell.
func Completion(program string, usage func(error) error) *cobra.Command {
	scripts := map[string]func(*cobra.Command, io.Writer) error{
		"bash":       func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"zsh":        (*cobra.Command).GenZshCompletion,
		"fish":       func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) },
		"powershell": (*cobra.Command).GenPowerShellCompletionWithDesc,
	}
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use: "completion SHELL", Short: "Print the completion script of a shell", ValidArgs: shells,
		Example: strings.ReplaceAll(`  source <(PROGRAM completion bash)
  PROGRAM completion zsh > "${fpath[1]}/_PROGRAM"
  PROGRAM completion fish > ~/.config/fish/completions/PROGRAM.fish`, "PROGRAM", program),
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && scripts[args[0]] != nil {
				return scripts[args[0]](cmd.Root(), cmd.OutOrStdout())
			}
			path := cmd.CommandPath()
			return usage(fmt.Errorf("%s needs the name of one shell: %s; \"%s --help\" shows examples", path,
				orList(shells), path))
		},
	}
}

// noSuch refuses an argument of a group: it was meant for a command.
func noSuch(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return Unknown(cmd, args[0])
}

// None takes no arguments.
func None(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		path := cmd.CommandPath()
		return fmt.Errorf("%s takes no arguments, and %q is one; \"%s --help\" shows examples", path, args[0], path)
	}
	return nil
}

// Unknown is the error for a command that a group does not have.
func Unknown(group *cobra.Command, name string) error {
	var known []string
	for _, c := range group.Commands() {
		if c.IsAvailableCommand() {
			known = append(append(known, c.Name()), c.Aliases...)
		}
	}
	path := group.CommandPath()
	return fmt.Errorf("%s has no command %q%s\"%s --help\" lists them", path, name,
		ended(meant(name, known, path+" ")), path)
}

// flagError adds what was probably meant to the error of a flag that does not exist, says what a flag takes
// that was given another value, and where the flags are listed.
func flagError(cmd *cobra.Command, err error) error {
	var missing *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		f := invalid.GetFlag()
		err = fmt.Errorf("--%s %q: must be %s", f.Name, invalid.GetValue(), takes(f, invalid))
	}
	guess := ""
	if errors.As(err, &missing) && missing.GetSpecifiedShortnames() == "" {
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
		guess = meant(missing.GetSpecifiedName(), known, "--")
	}
	return fmt.Errorf("%w%s\"%s --help\" shows the flags", err, ended(guess), cmd.CommandPath())
}

// takes returns what the value of a flag must be.
func takes(f *pflag.Flag, err *pflag.InvalidValueError) string {
	if errors.Is(err, strconv.ErrRange) {
		return "a number nearer to 0"
	}
	switch f.Value.Type() {
	case "int", "int64":
		return "a whole number"
	case "uint", "uint32", "uint64":
		return "a whole number, 0 or more"
	case "float64":
		return "a number"
	case "bool":
		return "true or false"
	case "span":
		return "a time span such as 15m, 12h, 2d or 1w"
	}
	return "another value: " + err.Unwrap().Error()
}

func meant(word string, known []string, prefix string) string {
	if near := Nearest(word, known); near != "" {
		return fmt.Sprintf(", did you mean %q?", prefix+near)
	}
	return ""
}

// ended returns the text between a guess, which may be empty, and the next sentence.
func ended(guess string) string {
	if guess == "" {
		return "; "
	}
	return guess + " "
}

// Nearest gives the known word that was probably meant, "" when none is near: one that begins with word, or
// that a slip or two of the fingers away.
func Nearest(word string, known []string) string {
	word = strings.ToLower(word)
	best, least := "", min(2, len(word)/2)+1
	for _, k := range known {
		d := distance(word, strings.ToLower(k))
		if len(word) >= 2 && strings.HasPrefix(strings.ToLower(k), word) {
			d = min(d, 1)
		}
		if d < least {
			best, least = k, d
		}
	}
	return best
}

// distance counts insertions, deletions, replacements and swaps of neighbours between two words.
func distance(a, b string) int {
	const far = 64
	if len(a) > far || len(b) > far {
		return far
	}
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, last[j]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
