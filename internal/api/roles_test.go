package api

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

var updateRoles = flag.Bool("update-roles", false, "write the table of routes into docs/roles.md")

// TestRolesPage holds the table of the manual against the one that the routes are built from.
func TestRolesPage(t *testing.T) {
	const page, begin, end = "../../docs/roles.md", "-update-roles -->\n", "<!-- end -->\n"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatal("docs/roles.md has lost the marks around its table")
	}
	want := head + begin + rolesTable() + end + tail
	if *updateRoles {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Errorf("docs/roles.md does not say what the routes do; run go test ./internal/api -run TestRolesPage -update-roles\n%s", rolesTable())
	}
}

func rolesTable() string {
	var b strings.Builder
	b.WriteString("| route | none | metrics | auditor | responder | operator | operation | two persons |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range Routes() {
		fmt.Fprintf(&b, "| `%s %s` |", r.Method, r.Path)
		if len(r.Roles) == 0 {
			b.WriteString(" * | * | * | * | * |")
		} else {
			b.WriteString(" - |")
			for _, role := range wire.Roles() {
				b.WriteString(map[bool]string{true: " + |", false: " - |"}[slices.Contains(r.Roles, role)])
			}
		}
		b.WriteString(map[bool]string{true: " operation |", false: " |"}[r.Operation])
		b.WriteString(map[bool]string{true: " two |\n", false: " |\n"}[r.Second])
	}
	return b.String()
}
