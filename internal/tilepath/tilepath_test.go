package tilepath

import (
	"fmt"
	"testing"
)

// TestTilePaths: the paths of C2SP tlog-tiles, in their only spelling.
func TestTilePaths(t *testing.T) {
	for path, want := range map[string]struct {
		number uint64
		width  int
	}{
		"000": {0, 256}, "067": {67, 256}, "x001/067": {1067, 256}, "x001/x234/067": {1234067, 256},
		"067.p/1":        {67, 1},
		"x001/067.p/255": {1067, 255}, "x001/000": {1000, 256},
	} {
		if number, width, ok := Parse(path); !ok || number != want.number || width != want.width {
			t.Errorf("%s: %d %d %v", path, number, width, ok)
		}
	}
	for _, path := range []string{"", "0", "00", "0000", "x000", "x000/001", "x001", "001/002", "x001/x002", "067.p/0",
		"067.p/256", "067.p/01", "067.p/+1", "067.p/", "067.p", "067/.p/1", "-01", "+01", "x-01/000", "a00", "/000", "000/",
		"x999/x999/x999/x999/x999/x999/x999/999", "067.p/1.p/1"} {
		if number, width, ok := Parse(path); ok {
			t.Errorf("%q: tile %d, width %d", path, number, width)
		}
	}
}

// FuzzTilePath: a path that is read has no other spelling.
func FuzzTilePath(f *testing.F) {
	for _, seed := range []string{"000", "x001/x234/067.p/5", "067.p/255"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		number, width, ok := Parse(path)
		if !ok {
			return
		}
		want := fmt.Sprintf("%03d", number%1000)
		for n := number / 1000; n > 0; n /= 1000 {
			want = fmt.Sprintf("x%03d/%s", n%1000, want)
		}
		if width < Width {
			want += fmt.Sprintf(".p/%d", width)
		}
		if path != want {
			t.Errorf("%q is tile %d of width %d, whose path is %q", path, number, width, want)
		}
	})
}
