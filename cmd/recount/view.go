package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/term"
	"github.com/recount-ledger/recount/wire"
)

// The values of --time.
const (
	timeUTC      = "utc"
	timeLocal    = "local"
	timeRelative = "relative"
)

// viewFlags say how answers are shown to people.
type viewFlags struct {
	wide  bool
	width int
	color string
	time  string
}

func (v *viewFlags) add(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.IntVar(&v.width, "width", 0, "columns of a line of a table (0: as wide as the terminal; no bound in a pipe)")
	f.StringVar(&v.color, "color", term.ColorAuto, "auto, always or never; auto heeds NO_COLOR")
	f.StringVar(&v.time, "time", timeUTC, "how tables show times: utc, local or relative")
}

func (v *viewFlags) check() error {
	switch {
	case v.width < 0:
		return usagef("--width must not be negative")
	case !slices.Contains([]string{term.ColorAuto, term.ColorAlways, term.ColorNever}, v.color):
		return usagef("--color %s: must be auto, always or never", v.color)
	case !slices.Contains([]string{timeUTC, timeLocal, timeRelative}, v.time):
		return usagef("--time %s: must be utc, local or relative", v.time)
	}
	return nil
}

// screen describes the terminal or file that the output goes to.
func (a *app) screen() term.Screen {
	env := a.env
	if env == nil {
		env = func(string) string { return "" }
	}
	return term.Look(a.shown, a.width, cmp.Or(a.color, term.ColorNever), env)
}

// tableTime is a moment as tables show it: to the second, unless they are wide.
func (a *app) tableTime(text string) string {
	at, err := wire.ParseTime(text)
	if err != nil {
		return text
	}
	switch {
	case a.time == timeRelative:
		return ago(time.Since(at))
	case a.time == timeLocal:
		return at.In(time.Local).Format(time.RFC3339)
	case a.wide:
		return text
	}
	return at.UTC().Truncate(time.Second).Format(time.RFC3339)
}

// fullTime is a moment as an answer about one thing shows it. Other texts stay.
func (a *app) fullTime(text string) string {
	at, err := wire.ParseTime(text)
	if err != nil || a.time == timeUTC || a.time == "" {
		return text
	}
	if a.time == timeLocal {
		return at.In(time.Local).Format(time.RFC3339Nano)
	}
	return text + ", " + ago(time.Since(at))
}

// ago is a span in its largest whole unit, before or after now.
func ago(d time.Duration) string {
	form := "%s ago"
	if d < 0 {
		d, form = -d, "in %s"
	}
	switch {
	case d < time.Second:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf(form, fmt.Sprintf("%ds", d/time.Second))
	case d < time.Hour:
		return fmt.Sprintf(form, fmt.Sprintf("%dm", d/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf(form, fmt.Sprintf("%dh", d/time.Hour))
	}
	return fmt.Sprintf(form, fmt.Sprintf("%dd", d/(24*time.Hour)))
}
