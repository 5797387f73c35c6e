package cli

import (
	"errors"
	"io"
	"testing"

	"github.com/spf13/cobra"
)

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestLost: the first error of writing is the result of a command that has no other.
func TestLost(t *testing.T) {
	out, own := Watch(full{}), errors.New("its own")
	if out.Lost(nil) != nil {
		t.Error("nothing is lost yet")
	}
	if _, err := io.WriteString(out, "x"); err == nil {
		t.Error("written")
	}
	if err := out.Lost(nil); err == nil {
		t.Error("lost, and nobody says so")
	}
	if err := out.Lost(own); !errors.Is(err, own) {
		t.Errorf("%v in place of the command's error", err)
	}
}

// TestRefuseEmpty: what an unset variable leaves is refused, what was not given is not.
func TestRefuseEmpty(t *testing.T) {
	for _, c := range []struct {
		args []string
		ok   bool
	}{
		{nil, true}, {[]string{"--text", "x", "--many", "a", "y"}, true},
		{[]string{"--text", ""}, false}, {[]string{"--text= "}, false}, {[]string{"--many", ""}, false}, {[]string{""}, false}, {[]string{"x", " "}, false},
	} {
		cmd := &cobra.Command{Use: "c", SilenceErrors: true, SilenceUsage: true, RunE: RefuseEmpty}
		cmd.Flags().String("text", "", "")
		cmd.Flags().StringSlice("many", nil, "")
		cmd.SetArgs(append([]string{}, c.args...))
		if err := cmd.Execute(); (err == nil) != c.ok {
			t.Errorf("%q: %v", c.args, err)
		}
	}
}
