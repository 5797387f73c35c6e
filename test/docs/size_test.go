package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Bounds on what a reader has to hold in mind at once.
const (
	mostMethods  = 60  // of one type
	mostInAType  = 12  // methods of an interface
	mostInAFunc  = 60  // lines of a function
	mostInAFile  = 400 // lines of a file
	sizedFolders = "api client cmd internal nano sign wire"
)

// sizes counts the methods of the types of a package, by name.
type sizes map[string]int

// read adds one file and returns what is too large in it.
func (s sizes) read(name, text string) (large []string, err error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, 0)
	if err != nil {
		return nil, err
	}
	lines := func(n ast.Node) int { return set.Position(n.End()).Line - set.Position(n.Pos()).Line + 1 }
	if n := strings.Count(text, "\n"); n > mostInAFile {
		large = append(large, name+" is a long file")
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if lines(n) > mostInAFunc {
				large = append(large, name+": "+n.Name.Name+" is a long function")
			}
			if n.Recv != nil {
				s[receiver(n.Recv.List[0].Type)]++
			}
		case *ast.InterfaceType:
			if n.Methods.NumFields() > mostInAType {
				large = append(large, set.Position(n.Pos()).String()+" is a large interface")
			}
		}
		return true
	})
	return large, nil
}

// receiver returns the name of a receiver's type without pointer and parameters.
func receiver(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	}
	return ""
}

// large lists the types with too many methods.
func (s sizes) large() (out []string) {
	for name, n := range s {
		if n > mostMethods {
			out = append(out, name+" has too many methods")
		}
	}
	return out
}

// TestSizes: no type, interface, function or file has grown beyond what a reader can hold in mind.
func TestSizes(t *testing.T) {
	packages := map[string]sizes{}
	for _, folder := range strings.Fields(sizedFolders) {
		err := filepath.WalkDir(filepath.Join("../..", folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".pb.go") {
				return err
			}
			name := strings.TrimPrefix(filepath.ToSlash(path), "../../")
			test := strings.HasSuffix(name, "_test.go")
			dir := filepath.Dir(name)
			if packages[dir] == nil {
				packages[dir] = sizes{}
			}
			into := packages[dir]
			if test {
				into = sizes{} // tests have types of their own
			}
			large, err := into.read(name, page(t, name))
			for _, l := range large {
				if !test || strings.HasSuffix(l, "file") { // functions of tests are lists of cases
					t.Error(l)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(packages) < 40 {
		t.Errorf("only %d packages were read", len(packages))
	}
	for dir, s := range packages {
		for _, l := range s.large() {
			t.Errorf("%s: %s", dir, l)
		}
	}
}

// TestSizesAreSeen: what is too large is seen.
func TestSizesAreSeen(t *testing.T) {
	s := sizes{}
	text := "package p\ntype i interface {\n" + strings.Repeat("m()\n", mostInAType+1) + "}\nfunc f() {\n" +
		strings.Repeat("\n", mostInAFunc) + "}\n" + strings.Repeat("func (x *t[V]) m() {}\n", mostMethods+1) +
		strings.Repeat("\n", mostInAFile)
	large, err := s.read("x.go", text)
	if err != nil || len(large) != 3 || len(s.large()) != 1 {
		t.Errorf("seen: %v, %v, %v", large, s.large(), err)
	}
}
