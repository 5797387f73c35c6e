package imports

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPurePackagesUseNoClientOrServer: the pure packages may use packages whose constants they need, but none of their doings.
func TestPurePackagesUseNoClientOrServer(t *testing.T) {
	for _, p := range load(t) {
		if !slices.Contains(pure, p.path()) {
			continue
		}
		for _, name := range p.GoFiles {
			for _, used := range selectors(t, filepath.Join(p.Dir, name), "io") {
				ok := used == "io.EOF" || used == "io.Reader" || used == "io.Writer" ||
					used == "io.ErrUnexpectedEOF"
				if !ok {
					t.Errorf("%s/%s uses %s", p.path(), name, used)
				}
			}
		}
	}
}

// selectors lists the uses of the named packages in a file, as "io.EOF".
func selectors(t *testing.T, path string, packages ...string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, spec := range file.Imports {
		full := strings.Trim(spec.Path.Value, `"`)
		if !slices.Contains(packages, full) {
			continue
		}
		name := full[strings.LastIndex(full, "/")+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = true
	}
	var out []string
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && names[x.Name] {
				out = append(out, x.Name+"."+s.Sel.Name)
			}
		}
		return true
	})
	return out
}
