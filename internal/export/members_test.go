package export

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/nano"
	"github.com/recount-ledger/recount/wire"
)

var updateMembers = flag.Bool("update-members", false, "write testdata/members.golden anew")

// fullExport has every member that an export can have.
const fullExport = "testdata/full"

// members calls each for every leaf of a value, after it was changed, and changes it back. A path has the names of
// JSON. In a list, one item more and one less is a change too.
func members(v reflect.Value, path string, each func(path string)) {
	try := func(change reflect.Value, how string) {
		before := reflect.New(v.Type()).Elem()
		before.Set(v)
		v.Set(change)
		each(strings.TrimPrefix(path+how, "."))
		v.Set(before)
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			members(v.Field(i), path+"."+name, each)
		}
	case reflect.Pointer:
		switch {
		case v.IsNil():
			try(reflect.New(v.Type().Elem()), " appears")
		case v.Type() == reflect.TypeFor[*nano.Nano]():
			try(reflect.Zero(v.Type()), " disappears")
			more := v.Elem().Interface().(nano.Nano) + 1
			try(reflect.ValueOf(&more), "")
		default:
			try(reflect.Zero(v.Type()), " disappears")
			members(v.Elem(), path, each)
		}
	case reflect.Slice:
		if v.Len() > 0 {
			try(v.Slice(1, v.Len()), " loses one")
		}
		more := reflect.MakeSlice(v.Type(), v.Len(), v.Len()+1)
		reflect.Copy(more, v)
		try(reflect.Append(more, reflect.Zero(v.Type().Elem())), " gets one")
		for i := range v.Len() {
			members(v.Index(i), path+"[]", each)
		}
	case reflect.Map:
		for _, key := range slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int {
			return strings.Compare(a.String(), b.String())
		}) {
			other := reflect.MakeMap(v.Type())
			for _, k := range v.MapKeys() {
				other.SetMapIndex(k, v.MapIndex(k))
			}
			other.SetMapIndex(key, reflect.Value{})
			try(other, "."+key.String()+" disappears")
		}
	default:
		changed := reflect.New(v.Type()).Elem()
		changed.Set(v)
		mutate(changed)
		try(changed, "")
	}
}

// mutate changes a value to another one of the same form: a hash to a hash, a time to a time.
func mutate(v reflect.Value) {
	switch {
	case v.Kind() == reflect.String:
		v.SetString(otherText(v.String()))
	case v.Kind() == reflect.Bool:
		v.SetBool(!v.Bool())
	case v.CanInt():
		v.SetInt(v.Int() + 1)
	default:
		v.SetUint(v.Uint() + 1)
	}
}

func otherText(s string) string {
	if at, err := wire.ParseTime(s); err == nil {
		return wire.TimeNS(at.UnixNano() + 1)
	}
	if s == "" {
		return "x"
	}
	last := byte('0')
	if s[len(s)-1] == last {
		last = '1'
	}
	return s[:len(s)-1] + string(last)
}

// forged is a copy of an export in which one file at a time is changed and everything made to fit again.
type forged struct {
	t     *testing.T
	dir   string
	texts map[string][]byte
	held  map[string]map[string]bool // by file and member: the checks that failed
	tried map[string]int
}

func forge(t *testing.T) *forged {
	f := &forged{t: t, dir: filepath.Join(t.TempDir(), "copy"), texts: map[string][]byte{},
		held: map[string]map[string]bool{}, tried: map[string]int{}}
	must(t, os.CopyFS(f.dir, os.DirFS(fullExport)))
	for _, name := range append([]string{ManifestFile, SumsFile}, plainFiles...) {
		text, err := os.ReadFile(filepath.Join(f.dir, name))
		must(t, err)
		f.texts[name] = text
	}
	return f
}

// check notes which checks see that a file has another text.
func (f *forged) check(name, member string, text []byte) {
	f.t.Helper()
	must(f.t, os.WriteFile(filepath.Join(f.dir, name), text, 0o600))
	if name == VerdictsFile {
		must(f.t, Retable(f.dir))
	}
	if name != ManifestFile {
		must(f.t, Reseal(f.dir, nil))
	} else {
		m, err := ParseManifest(text)
		must(f.t, err)
		must(f.t, os.WriteFile(filepath.Join(f.dir, SumsFile), m.Sums(text), 0o600))
	}
	member = name + " " + member
	if f.held[member] == nil {
		f.held[member] = map[string]bool{}
	}
	f.tried[member]++
	failed := f.failed(CheckOptions{})
	if len(failed) == 0 {
		for _, check := range f.failed(CheckOptions{Recount: true}) {
			failed = append(failed, check+" (recount)")
		}
	}
	if len(failed) == 0 {
		failed = []string{"-"}
	}
	for _, check := range failed {
		f.held[member][check] = true
	}
	must(f.t, os.WriteFile(filepath.Join(f.dir, name), f.texts[name], 0o600)) // the next check makes the others fit
	if name == VerdictsFile {
		must(f.t, os.WriteFile(filepath.Join(f.dir, RecordsFile), f.texts[RecordsFile], 0o600))
	}
}

