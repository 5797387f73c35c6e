package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	// mostColumns is the width of a line of code, with tabs of four columns.
	mostColumns = 120
	// mostWide is the number of wider lines that a package may have where a break would be harder to read.
	mostWide = 5
	// mostLines is the size of a package comment from which a page is the better place.
	mostLines = 120
)

// byQuestion finds comments such as "limit is how many there may be", which name a thing by a question.
var byQuestion = regexp.MustCompile(`^\w+ (?:is|are|says|tells) (?:what|how|who|when|where|whether|which|why)\b`)

// teaching has the packages whose comment explains them with their bytes or their loop, in that many lines at
// least.
var teaching = map[string]int{
	"internal/log": 40, "internal/fsm": 40, "internal/projections": 40, "internal/propose": 40, "internal/pcs": 40,
	"internal/operator": 40, "internal/intake": 40, "internal/reads": 40,
}

// goProse is the text of the comments of one package, and what is wrong with its lines.
type goProse struct {
	comments  []string // lines, without the marks
	whole     []string // of these, the ones with a line of their own
	questions []string
	wide      []string
	doc       int // lines of the package comment
}

func (p *goProse) semicolons() (semis, words int) {
	for _, c := range p.whole {
		semis += strings.Count(c, ";")
		words += len(strings.Fields(c))
	}
	return semis, words
}

// proseOfPackages reads the comments and measures the lines of all packages of the programs, without tests and
// generated code.
func proseOfPackages(t *testing.T) map[string]*goProse {
	t.Helper()
	all := map[string]*goProse{}
	for _, dir := range []string{"client", "cmd", "internal", "nano", "sign", "wire"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
				strings.HasSuffix(path, ".pb.go") {
				return err
			}
			name, _ := strings.CutPrefix(filepath.ToSlash(path), root+"/")
			pkg := name[:strings.LastIndexByte(name, '/')]
			if all[pkg] == nil {
				all[pkg] = &goProse{}
			}
			return all[pkg].read(name, page(t, name))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// read adds one file.
func (p *goProse) read(name, text string) error {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.ParseComments)
	if err != nil {
		return err
	}
	lines := strings.Split(text, "\n")
	at := func(pos token.Pos) string { return set.Position(pos).String() }
	for _, group := range file.Comments {
		for _, c := range group.List {
			line, ok := strings.CutPrefix(c.Text, "//")
			if !ok || strings.HasPrefix(line, "go:") {
				continue
			}
			line = strings.TrimSpace(line)
			p.comments = append(p.comments, line)
			if strings.HasPrefix(strings.TrimSpace(lines[set.Position(c.Pos()).Line-1]), "//") {
				p.whole = append(p.whole, line)
			}
			if byQuestion.MatchString(line) {
				p.questions = append(p.questions, at(c.Pos())+": "+line)
			}
		}
	}
	if file.Doc != nil {
		p.doc = len(file.Doc.List)
	}
	raw := rawLines(set, file)
	for i, line := range lines {
		if columns(line) > mostColumns && !raw[i+1] {
			p.wide = append(p.wide, at(set.File(file.Pos()).LineStart(i+1)))
		}
	}
	return nil
}

// columns is the width of a line.
func columns(line string) int {
	return utf8.RuneCountInString(line) + 3*strings.Count(line, "\t")
}

// rawLines has the numbers of the lines that a raw string of several lines covers: pages and long help texts,
// where a break would be one in the text.
func rawLines(set *token.FileSet, file *ast.File) map[int]bool {
	lines := map[int]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.BasicLit); ok && strings.HasPrefix(s.Value, "`") && strings.Contains(s.Value, "\n") {
			for l := set.Position(s.Pos()).Line; l <= set.Position(s.End()).Line; l++ {
				lines[l] = true
			}
		}
		return true
	})
	return lines
}

// TestProseOfCode: comments say what a thing does and use common words, and lines keep to their width.
func TestProseOfCode(t *testing.T) {
	all := proseOfPackages(t)
	semis, words := 0, 0
	for pkg, p := range all {
		if len(p.questions) > 0 {
			t.Errorf("%s: %d comments name a thing by a question. Say it with a verb:\n%s",
				pkg, len(p.questions), strings.Join(p.questions, "\n"))
		}
		if len(p.wide) > mostWide {
			t.Errorf("%s: %d lines are wider than %d columns, at most %d may:\n%s",
				pkg, len(p.wide), mostColumns, mostWide, strings.Join(p.wide, "\n"))
		}
		s, w := p.semicolons()
		semis, words = semis+s, words+w
		if w >= manyWords && 1000*s > 2*mostSemicolons*w {
			t.Errorf("%s: %d semicolons in %d words of comments. Make sentences of them", pkg, s, w)
		}
		text := strings.Join(p.comments, "\n")
		for pattern, better := range coined {
			for _, m := range pattern.FindAllString(text, -1) {
				t.Errorf("%s: a comment has %q. The common word is: %s", pkg, m, better)
			}
		}
	}
	t.Logf("%d semicolons in %d words of comments: %.1f per 1,000", semis, words, 1000*float64(semis)/float64(words))
}

// TestNoQuestions: comments of tests and of the programs below test/ name nothing by a question either.
func TestNoQuestions(t *testing.T) {
	for _, dir := range []string{"client", "cmd", "internal", "nano", "sign", "test", "wire"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".pb.go") {
				return err
			}
			name, _ := strings.CutPrefix(filepath.ToSlash(path), root+"/")
			var p goProse
			err = p.read(name, page(t, name))
			for _, q := range p.questions {
				t.Errorf("a comment names a thing by a question: %s", q)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestPackageCommentsTeach: the packages that hold the ledger explain themselves where their code is.
func TestPackageCommentsTeach(t *testing.T) {
	all := proseOfPackages(t)
	for pkg, least := range teaching {
		if all[pkg] == nil {
			t.Errorf("there is no %s", pkg)
		} else if n := all[pkg].doc; n < least || n > mostLines {
			t.Errorf("%s: its package comment has %d lines, not %d to %d", pkg, n, least, mostLines)
		}
	}
}

// TestProseIsRead: the tests above find faults in comments and wide lines, and leave raw strings alone.
func TestProseIsRead(t *testing.T) {
	wide := strings.Repeat("x", mostColumns)
	var p goProse
	err := p.read("a.go", "// Package a is how it is; or not.\npackage a\n\n// b are who\n// came; it is what it is\nvar b = 1\n"+
		"\n/* c is what */\nvar c = `\n"+wide+"x\n`\n\nfunc d() {\n\t_ = \""+wide+"\" // e is where\n}\n\n//go:generate x is what\n")
	if err != nil {
		t.Fatal(err)
	}
	s, w := p.semicolons()
	if len(p.questions) != 2 || len(p.wide) != 1 || !strings.HasPrefix(p.wide[0], "a.go:14") || s != 2 || p.doc != 1 {
		t.Errorf("%q, %q, %d semicolons in %d words, %d lines", p.questions, p.wide, s, w, p.doc)
	}
}
