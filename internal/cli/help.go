package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// leastHelp is the width below which help is not wrapped any more.
const leastHelp = 40

// FitHelp wraps the help of a command and its subcommands to a width, which is determined when help is printed.
// A width of 0 leaves the lines as written.
func FitHelp(root *cobra.Command, width func() int) {
	help, usage := root.HelpFunc(), root.UsageTemplate()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if w := width(); w >= leastHelp {
			cmd.Long = Reflow(cmd.Long, w)
			cmd.SetUsageTemplate(strings.ReplaceAll(usage, "Flags.FlagUsages",
				fmt.Sprintf("Flags.FlagUsagesWrapped %d", w)))
		}
		help(cmd, args)
	})
}

// Reflow wraps the paragraphs of a text to a width. Lines that begin with a space, such as commands and lists, stay.
func Reflow(text string, width int) string {
	var out, paragraph []string
	end := func() {
		line := ""
		for _, word := range paragraph {
			if line != "" && len(line)+1+len(word) > width {
				out, line = append(out, line), ""
			}
			line = strings.TrimPrefix(line+" "+word, " ")
		}
		if line != "" {
			out = append(out, line)
		}
		paragraph = nil
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || strings.HasPrefix(line, " ") {
			end()
			out = append(out, line)
			continue
		}
		paragraph = append(paragraph, strings.Fields(line)...)
	}
	end()
	return strings.Join(out, "\n")
}
