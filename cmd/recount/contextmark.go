package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/term"
)

// mark makes a context stand out: commands print its name in a colour, and mark it as production.
type mark struct {
	Colour     string `yaml:"colour,omitempty" json:"colour,omitempty"`
	Production bool   `yaml:"production,omitempty" json:"production,omitempty"`
}

// markColours are the colours that a context may have.
var markColours = map[string]term.Style{"red": term.Red, "yellow": term.Yellow, "green": term.Green}

func colourNames() []string { return slices.Sorted(maps.Keys(markColours)) }

func (m *mark) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&m.Colour, "mark-colour", "",
		"print the name of the context in this colour: "+strings.Join(colourNames(), ", "))
	cmd.Flags().BoolVar(&m.Production, "production", false,
		"show \"production\" beside the name, in red unless --mark-colour names another")
	cli.Closed(cmd, "mark-colour", colourNames()...)
}

// check refuses a colour that a file has and that does not exist.
func (m mark) check() error {
	if _, ok := markColours[m.Colour]; !ok && m.Colour != "" {
		return fmt.Errorf("colour %q: must be one of %s", m.Colour, strings.Join(colourNames(), ", "))
	}
	return nil
}

func (m mark) style() term.Style {
	if m.Colour == "" && m.Production {
		return term.Red
	}
	return markColours[m.Colour]
}

// words names the mark in tables.
func (m mark) words() string {
	parts := []string{}
	if m.Colour != "" {
		parts = append(parts, m.Colour)
	}
	if m.Production {
		parts = append(parts, "production")
	}
	return dash(strings.Join(parts, ", "))
}

// paint puts a text for stderr into a style, when stderr shows colours.
func (a *app) paint(s term.Style, text string) string {
	env := a.env
	if env == nil {
		env = os.Getenv
	}
	if !term.Look(a.err, 0, cmp.Or(a.color, term.ColorNever), env).Color {
		return text
	}
	return s.Paint(text)
}

// markedName is the name of the context that p comes from, in its colour, and "" when p comes from no context.
func (a *app) markedName(p place) string {
	name := a.paint(p.style(), plain(p.Context))
	if p.Production {
		name += ", " + a.paint(p.style(), "production")
	}
	return name
}

// from returns the source of the settings of p, with the marked name of a context.
func (a *app) from(p place) string {
	if p.Context == "" {
		return visible(p.Source)
	}
	return visible(strings.TrimSuffix(p.Source, p.Context)) + a.markedName(p)
}

// noteMark prints a note once when a marked context is asked.
func (a *app) noteMark(p place) {
	if a.quiet || a.notedMark || p.mark == (mark{}) {
		return
	}
	a.notedMark = true
	fmt.Fprintln(a.err, a.from(p))
}

func (a contextCommands) markCommand() *cobra.Command {
	var m mark
	cmd := &cobra.Command{
		Use:               "mark NAME",
		Short:             "Mark a context with a colour, or as production",
		Args:              exactArgs("NAME"),
		ValidArgsFunction: a.completeNames,
		Long: `mark makes a context stand out. Every command that asks it prints its name in the colour, on stderr, and a command that wants
confirmation asks with it. Without flags it removes the mark. NO_COLOR and --color never keep the words.`,
		Example: `  recount context mark prod --production
  recount context mark staging --mark-colour yellow
  recount context mark staging`,
		RunE: func(_ *cobra.Command, args []string) error {
			var line contextLine
			err := a.change(func(c *contexts) error {
				s, known := c.Contexts[args[0]]
				if !known {
					return c.unknown(a.contextsPath(), "context", args[0])
				}
				s.mark = m
				c.Contexts[args[0]] = s
				line = contextLine{args[0], c.Current == args[0], s}
				return nil
			})
			if err != nil {
				return err
			}
			return a.showContext(line)
		},
	}
	m.add(cmd)
	return cmd
}