func (f *forged) failed(o CheckOptions) (names []string) {
	r, err := Check(f.t.Context(), f.dir, o)
	must(f.t, err)
	for _, l := range r.Checks {
		if l.Result == ResultFailed {
			names = append(names, l.Check)
		}
	}
	return names
}

// list tries every member of a list that is one document.
func list[T any](f *forged, name string) {
	f.t.Helper()
	items := whole[T](f.t, fullExport, name)
	members(reflect.ValueOf(&items).Elem(), "", func(path string) {
		if f.tried[name+" "+path] == 2 {
			return
		}
		text, err := indented(items)
		must(f.t, err)
		f.check(name, path, text)
	})
}

// ndjson tries every member of some items of a file of lines.
func ndjson[T any](f *forged, name string, picked func(i int, v *T) bool) {
	f.t.Helper()
	items := all[T](f.t, fullExport, name)
	text := func() []byte {
		var b bytes.Buffer
		for i := range items {
			must(f.t, encoder(&b).Encode(&items[i]))
		}
		return b.Bytes()
	}
	for i := range items {
		if picked(i, &items[i]) {
			members(reflect.ValueOf(&items[i]).Elem(), "", func(path string) {
				if f.tried[name+" "+path] == 0 {
					f.check(name, path, text())
				}
			})
		}
	}
}

// TestEveryMember: whoever changes one member of one file, and makes manifest, sums and table fit again, is found out
// by the checks that testdata/members.golden names. A "-" there is a member that nothing holds: for each of these
// docs/formats-export.md says so.
func TestEveryMember(t *testing.T) {
	t.Parallel()
	f := forge(t)
	list[wire.KeyAnswer](f, KeysFile)
	list[wire.PolicyAnswer](f, PoliciesFile)
	list[wire.GenerationAnswer](f, GenerationsFile)
	seen := map[string]bool{}
	ndjson(f, OperationsFile, func(_ int, a *wire.OperationItem) bool {
		known := seen[a.Kind]
		seen[a.Kind] = true
		return !known
	})
	ndjson(f, VerdictsFile, func(_ int, v *wire.AuditItem) bool {
		what := fmt.Sprint(v.Outcome, v.ReasonCode == v.Was.ReasonCode, v.Replayed, v.KeyID == "")
		known := seen[what]
		seen[what] = true
		return !known
	})
	ndjson(f, EventsFile, func(i int, _ *Event) bool { return i == 5 })
	must(t, Reseal(f.dir, nil))
	m := manifestOf(t, fullExport)
	members(reflect.ValueOf(m).Elem(), "", func(path string) {
		if path != "sum" && !strings.HasPrefix(path, "files") && path != "format" {
			text, err := m.Encode()
			must(t, err)
			f.check(ManifestFile, path, text)
		}
	})
	var b strings.Builder
	for _, member := range slices.Sorted(maps.Keys(f.held)) {
		fmt.Fprintf(&b, "%s: %s\n", member, strings.Join(slices.Sorted(maps.Keys(f.held[member])), ", "))
	}
	golden := filepath.Join("testdata", "members.golden")
	if *updateMembers {
		must(t, os.WriteFile(golden, []byte(b.String()), 0o600))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if got := b.String(); got != string(want) {
		t.Errorf("other checks see other members (-update-members writes %s):\n%s", golden, lineDiff(got, string(want)))
	}
}

// lineDiff has the lines that only one of two texts has.
func lineDiff(got, want string) string {
	var b strings.Builder
	for _, side := range [][3]string{{"+", got, want}, {"-", want, got}} {
		other := strings.Split(side[2], "\n")
		for line := range strings.Lines(side[1]) {
			if !slices.Contains(other, strings.TrimSuffix(line, "\n")) {
				b.WriteString(side[0] + line)
			}
		}
	}
	return b.String()
}
