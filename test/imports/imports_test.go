package imports

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/recount-ledger/recount"

// packages lists the packages of this module that each one may import outside its tests. A package without a line fails
// the test.
var packages = map[string][]string{
	"api":                    {},
	"client":                 {"wire"},
	"evidence":               {"internal/event", "internal/projections", "internal/verify"},
	"nano":                   {},
	"sign":                   {"internal/pcs", "internal/verify"},
	"wire":                   {"nano"},
	"cmd/node":               {"client", "evidence", "internal/auditor", "internal/backup", "internal/cli", "internal/cluster/certs", "internal/doctor", "internal/durable", "internal/event", "internal/logqueue", "internal/node", "internal/pcs", "internal/repair", "internal/restore", "internal/sdnotify", "internal/secretfile", "internal/stopped", "internal/survivor", "internal/term", "internal/verify", "internal/version", "internal/when", "wire"},
	"cmd/recount":            {"client", "evidence", "internal/backup", "internal/canary", "internal/cli", "internal/corpus", "internal/doctor", "internal/drill", "internal/event", "internal/export", "internal/incident", "internal/load", "internal/pause", "internal/pcs", "internal/pgscript", "internal/projections", "internal/sample", "internal/secretfile", "internal/term", "internal/trial", "internal/verify", "internal/verify/publish", "internal/version", "internal/when", "internal/witness", "nano", "sign", "wire"},
	"internal/agreement":     {},
	"internal/api":           {"api", "internal/event", "internal/laps", "internal/limit", "internal/pcs", "internal/tilepath", "internal/verify", "nano", "wire"},
	"internal/audit":         {"nano", "wire"},
	"internal/auditor":       {"client", "evidence", "internal/backup", "internal/durable", "internal/event", "internal/export", "internal/fsm", "internal/log", "internal/projections", "internal/verify", "internal/witness", "wire"},
	"internal/backup":        {"client", "internal/osfile", "internal/pause", "wire"},
	"internal/canary":        {"client", "internal/pause", "internal/sample", "sign", "wire"},
	"internal/cli":           {"internal/when"},
	"internal/cluster":       {"internal/cluster/certs", "internal/cluster/frames", "internal/durable", "internal/pause"},
	"internal/cluster/certs": {"internal/secretfile"},

	"internal/cluster/frames": {},
	"internal/disk":           {},
	"internal/copies":         {"internal/durable", "internal/pause", "wire"},
	"internal/corpus":         {"nano", "wire"},
	"internal/doctor":         {"client", "wire"},
	"internal/durable":        {"internal/osfile"},
	"internal/drill":          {"client", "evidence", "internal/canary", "internal/event", "internal/export", "internal/incident", "internal/sample", "internal/verify", "wire"},
	"internal/event":          {},
	"internal/export":         {"client", "internal/event", "internal/pcs", "internal/projections", "internal/term", "internal/verify", "nano", "wire"},
	"internal/freeport":       {},
	"internal/fsm":            {"internal/event", "internal/log", "internal/projections", "internal/verify"},
	"internal/intake":         {"internal/api", "internal/event", "internal/fsm", "internal/limit", "internal/pause", "internal/pcs", "internal/projections", "internal/propose", "internal/recount", "internal/verify", "nano", "wire"},
	"internal/ledgertest":     {"internal/event", "internal/fsm", "internal/log", "internal/projections", "internal/propose", "internal/recount", "internal/verify", "wire"},
	"internal/incident":       {"internal/term", "wire"},
	"internal/laps":           {},
	"internal/limit":          {},
	"internal/load":           {"client", "internal/pause"},
	"internal/log":            {"internal/durable"},
	"internal/logqueue":       {},
	"internal/notary":         {"evidence", "internal/api", "internal/event", "internal/fsm", "internal/log", "internal/osfile", "internal/pause", "internal/projections", "internal/secretfile", "internal/witness", "wire"},
	"internal/node": {"evidence", "internal/agreement", "internal/api", "internal/audit", "internal/cluster", "internal/cluster/certs", "internal/copies", "internal/disk", "internal/durable", "internal/event", "internal/fsm", "internal/intake", "internal/laps", "internal/limit", "internal/log", "internal/notary", "internal/operator", "internal/pause", "internal/pcs",
		"internal/projections", "internal/propose", "internal/reads", "internal/recount", "internal/secretfile", "internal/seed", "internal/trace", "internal/verify", "internal/version", "wire"},
	"internal/nodetest":    {"client", "internal/cluster/certs", "internal/freeport", "internal/node", "internal/pcs", "internal/verify", "sign", "wire"},
	"internal/operator":    {"internal/api", "internal/cluster", "internal/event", "internal/fsm", "internal/pause", "internal/projections", "internal/propose", "internal/recount", "internal/verify", "internal/verify/publish", "wire"},
	"internal/osfile":      {},
	"internal/pcs":         {"nano"},
	"internal/pgscript":    {"client", "wire"},
	"internal/pause":       {},
	"internal/pgtest":      {},
	"internal/projections": {"internal/event", "internal/pcs", "internal/verify", "nano"},
	"internal/propose":     {"internal/event", "internal/laps"},
	"internal/reads":       {"internal/api", "internal/event", "internal/fsm", "internal/intake", "internal/pcs", "internal/projections", "internal/recount", "internal/verify", "internal/verify/publish", "nano", "wire"},
	"internal/recount":     {"internal/durable", "internal/fsm", "internal/log", "internal/pause", "internal/projections", "internal/verify", "wire"},
	"internal/repair":      {"internal/cluster", "internal/disk", "internal/durable", "internal/log", "internal/node", "internal/seed"},
	"internal/restore":     {"internal/backup", "internal/cluster", "internal/cluster/certs", "internal/durable", "internal/event", "internal/fsm", "internal/log", "internal/projections", "internal/propose", "internal/survivor", "internal/verify", "wire"},
	"internal/s3test":      {"internal/cluster/certs", "internal/nodetest"},
	"internal/sample":      {"sign"},
	"internal/sdnotify":    {},
	"internal/secretfile":  {},
	"internal/seed":        {"internal/cluster", "internal/copies", "internal/durable", "internal/log", "internal/pause", "wire"},
	"internal/stopped":     {"internal/cluster", "internal/disk", "internal/doctor", "internal/log", "internal/node"},
	"internal/survivor":    {"internal/cluster", "internal/durable", "internal/fsm", "internal/log", "wire"},
	"internal/term":        {},
	"internal/tilepath":    {},
	"internal/trace":       {"internal/laps", "internal/limit", "internal/secretfile"},

	"internal/trace/tracetest": {},
	"internal/trial":           {"client", "internal/event", "internal/pcs", "internal/verify", "wire"},
	"internal/verify":          {"internal/pcs", "nano"},

	"internal/verify/publish": {"internal/pcs", "internal/verify", "nano"},
	"internal/version":        {},
	"internal/when":           {"wire"},
	"internal/witness":        {"evidence", "internal/limit", "internal/osfile", "wire"},
}

