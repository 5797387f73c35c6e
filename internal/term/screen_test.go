package term

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// behind is a writer in front of another one, as package cli has one.
type behind struct{ io.Writer }

func (b behind) Under() io.Writer { return b.Writer }

// TestLookNoTerminal: a file, a pipe, the null device and a buffer are no terminals, also behind other writers, and
// COLUMNS cuts nothing there.
func TestLookNoTerminal(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer pipe.Close()
	gone, err := os.Create(filepath.Join(t.TempDir(), "gone"))
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	env := func(name string) string { return map[string]string{"COLUMNS": "33"}[name] }
	for name, w := range map[string]io.Writer{"file": file, "null device": null, "pipe": pipe, "buffer": &bytes.Buffer{},
		"closed file": gone, "nothing": io.Discard} {
		for _, w := range []io.Writer{w, behind{w}, behind{behind{w}}} {
			if s := Look(w, 0, ColorAuto, env); s != (Screen{}) || IsTerminal(w) {
				t.Errorf("%s: %+v", name, s)
			}
			if s := Look(w, 12, ColorAuto, env); s.Width != 12 {
				t.Errorf("%s: %+v, and a width was given", name, s)
			}
		}
	}
}

// TestLookColor: the flag decides first, then NO_COLOR and TERM, then whether it is a terminal.
func TestLookColor(t *testing.T) {
	terminal := openTerminal(t, 0)
	for _, c := range []struct {
		color         string
		terminal      bool
		noColor, term string
		want          bool
	}{
		{ColorAuto, true, "", "xterm", true},
		{ColorAuto, true, "", "", true},
		{ColorAuto, true, "1", "xterm", false},
		{ColorAuto, true, "0", "xterm", false}, // any text, as no-color.org says
		{ColorAuto, true, "", "dumb", false},
		{ColorAuto, false, "", "xterm", false},
		{ColorAlways, true, "1", "dumb", true},
		{ColorAlways, false, "1", "dumb", true},
		{ColorNever, true, "", "xterm", false},
		{ColorNever, false, "", "xterm", false},
		{"", true, "", "xterm", false},
	} {
		env := func(name string) string { return map[string]string{"NO_COLOR": c.noColor, "TERM": c.term}[name] }
		w := io.Writer(&bytes.Buffer{})
		if c.terminal {
			w = behind{terminal}
		}
		if s := Look(w, 0, c.color, env); s.Color != c.want || s.Terminal != c.terminal {
			t.Errorf("%+v: %+v", c, s)
		}
	}
}

// TestLookWidth: a terminal has the width of the flag, of COLUMNS, its own, or 80, in this order.
func TestLookWidth(t *testing.T) {
	for _, c := range []struct {
		flag    int
		columns string
		own     uint16
		want    int
	}{
		{0, "", 133, 133},
		{0, "", 0, 80},
		{0, "60", 133, 60},
		{0, "0", 133, 133},
		{0, "-5", 133, 133},
		{0, "wide", 133, 133},
		{0, "60.5", 0, 80},
		{0, "99999999999999999999", 0, 80},
		{50, "60", 133, 50},
	} {
		w := openTerminal(t, c.own)
		env := func(name string) string { return map[string]string{"COLUMNS": c.columns}[name] }
		if s := Look(w, c.flag, ColorNever, env); s.Width != c.want || !s.Terminal {
			t.Errorf("%+v: %+v", c, s)
		}
	}
}

// TestPaint: an escape sequence stands on both sides of a text, and around nothing there is none.
func TestPaint(t *testing.T) {
	for _, c := range []struct {
		style      Style
		text, want string
	}{
		{Red, "refused", "\x1b[31mrefused\x1b[0m"},
		{Bold, "NAME", "\x1b[1mNAME\x1b[0m"},
		{Dim, "-", "\x1b[2m-\x1b[0m"},
		{Plain, "text", "text"},
		{Red, "", ""},
		{WordStyle("accepted"), "accepted", "\x1b[32maccepted\x1b[0m"},
		{WordStyle("Accepted"), "Accepted", "Accepted"}, // a word of no closed set
		{WordStyle(""), "x", "x"},
	} {
		if got := c.style.Paint(c.text); got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}
