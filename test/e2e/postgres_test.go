package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/pgtest"
)

var pageBlocks = regexp.MustCompile("(?s)```(sh|sql)\n(.*?)```")

// TestPostgresPage plays the section PostgreSQL of docs/audit-logging.md: its commands word for word, and its query.
func TestPostgresPage(t *testing.T) {
	pg := pgtest.Start(t)
	page, err := os.ReadFile("../../docs/audit-logging.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## PostgreSQL\n")
	section, _, _ = strings.Cut(section, "\n## ")
	c := abuse(t, 1)
	send := func(shard string) {
		if status, _, p := c.post(0, c.records.Members(shard, 1).SignPCS2(t, nodetest.AbuseSigners["hmac"]).Text(t)); status != http.StatusOK {
			t.Fatalf("%d %+v", status, p)
		}
	}
	send("lab-1")
	c.run(nil, "shard", "known", "add", "lab-*")
	blocks := pageBlocks.FindAllStringSubmatch(section, -1)
	if len(blocks) != 3 || blocks[2][1] != "sql" {
		t.Fatalf("the section has %d blocks", len(blocks))
	}
	for _, b := range blocks[:2] {
		send("wild-" + b[2][:4]) // something new for each
		cmd := exec.CommandContext(c.ctx, "bash", "-euo", "pipefail", "-c", b[2])
		cmd.Env = append(append(os.Environ(), pg.Env()...), "RECOUNT_DEV="+c.Dir, "PATH="+filepath.Dir(recountTool(t))+":"+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", b[2], err, out)
		}
	}
	out, err := pg.Run(blocks[2][2], "-At", "audit")
	if err != nil || strings.Count(out, "|wild-") != 2 || strings.Contains(out, "|lab-1|") {
		t.Errorf("%v: %s", err, out)
	}
}