// testPackages may import whatever they need of the module.
var testPackages = []string{"test/", "scripts/", "tools/"}

// libraries lists the packages that may import a library outside their tests. The key is a prefix of the import path.
var libraries = map[string][]string{
	"cel.dev/":                                {"internal/verify/publish"},
	"github.com/cockroachdb/pebble":           {"internal/durable", "internal/log", "internal/fsm", "internal/ledgertest", "internal/nodetest", "internal/node", "internal/recount"},
	"github.com/HdrHistogram/hdrhistogram-go": {"internal/load"},
	"github.com/go-json-experiment/json":      {"internal/pcs", "cmd/recount", "sign"},
	"github.com/hashicorp/go-hclog":           {"internal/cluster"},
	"github.com/hashicorp/raft":               {"internal/cluster", "internal/ledgertest", "internal/log", "internal/fsm"},
	"github.com/hashicorp/raft-boltdb":        {"internal/cluster"},
	"github.com/KimMachineGun/automemlimit":   {"cmd/node"},
	"github.com/knadh/koanf":                  {"cmd/node"},
	"github.com/labstack/echo":                {"internal/api"},
	"github.com/minio/minio-go":               {"internal/backup"},
	"github.com/prometheus/":                  {"internal/api", "internal/node"},
	"github.com/spf13/cobra":                  {"internal/cli", "cmd/node", "cmd/recount"},
	"github.com/spf13/pflag":                  {"internal/cli", "cmd/node"},
	"github.com/vbauerster/mpb":               {"cmd/recount"},
	"go.opentelemetry.io/otel":                {"internal/trace"},
	"go.opentelemetry.io/proto/otlp":          {"internal/trace/tracetest"},
	"go.yaml.in/yaml":                         {"cmd/recount", "internal/api", "internal/verify/publish", "cmd/node"},
	"golang.org/x/mod/sumdb":                  {"evidence", "internal/fsm", "internal/log"},
	"golang.org/x/time/rate":                  {"internal/cluster"},
	"golang.org/x/sys":                        {"cmd/node", "internal/cluster", "internal/term"},
	"google.golang.org/protobuf":              {"internal/event", "internal/ledgertest", "internal/node", "internal/operator", "internal/propose", "internal/trace/tracetest"},
}

