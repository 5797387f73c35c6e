package term

import (
	"io"
	"os"
	"strconv"
)

// The values of a flag for colours.
const (
	ColorAuto   = "auto"
	ColorAlways = "always"
	ColorNever  = "never"
)

// defaultWidth is taken when a terminal does not say how wide it is.
const defaultWidth = 80

// Screen describes where output goes.
type Screen struct {
	Width    int  // columns of a line; 0 has no bound, as a pipe
	Terminal bool // a person looks at it
	Color    bool
}

// Look determines the properties of w. A width above 0 applies everywhere. COLUMNS applies to a terminal only,
// so that an exported variable cuts nothing in a pipe. NO_COLOR and TERM=dumb switch colours off, unless color
// is ColorAlways. A writer that wraps another one has a method Under() io.Writer, which returns the other one.
func Look(w io.Writer, width int, color string, env func(string) string) Screen {
	w = under(w)
	s := Screen{Width: width, Terminal: IsTerminal(w)}
	if s.Width == 0 && s.Terminal {
		s.Width = terminalWidth(w, env)
	}
	s.Color = color == ColorAlways || color == ColorAuto && s.Terminal && env("NO_COLOR") == "" && env("TERM") != "dumb"
	return s
}

// under is the writer behind those that only pass on.
func under(w io.Writer) io.Writer {
	for {
		front, ok := w.(interface{ Under() io.Writer })
		if !ok {
			return w
		}
		w = front.Under()
	}
}

func terminalWidth(w io.Writer, env func(string) string) int {
	if n, err := strconv.Atoi(env("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if f, ok := w.(*os.File); ok {
		if n := columns(f.Fd()); n > 0 {
			return n
		}
	}
	return defaultWidth
}

// IsTerminal tells a terminal from files, pipes and the null device.
func IsTerminal(w io.Writer) bool {
	f, ok := under(w).(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
