package publish

import (
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/verify"
)

// TestCopy: the copy for people has every remark once, above the line that it explains, and is the same policy.
func TestCopy(t *testing.T) {
	p, err := Parse([]byte(`kernel: 1
rules:
  - when: budget > nano("0.5")
    then: escalate
    reason: too_much
`))
	if err != nil {
		t.Fatal(err)
	}
	text := string(Copy(p, "first line\r\nsecond line"))
	if !strings.HasPrefix(text, "# first line\n# second line\n") {
		t.Errorf("the title:\n%s", text)
	}
	for _, r := range remarks {
		_, below, found := strings.Cut(text, "# "+r.text+"\n")
		if !found || !strings.HasPrefix(below, r.line) || strings.Contains(below, r.text) {
			t.Errorf("the remark about %q:\n%s", r.line, text)
		}
	}
	again, err := Parse([]byte(text))
	if err != nil || again.ID() != p.ID() {
		t.Errorf("read back: %v\n%s", err, text)
	}
	var lines []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			lines = append(lines, line)
		}
	}
	if got := strings.Join(lines, ""); got != string(Document(p)) {
		t.Errorf("without comments:\n%s\nwant:\n%s", got, Document(p))
	}
	if text := string(Copy(verify.DefaultPolicy(), "")); strings.HasPrefix(text, "# \n") || !strings.HasPrefix(text, "#") {
		t.Errorf("without a title:\n%s", text)
	}
}