// far lists what must not be linked into a package at all, not even through others.
var far = map[string][]string{
	"client":      {module + "/internal/", "github.com/", "golang.org/x/"},
	"evidence":    {module + "/client", module + "/internal/node", module + "/internal/log", "cel.dev/", "github.com/cockroachdb/", "github.com/hashicorp/", "net/http"},
	"sign":        {module + "/internal/node", module + "/internal/log", "cel.dev/", "github.com/cockroachdb/", "github.com/hashicorp/", "golang.org/x/"},
	"wire":        {module + "/client", module + "/internal/", "github.com/", "golang.org/x/"},
	"cmd/recount": {module + "/internal/node", module + "/internal/log", module + "/internal/cluster", "github.com/cockroachdb/", "github.com/hashicorp/", "github.com/labstack/"},
}

// exact narrows a library to single packages of it, for those that need one type of it.
var exact = map[string]map[string][]string{
	"internal/node":    {"github.com/cockroachdb/pebble": {"github.com/cockroachdb/pebble/v2/vfs"}}, // Config.FS
	"internal/recount": {"github.com/cockroachdb/pebble": {"github.com/cockroachdb/pebble/v2/vfs"}}, // Options.FS
}

// pure packages decide outcomes. Besides their libraries they import only what is listed in pureStd.
var pure = []string{"internal/pcs", "internal/event", "internal/verify", "internal/projections"}

// pureStd lists what the pure packages use of the standard library. It has no clock, no randomness, no file, no network and no
// environment, with two named exceptions in pureExtra.
var pureStd = []string{
	"bytes", "cmp", "crypto/ed25519", "crypto/hmac", "crypto/sha256", "crypto/subtle", "encoding/base64", "encoding/binary",
	"encoding/hex", "encoding/json", "errors", "fmt", "hash", "io", "iter", "maps", "math", "math/big", "math/bits", "reflect",
	"slices", "sort", "strconv", "strings", "sync", "unicode", "unicode/utf8",
}

var pureExtra = map[string][]string{
	"internal/event": {"unsafe"}, // generated protobuf code
}

type pkg struct {
	ImportPath, Dir string
	GoFiles         []string
	Imports         []string
	Deps            []string
	TestImports     []string
	XTestImports    []string
}

