package publish

import (
	"strings"

	"github.com/recount-ledger/recount/internal/verify"
)

// remarks are comments above the line of a document that begins with the key.
var remarks = []struct{ line, text string }{
	{"kernel:", "which code recomputes the claims; \"recount version\" lists the kernels of a release"},
	{"params:", "tolerances of the checks, and the numbers that budget and regime are recomputed with; plain decimals"},
	{"  dedup_ttl:", "how long a repeated record gets its first answer"},
	{"signature:", "which signatures count. A member that you leave out has its default, and not what stands here"},
	{"  required:", "false lets records without any signature in"},
	{"  profiles:", "texts that may be signed under pcs/1; records of a profile that you take out are refused"},
	{"  schemes:", "[pcs/2] wants the whole record signed"},
	{"epochs:", "a new record below the newest epoch of its shard: escalate, reject or allow"},
	{"rules:", "the first rule that matches counts; then is escalate or refuse"},
}

// Copy prints a policy as Document does, with comments that explain each part, for people who edit it. Parse
// reads the same policy. Every line of the title becomes a comment at the top.
func Copy(p verify.Policy, title string) []byte {
	var b strings.Builder
	for line := range strings.Lines(title) {
		b.WriteString("# " + strings.TrimRight(line, "\r\n") + "\n")
	}
	for line := range strings.Lines(string(Document(p))) {
		for _, r := range remarks {
			if strings.HasPrefix(line, r.line) {
				indent := len(line) - len(strings.TrimLeft(line, " "))
				b.WriteString(line[:indent] + "# " + r.text + "\n")
			}
		}
		b.WriteString(line)
	}
	return []byte(b.String())
}
