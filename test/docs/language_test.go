package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mostSemicolons bounds the semicolons in the prose of all pages together, per 1,000 words.
const mostSemicolons = 3

// manyWords is the size in words from which a page has to keep to the budget by itself.
const manyWords = 200

var (
	codeSpan = regexp.MustCompile("`[^`]*`")
	// roundabout finds sentences such as "A verdict is what the kernel says", which name a thing by a question.
	roundabout = regexp.MustCompile(`(?i)\b(?:is|are) (?:what|how|who|whoever)\b`)
	// coined are words of this project's past for which there is a common one.
	coined = map[*regexp.Regexp]string{
		regexp.MustCompile(`(?i)\bin other\s+hands\b`):                                                        "compromised",
		regexp.MustCompile(`(?i)\bfor\s+ever\b`):                                                              "permanently",
		regexp.MustCompile(`(?i)\bcounts? for\s+nothing\b`):                                                   "is ignored",
		regexp.MustCompile(`(?i)\b(?:says?|said)\s+yes\b`):                                                    "approves",
		regexp.MustCompile(`(?i)\bmended\b`):                                                                  "fixed",
		regexp.MustCompile(`(?i)\b(?:let|lets|letting) (?:\w+ )?(?:in|through)\b`):                            "accepted",
		regexp.MustCompile(`(?i)\b(?:generation|one|voter|member)s? that\s+(?:does not |do not )?answers?\b`): "active, reachable",
	}
)

// prose gives the text of a page without blocks and spans of code; the lines stay where they are.
func prose(text string) string {
	lines, fenced := strings.Split(text, "\n"), false
	for i, line := range lines {
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		if fence {
			fenced = !fenced
		}
		if fence || fenced || strings.HasPrefix(line, "    ") && !strings.HasPrefix(strings.TrimSpace(line), "*") {
			lines[i] = ""
		}
	}
	return codeSpan.ReplaceAllStringFunc(strings.Join(lines, "\n"), func(s string) string {
		return "x" + strings.Repeat("\n", strings.Count(s, "\n"))
	})
}

// faultsOf finds what is not plain English in a text, with the lines.
func faultsOf(text string) (faults []string) {
	text = prose(text)
	at := func(i int) string {
		line := strings.Count(text[:i], "\n") + 1
		return fmt.Sprintf("%d: %s", line, strings.TrimSpace(strings.Split(text, "\n")[line-1]))
	}
	for _, m := range roundabout.FindAllStringIndex(text, -1) {
		faults = append(faults, fmt.Sprintf("line %s: %q: say it with a verb", at(m[0]), text[m[0]:m[1]]))
	}
	for pattern, better := range coined {
		for _, m := range pattern.FindAllStringIndex(text, -1) {
			faults = append(faults, fmt.Sprintf("line %s: %q: the common word is: %s", at(m[0]), text[m[0]:m[1]], better))
		}
	}
	slices.Sort(faults)
	return faults
}

// semicolons counts those of the prose, and its words.
func semicolons(text string) (semis, words int) {
	text = prose(text)
	return strings.Count(text, ";"), len(strings.Fields(text))
}

// languagePages are the pages at the root and all pages under docs.
func languagePages(t *testing.T) []string {
	t.Helper()
	pages := []string{"README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			pages = append(pages, strings.TrimPrefix(filepath.ToSlash(path), root+"/"))
		}
		return err
	})
	if err != nil || len(pages) < 40 {
		t.Fatal(len(pages), err)
	}
	return pages
}

