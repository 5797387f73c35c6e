package main

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestEmptyFlags gives every text flag of every command an empty value: refused as wrong usage, by name, and nothing happens.
func TestEmptyFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	tried := 0
	commands := root().Commands()
	for i := 0; i < len(commands); i++ {
		c := commands[i]
		commands = append(commands, c.Commands()...)
		if !c.Runnable() {
			continue
		}
		path := strings.Fields(c.CommandPath())[1:]
		flags := pflag.NewFlagSet("all", pflag.ContinueOnError)
		flags.AddFlagSet(c.Flags())
		flags.AddFlagSet(c.InheritedFlags())
		flags.VisitAll(func(f *pflag.Flag) {
			if !strings.HasPrefix(f.Value.Type(), "string") {
				return
			}
			for _, value := range []string{"", "  "} {
				tried++
				args := append(slices.Clone(path), requiredFlags(c, f.Name)...)
				if c.Name() == "create-ca" || c.Name() == "show" {
					args = append(args, "base")
				}
				cmd := root()
				neverRun(t, cmd) // a command that starts nodes would start this test in each of them
				cmd.SetArgs(append(args, "--"+f.Name+"="+value))
				var usage *usageError
				err := cmd.ExecuteContext(t.Context())
				if !errors.As(err, &usage) || !strings.Contains(err.Error(), "--"+f.Name+" is given without a value") {
					t.Errorf("%v --%s %q: %v", path, f.Name, value, err)
				}
			}
		})
	}
	if made, err := os.ReadDir("."); err != nil || len(made) != 0 {
		t.Errorf("something was made: %v %v", made, err)
	}
	if tried < 200 {
		t.Errorf("only %d flags", tried)
	}
}

// neverRun has every command say that it ran, instead of doing what it is for.
func neverRun(t *testing.T, c *cobra.Command) {
	if c.Runnable() {
		c.Run, c.RunE = nil, func(c *cobra.Command, args []string) error {
			t.Errorf("%s runs with %q", c.CommandPath(), args)
			return nil
		}
	}
	for _, below := range c.Commands() {
		neverRun(t, below)
	}
}

// requiredFlags are the flags without which cobra refuses the command before it looks at anything else.
func requiredFlags(c *cobra.Command, besides string) (args []string) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if _, ok := f.Annotations[cobra.BashCompOneRequiredFlag]; ok && f.Name != besides {
			args = append(args, "--"+f.Name, "x")
		}
	})
	return args
}