// path returns the path of the package below the module.
func (p pkg) path() string { return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/") }

// load lists the packages of the module.
func load(t *testing.T) []pkg {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports,Deps,TestImports,XTestImports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if len(pkgs) < 10 {
		t.Fatalf("go list found %d packages only", len(pkgs))
	}
	return pkgs
}

func isTestPackage(name string) bool {
	return slices.ContainsFunc(testPackages, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

func TestPackagesImportOnlyTheirNeighbours(t *testing.T) {
	for _, p := range load(t) {
		name := p.path()
		if isTestPackage(name) {
			continue
		}
		allowed, known := packages[name]
		if !known {
			t.Errorf("%s is not in the table of packages", name)
			continue
		}
		for _, path := range p.Imports {
			other, ours := strings.CutPrefix(path, module+"/")
			if ours && !slices.Contains(allowed, other) {
				t.Errorf("%s imports %s", name, other)
			}
		}
	}
}

func TestLibrariesStayInTheirRooms(t *testing.T) {
	for _, p := range load(t) {
		name := p.path()
		if isTestPackage(name) {
			continue
		}
		for _, path := range p.Imports {
			library := libraryOf(path)
			switch {
			case library == "" && isOutside(path):
				t.Errorf("%s imports %s, which is in no line of the table", name, path)
			case library != "" && !slices.Contains(libraries[library], name):
				t.Errorf("%s imports %s, which belongs to %v", name, path, libraries[library])
			}
			if only := exact[name][library]; only != nil && !slices.Contains(only, path) {
				t.Errorf("%s imports %s, of that library it may import %v only", name, path, only)
			}
		}
	}
}

// TestEveryAllowanceIsUsed: the tables are the architecture, so a line that nobody needs any more goes.
func TestEveryAllowanceIsUsed(t *testing.T) {
	imports := map[string][]string{}
	for _, p := range load(t) {
		imports[p.path()] = p.Imports
	}
	for name, others := range packages {
		if imports[name] == nil {
			t.Errorf("there is no %s", name)
			continue
		}
		for _, other := range others {
			if !slices.Contains(imports[name], module+"/"+other) {
				t.Errorf("%s may import %s and does not", name, other)
			}
		}
	}
	for library, users := range libraries {
		for _, name := range users {
			if !slices.ContainsFunc(imports[name], func(path string) bool { return libraryOf(path) == library }) {
				t.Errorf("%s may import %s and does not", name, library)
			}
		}
	}
	for name, paths := range pureExtra {
		for _, path := range paths {
			if !slices.Contains(imports[name], path) {
				t.Errorf("%s may import %s and does not", name, path)
			}
		}
	}
}

func TestClientsLinkNoServer(t *testing.T) {
	for _, p := range load(t) {
		for _, prefix := range far[p.path()] {
			for _, path := range p.Deps {
				if strings.HasPrefix(path, prefix) && path != module && path != module+"/nano" && path != module+"/wire" {
					t.Errorf("%s links %s", p.path(), path)
				}
			}
		}
	}
}

// TestTableTellsLibrariesApart: a prefix is a path, not a beginning of letters.
func TestTableTellsLibrariesApart(t *testing.T) {
	for path, want := range map[string]string{
		"github.com/hashicorp/raft": "github.com/hashicorp/raft", "github.com/hashicorp/raft-boltdb/v2": "github.com/hashicorp/raft-boltdb",
		"github.com/cockroachdb/pebble/v2/vfs": "github.com/cockroachdb/pebble", "github.com/labstack/echoes": "", "fmt": "",
	} {
		if got := libraryOf(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// libraryOf finds the longest prefix of the table that path is in, "" for none.
func libraryOf(path string) string {
	best := ""
	for prefix := range libraries {
		inside := path == prefix || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/")
		if inside && len(prefix) > len(best) {
			best = prefix
		}
	}
	return best
}

// isOutside reports whether the path is neither of the standard library nor of this module.
func isOutside(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".") && !strings.HasPrefix(path, module)
}

func TestNobodyImportsTheStandardLog(t *testing.T) {
	for _, p := range load(t) {
		for _, list := range [][]string{p.Imports, p.TestImports, p.XTestImports} {
			if slices.Contains(list, "log") {
				t.Errorf("%s imports the standard log package; loggers are *slog.Logger and passed in", p.path())
			}
		}
	}
}

func TestPurePackagesHaveNoClockNoRandomnessNoIO(t *testing.T) {
	for _, p := range load(t) {
		name := p.path()
		if !slices.Contains(pure, name) {
			continue
		}
		for _, path := range p.Imports {
			if isOutside(path) || strings.HasPrefix(path, module) {
				continue
			}
			if !slices.Contains(pureStd, path) && !slices.Contains(pureExtra[name], path) {
				t.Errorf("%s imports %s: a pure package has no clock, no randomness, no environment and no I/O", name, path)
			}
		}
	}
}

// TestTheFoldHasNoRandomness: fsm does I/O, but what it folds depends on nothing but the log.
func TestTheFoldHasNoRandomness(t *testing.T) {
	for _, p := range load(t) {
		if p.path() != "internal/fsm" {
			continue
		}
		for _, path := range []string{"time", "math/rand", "math/rand/v2", "crypto/rand", "net", "net/http"} {
			if slices.Contains(p.Imports, path) {
				t.Errorf("internal/fsm imports %s", path)
			}
		}
	}
}