// TestLanguageOfPages: pages say what a thing does and not that it "is what ...", use common words, and put one idea into a sentence.
func TestLanguageOfPages(t *testing.T) {
	semis, words := 0, 0
	for _, p := range languagePages(t) {
		text := page(t, p)
		for _, fault := range faultsOf(text) {
			t.Errorf("%s, %s", p, fault)
		}
		s, w := semicolons(text)
		semis, words = semis+s, words+w
		if w >= manyWords && 1000*s > 2*mostSemicolons*w {
			t.Errorf("%s: %d semicolons in %d words; make sentences of them", p, s, w)
		}
	}
	t.Logf("%d semicolons in %d words of prose: %.1f per 1,000", semis, words, 1000*float64(semis)/float64(words))
	if 1000*semis > mostSemicolons*words {
		t.Errorf("%d semicolons in %d words, at most %d per 1,000", semis, words, mostSemicolons)
	}
}

// TestLanguageIsRead: the test above finds what it looks for, and leaves code alone.
func TestLanguageIsRead(t *testing.T) {
	for text, want := range map[string]int{
		"A verdict is what the kernel says.":                                1,
		"Senders are who signed.":                                           1,
		"The key is in other\nhands, for ever.":                             2,
		"Forgeries are let in, and unsigned records let through.":           2,
		"The generation that\nanswers is dropped.":                          1,
		"See what it is. It is whatever.":                                   0,
		"Run `echo is what` and\n\n    this is what\n\n```\nis what\n```\n": 0,
	} {
		if faults := faultsOf(text); len(faults) != want {
			t.Errorf("%q: %d faults, want %d: %q", text, len(faults), want, faults)
		}
	}
	if s, w := semicolons("one; two `a; b` three\n\n    for x; do\n"); s != 1 || w != 4 {
		t.Errorf("%d semicolons, %d words", s, w)
	}
}

// TestPackagesOfTheArchitecturePage: its table has a row for every package of the programs, and names none that is not there.
func TestPackagesOfTheArchitecturePage(t *testing.T) {
	_, table, _ := strings.Cut(page(t, "docs/architecture.md"), "\n## Packages\n")
	table, _, _ = strings.Cut(table, "\n## ")
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllStringSubmatch(table, -1) {
		for _, name := range regexp.MustCompile("`([a-z/]+)`").FindAllStringSubmatch(m[1], -1) {
			listed[name[1]] = true
		}
	}
	there := map[string]bool{}
	for _, dir := range []string{"api", "client", "cmd", "evidence", "internal", "nano", "sign", "wire"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			name, _ := strings.CutPrefix(filepath.ToSlash(filepath.Dir(path)), root+"/")
			if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") && !strings.HasSuffix(name, "test") {
				there[name] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range there {
		if !listed[name] {
			t.Errorf("the table of docs/architecture.md lacks %s", name)
		}
	}
	for name := range listed {
		if !there[name] {
			t.Errorf("the table of docs/architecture.md has %s, which is not there", name)
		}
	}
}

// verdictOfACanary is the one text with a word that is not common: it goes with the metric recount_canary_let_through.
const verdictOfACanary = "let through"

// TestLanguageOfTexts: what the programs print, the contract and the alerts use common words too.
func TestLanguageOfTexts(t *testing.T) {
	texts := 0
	for _, dir := range []string{"client", "cmd", "internal", "sign", "wire"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING {
					texts++
					coinedIn(t, files.Position(text.Pos()).String(), text.Value)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"api/openapi.yaml", prometheusDir + "alerts.yaml", "deploy/grafana/operator.json",
		"deploy/grafana/ingest.json", "deploy/grafana/recount.json", "deploy/grafana/incident.json", "deploy/grafana/node.json"} {
		for i, line := range strings.Split(page(t, path), "\n") {
			coinedIn(t, fmt.Sprintf("%s:%d", path, i+1), line)
		}
	}
	if texts < 5000 {
		t.Errorf("only %d texts", texts)
	}
}

func coinedIn(t *testing.T, where, text string) {
	t.Helper()
	for pattern, better := range coined {
		if m := pattern.FindString(text); m != "" && m != verdictOfACanary {
			t.Errorf("%s: %q in %q: the common word is: %s", where, m, text, better)
		}
	}
}
