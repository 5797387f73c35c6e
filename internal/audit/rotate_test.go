package audit

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestRotationBound: a file may have exactly MaxBytes. One more byte goes to the next file, and a line above the
// bound has a file of its own. Rotations at the same time get names of their own.
func TestRotationBound(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	line := func(n int) Operation { return Operation{OpID: strings.Repeat("x", n)} }
	size := func(n int) int64 {
		s, path := open(t, func(o *Options) { o.Now = func() time.Time { return at } })
		s.Operation(line(n))
		closed(t, s)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	bound := size(10) + size(11)
	for _, c := range []struct {
		name  string
		lines []int    // lengths
		files []string // op ids of each file, oldest first; only their lengths
	}{
		{"exactly full", []int{10, 11}, []string{"10 11"}},
		{"one byte more", []int{11, 11}, []string{"11", "11"}},
		{"three files at one time", []int{11, 11, 11}, []string{"11", "11", "11"}},
		{"a long line first", []int{2000, 10}, []string{"2000", "10"}},
		{"a long line later", []int{10, 2000, 10}, []string{"10", "2000", "10"}},
	} {
		s, path := open(t, func(o *Options) { o.MaxBytes, o.Now = bound, func() time.Time { return at } })
		for i, n := range c.lines {
			s.Operation(line(n))
			await(t, "the line", func() bool { written, _ := s.Stats(); return written == uint64(i+1) })
		}
		closed(t, s)
		names, err := filepath.Glob(path + ".*")
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		var files []string
		for _, name := range append(names, path) {
			var lengths []string
			for _, text := range lines(t, name) {
				lengths = append(lengths, fmt.Sprint(strings.Count(text, "x")))
			}
			files = append(files, strings.Join(lengths, " "))
		}
		if !slices.Equal(files, c.files) {
			t.Errorf("%s: %q, want %q", c.name, files, c.files)
		}
	}
}

// TestSweepWithoutRotation: a quiet stream deletes its old files, too, within an hour. A file is old when it is older
// than Keep, not when it is as old.
func TestSweepWithoutRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		file := filepath.Join(dir, "audit.log")
		const keep = 24 * time.Hour
		old := func(age time.Duration) string {
			path := file + "." + time.Now().UTC().Add(-age).Format(stampLayout)
			if err := os.WriteFile(path, []byte("x\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		exact, soon, later := old(keep), old(keep-30*time.Minute), old(keep-90*time.Minute)
		var log bytes.Buffer
		s, err := Open(Options{File: file, Keep: keep, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		check := func(when string, want ...bool) {
			t.Helper()
			synctest.Wait()
			for i, path := range []string{exact, soon, later} {
				if _, err := os.Stat(path); (err == nil) != want[i] {
					t.Errorf("%s: %s: %v", when, filepath.Base(path), err)
				}
			}
		}
		check("at the start", true, true, true)
		<-time.After(sweepEvery)
		check("after an hour", false, false, true)
		<-time.After(sweepEvery)
		check("after two hours", false, false, false)
		closed(t, s)
		text := log.String()
		if strings.Count(text, "old files deleted") != 2 || !strings.Contains(text, filepath.Base(later)) {
			t.Error(text)
		}
	})
}

// TestRotationFails: when a file cannot be renamed, its lines go on in it, and the failure is reported once.
func TestRotationFails(t *testing.T) {
	var log bytes.Buffer
	s, path := open(t, func(o *Options) { o.MaxBytes, o.Logger = 300, slog.New(slog.NewTextHandler(&log, nil)) })
	s.Operation(Operation{OpID: "1"})
	await(t, "a line", func() bool { w, _ := s.Stats(); return w == 1 })
	kept, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		s.Operation(Operation{OpID: strings.Repeat("y", 200)})
		await(t, "a line", func() bool { w, _ := s.Stats(); return w == uint64(i+2) })
	}
	closed(t, s)
	var text bytes.Buffer
	if _, err := text.ReadFrom(kept); err != nil || strings.Count(text.String(), "\n") != 4 {
		t.Errorf("%v: %s", err, &text)
	}
	if n := strings.Count(log.String(), "cannot be written or rotated"); n != 1 {
		t.Errorf("reported %d times: %s", n, &log)
	}
}

// TestDropped: a line that a caller drops is counted. A stream that is off counts nothing and takes everything.
func TestDropped(t *testing.T) {
	s, _ := open(t, nil)
	s.Drop()
	s.Drop()
	closed(t, s)
	closed(t, s)
	if written, dropped := s.Stats(); written != 0 || dropped != 2 {
		t.Errorf("%d written, %d dropped", written, dropped)
	}
	var off *Stream
	off.Drop()
	off.Submission(Submission{})
	if written, dropped := off.Stats(); written != 0 || dropped != 0 {
		t.Errorf("%d written, %d dropped by none", written, dropped)
	}
}

// TestOpenRefuses: a stream needs a regular file.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		dir: "is a directory", pipe: "is not a regular file", filepath.Join(dir, "none", "x"): "no such file",
	} {
		_, err := Open(Options{File: path, Logger: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", path, err, says)
		}
	}
}
