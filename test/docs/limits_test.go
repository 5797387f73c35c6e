package docs

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// constants evaluates constants of the packages of this module, exported or not.
type constants struct {
	set      *token.FileSet
	packages map[string]*checked
}

// checked is a package with its files. Errors are ignored: only the constants are of interest.
type checked struct {
	pkg   *types.Package
	files []*ast.File
}

const modulePath = "github.com/recount-ledger/recount/"

// durations is the part of package time that constants need.
const durations = `package time
type Duration int64
const (
	Nanosecond Duration = 1
	Microsecond = 1000 * Nanosecond
	Millisecond = 1000 * Microsecond
	Second = 1000 * Millisecond
	Minute = 60 * Second
	Hour = 60 * Minute
)`

func newConstants() *constants {
	return &constants{set: token.NewFileSet(), packages: map[string]*checked{}}
}

// Import implements types.Importer. Of packages outside of the module only durations are known.
func (c *constants) Import(path string) (*types.Package, error) {
	if path == "time" {
		p := c.packages[path]
		if p == nil {
			f, err := parser.ParseFile(c.set, "time.go", durations, 0)
			if err != nil {
				return nil, err
			}
			p = c.check(path, []*ast.File{f})
		}
		return p.pkg, nil
	}
	if own, ok := strings.CutPrefix(path, modulePath); ok {
		p, err := c.load(own)
		if err != nil {
			return nil, err
		}
		return p.pkg, nil
	}
	pkg := types.NewPackage(path, path[strings.LastIndexByte(path, '/')+1:])
	pkg.MarkComplete()
	return pkg, nil
}

func (c *constants) load(dir string) (*checked, error) {
	if p := c.packages[dir]; p != nil {
		return p, nil
	}
	names, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(dir), "*.go"))
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(c.set, name, nil, 0)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there is no package %s", dir)
	}
	return c.check(dir, files), nil
}

// check reads what it can of a package. There are errors, since packages outside of the module are empty.
func (c *constants) check(dir string, files []*ast.File) *checked {
	conf := types.Config{Importer: c, IgnoreFuncBodies: true, Error: func(error) {}}
	p := &checked{files: files}
	p.pkg, _ = conf.Check(dir, c.set, files, nil)
	c.packages[dir] = p
	return p
}

// value returns the constant of a name such as internal/disk.Margin, or the value of a field that a function sets, such
// as internal/node.Defaults.QueueBytes.
func (c *constants) value(name string) (types.TypeAndValue, error) {
	cut := strings.LastIndexByte(name, '/') + 1
	base, object, _ := strings.Cut(name[cut:], ".")
	p, err := c.load(name[:cut] + base)
	if err != nil {
		return types.TypeAndValue{}, err
	}
	expr, at := object, token.NoPos
	if function, field, ok := strings.Cut(object, "."); ok {
		if expr, at = fieldOf(p.files, function, field); expr == "" {
			return types.TypeAndValue{}, fmt.Errorf("%s sets no %s", function, field)
		}
	}
	v, err := types.Eval(c.set, p.pkg, at, expr)
	if err == nil && v.Value == nil {
		err = fmt.Errorf("%s is not constant", name)
	}
	return v, err
}

// fieldOf returns the text of the value that a function gives to a field, and where it stands.
func fieldOf(files []*ast.File, function, field string) (text string, at token.Pos) {
	for _, f := range files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Name.Name != function {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				if kv, ok := n.(*ast.KeyValueExpr); ok {
					if key, ok := kv.Key.(*ast.Ident); ok && key.Name == field {
						text, at = types.ExprString(kv.Value), kv.Pos()
					}
				}
				return true
			})
		}
	}
	return text, at
}

// forms are the ways in which a page may write a constant.
func forms(v types.TypeAndValue) (all []string) {
	n, exact := constant.Int64Val(constant.ToInt(v.Value))
	if !exact {
		return []string{v.Value.String()}
	}
	if v.Type.String() == "time.Duration" {
		for unit, name := range map[time.Duration]string{time.Millisecond: "ms", time.Second: "s", time.Minute: "min", time.Hour: "h",
			24 * time.Hour: "days"} {
			if n%int64(unit) == 0 {
				all = append(all, thousands(n/int64(unit))+" "+name)
			}
		}
		return all
	}
	all = []string{thousands(n), thousands(n) + " a second"}
	for shift, name := range map[int]string{10: "KiB", 20: "MiB", 30: "GiB"} {
		if n%(1<<shift) == 0 {
			all = append(all, thousands(n>>shift)+" "+name)
		}
	}
	return all
}

// thousands writes a number with commas.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// TestLimitsPage: every row of docs/limits.md has the value of the constant that it names. The defaults of settings are
// compared by TestDefaultsOfThePages.
func TestLimitsPage(t *testing.T) {
	rows := regexp.MustCompile("(?m)^\\| .* \\| ([^|]+) \\| (setting )?`([^`]+)` \\|$").FindAllStringSubmatch(page(t, "docs/limits.md"), -1)
	c, settings := newConstants(), 0
	for _, row := range rows {
		if row[2] != "" {
			settings++
			continue
		}
		v, err := c.value(row[3])
		if err != nil {
			t.Errorf("%s: %v", row[3], err)
			continue
		}
		if !slices.Contains(forms(v), row[1]) {
			t.Errorf("docs/limits.md: %s is %s there, in the code one of %q", row[3], row[1], forms(v))
		}
	}
	if lines := strings.Count(page(t, "docs/limits.md"), "` |\n"); len(rows) != lines || len(rows)-settings < 60 || settings < 6 {
		t.Errorf("%d rows of %d were read, %d of them settings", len(rows), lines, settings)
	}
}

// TestLimitsAreRead: constants of other packages, typed ones and fields of a function are found, and what is no constant
// is an error.
func TestLimitsAreRead(t *testing.T) {
	c := newConstants()
	for name, want := range map[string]string{"internal/disk.CheckEvery": "1 s", "internal/node.Defaults.QueueBytes": "32 MiB",
		"internal/node.Defaults.MaxClockSkew": "5 s", "wire.MaxBatchLines": "10,000"} {
		if v, err := c.value(name); err != nil || !slices.Contains(forms(v), want) {
			t.Errorf("%s: %v, %v", name, v.Value, err)
		}
	}
	for _, name := range []string{"internal/disk.Nothing", "internal/none.X", "internal/node.Defaults.Nothing", "internal/disk.New"} {
		if v, err := c.value(name); err == nil {
			t.Errorf("%s is %v", name, v.Value)
		}
	}
	if thousands(1234567) != "1,234,567" || thousands(12) != "12" {
		t.Error("commas")
	}
}
