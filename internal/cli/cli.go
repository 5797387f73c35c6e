// Package cli holds what both programs do with a command line: output that is lost is an error, a flag or an
// argument without a value is refused, and a name that does not exist is an error that says which one was
// probably meant.
//
// It refuses to guess: a name is suggested, never corrected.
package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/recount-ledger/recount/internal/when"
)

// Output passes on what is written and keeps the first error, so that no command says that it is done when its
// output is lost.
type Output struct {
	to  io.Writer
	err error
}

// Watch returns an Output in front of to.
func Watch(to io.Writer) *Output { return &Output{to: to} }

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	n, err := o.to.Write(p)
	if err != nil && o.err == nil {
		o.err = err
	}
	return n, err
}

// Under returns the writer that the output goes to. The package term looks there for the terminal.
func (o *Output) Under() io.Writer { return o.to }

// Lost returns err, the result of the command, or says that its output could not be written.
func (o *Output) Lost(err error) error {
	if err == nil && o.err != nil {
		return fmt.Errorf("the output could not be written: %w", o.err)
	}
	return err
}

// RefuseEmpty returns an error for a text flag that is given without a value, and for an empty argument: most
// often a variable of a shell that was not set. Taken for "not given" it would widen the command from one thing
// to everything.
func RefuseEmpty(cmd *cobra.Command, args []string) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if s, ok := f.Value.(pflag.SliceValue); ok {
			if values = s.GetSlice(); len(values) == 0 {
				values = []string{""}
			}
		}
		for _, v := range values {
			if err == nil && strings.TrimSpace(v) == "" {
				err = fmt.Errorf("--%s is given without a value: give one, or leave the flag out; is a "+
					"variable of your shell not set?",
					f.Name)
			}
		}
	})
	for i, arg := range args {
		if err == nil && strings.TrimSpace(arg) == "" {
			err = fmt.Errorf("argument %d of %s is empty; is a variable of your shell not set?", i+1, cmd.CommandPath())
		}
	}
	return err
}

// Span defines a flag for a time span, which may also be in days and weeks.
func Span(f *pflag.FlagSet, to *time.Duration, name string, otherwise time.Duration, usage string) {
	*to = otherwise
	f.Var((*when.Flag)(to), name, usage)
}
