package docs

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/wire"
)

// submissionCodes are the codes of problems that a submission may get.
var submissionCodes = []wire.Code{
	wire.CodeMalformed, wire.CodeSchema, wire.CodeIDMismatch, wire.CodeBadSignature, wire.CodeKeyNotAllowed, wire.CodeConflict,
	wire.CodeEpochRegression, wire.CodeTooLarge, wire.CodeMediaType, wire.CodeEncoding, wire.CodeThrottled, wire.CodeFrozen,
	wire.CodeNoLeader, wire.CodeOverloaded, wire.CodeKeysUnconfirmed, wire.CodeOutcomeUnknown, wire.CodeNotReady,
	wire.CodeShuttingDown, wire.CodeTimeout, wire.CodeClock, wire.CodeInternal,
}

// TestAgentsTable: docs/agents.md has a row for every problem that a submission may get, and the page of the code, which nodes serve
// and "recount explain" prints, tells an agent to do the same.
func TestAgentsTable(t *testing.T) {
	_, table, _ := strings.Cut(page(t, "docs/agents.md"), "| status | ")
	table, _, _ = strings.Cut(table, "\n\n")
	action := map[string]string{}
	for line := range strings.Lines(table) {
		cells := strings.Split(line, " | ")
		if len(cells) != 3 || strings.HasPrefix(cells[0], "| 2") {
			continue
		}
		for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[1], -1) {
			action[m[1]] = cells[2]
		}
	}
	for _, info := range wire.Codes() {
		does, listed := action[string(info.Code)]
		if !listed {
			if slices.Contains(submissionCodes, info.Code) {
				t.Errorf("docs/agents.md does not say what an agent does with %s", info.Code)
			}
			continue
		}
		again, keeps := strings.Contains(does, "sends again"), strings.Contains(does, "keeps the record") || strings.Contains(does, "the same, under")
		if again == keeps {
			t.Errorf("%s: %q is neither to send again nor to keep", info.Code, does)
		}
		if !slices.Contains(submissionCodes, info.Code) { // a wrong URL
			continue
		}
		sends, tells := strings.Contains(strings.ToLower(info.About), "send the same record again"), strings.Contains(info.About, "Keep the record and tell its operator")
		if sends != again || tells != keeps {
			t.Errorf("%s: the table says %q, the page of the code %q", info.Code, does, info.About)
		}
	}
}
