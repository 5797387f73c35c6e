package docs

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const prometheusDir = "deploy/prometheus/"

type rule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

// alerts reads the rules that are shipped.
func alerts(t *testing.T) (list []rule) {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal([]byte(page(t, prometheusDir+"alerts.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		list = append(list, g.Rules...)
	}
	if len(list) < 30 {
		t.Fatalf("only %d rules", len(list))
	}
	return list
}

// TestAlertsSayWhatToDo: every alert has a summary, a first command, a section of a page that is there, and its line on the page about
// monitoring, which names no others.
func TestAlertsSayWhatToDo(t *testing.T) {
	monitoring, known := page(t, "docs/monitoring.md"), map[string]bool{}
	for _, r := range alerts(t) {
		known[r.Alert] = true
		severity := r.Labels["severity"]
		if severity != "page" && severity != "ticket" {
			t.Errorf("%s: severity %q", r.Alert, severity)
		}
		if r.Annotations["summary"] == "" || !strings.HasPrefix(r.Annotations["description"], "Type: ") {
			t.Errorf("%s: no summary, or a description that does not begin with a command: %v", r.Alert, r.Annotations)
		}
		path, anchor, _ := strings.Cut(r.Annotations["runbook_url"], "#")
		if !anchors(page(t, path))[anchor] {
			t.Errorf("%s: %s has no section %q", r.Alert, path, anchor)
		}
		if n := strings.Count(monitoring, fmt.Sprintf("\n| `%s` | %s | ", r.Alert, severity)); n != 1 {
			t.Errorf("%s: %d lines in docs/monitoring.md", r.Alert, n)
		}
	}
	for _, m := range regexp.MustCompile("\n\\| `(\\w+)` \\|").FindAllStringSubmatch(monitoring, -1) {
		if !known[m[1]] {
			t.Errorf("docs/monitoring.md has a line for %s, which is no alert", m[1])
		}
	}
}

// anchors are the names under which the headings of a page can be linked.
func anchors(text string) map[string]bool {
	out := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		out[strings.ReplaceAll(name, " ", "-")] = true
	}
	return out
}

// TestEveryAlertIsTried: the file of tries shows of every alert that it fires and that it does not.
func TestEveryAlertIsTried(t *testing.T) {
	var file struct {
		Tests []struct {
			Promql []struct {
				Expr    string
				Samples []struct{ Value float64 } `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		}
	}
	if err := yaml.Unmarshal([]byte(page(t, prometheusDir+"alerts_test.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, try := range test.Promql {
			m := regexp.MustCompile(`^count\(ALERTS\{alertname="(\w+)",alertstate="firing"\}\)$`).FindStringSubmatch(try.Expr)
			switch {
			case m == nil:
			case len(try.Samples) == 0:
				quiet[m[1]] = true
			case try.Samples[0].Value >= 1:
				fires[m[1]] = true
			}
		}
	}
	for _, r := range alerts(t) {
		if !fires[r.Alert] || !quiet[r.Alert] {
			t.Errorf("%s: firing is tried: %v, not firing: %v", r.Alert, fires[r.Alert], quiet[r.Alert])
		}
	}
}

// TestAlertsThatPagesAskFor: where a page tells the reader to alert on a metric, a rule does.
func TestAlertsThatPagesAskFor(t *testing.T) {
	var all strings.Builder
	for _, r := range alerts(t) {
		all.WriteString(r.Expr + "\n")
	}
	pages, err := filepath.Glob(root + "/docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, p := range pages {
		p = strings.TrimPrefix(p, root+"/")
		for _, text := range asking(page(t, p)) {
			names := regexp.MustCompile(`\bflk_[a-z_]+`).FindAllString(text, -1)
			if len(names) == 0 && !strings.Contains(text, "alerts.yaml") {
				t.Errorf("%s asks for an alert on no metric: %s", p, text)
			}
			for _, name := range names {
				if asked++; !strings.Contains(all.String(), name) {
					t.Errorf("%s asks for an alert on %s; there is none", p, name)
				}
			}
		}
	}
	if asked < 5 {
		t.Errorf("only %d metrics are asked for", asked)
	}
}

// asking gives the paragraphs, with the code that follows, and the rows of tables that ask for an alert.
func asking(text string) (out []string) {
	ask := regexp.MustCompile(`(?i)\balert on\b|\bpage below\b|\bany rise\b`)
	paragraphs := strings.Split(text, "\n\n")
	for i, p := range paragraphs {
		if !ask.MatchString(p) {
			continue
		}
		if strings.HasPrefix(p, "|") {
			for _, row := range strings.Split(p, "\n") {
				if ask.MatchString(row) {
					out = append(out, row)
				}
			}
			continue
		}
		if i+1 < len(paragraphs) && strings.HasSuffix(p, ":") {
			p += "\n\n" + paragraphs[i+1]
		}
		out = append(out, p)
	}
	return out
}

// TestPromtool plays the tries of every rule, and reads the other files of the directory.
func TestPromtool(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool here: Debian has it in the package prometheus")
	}
	for _, args := range [][]string{{"test", "rules", "alerts_test.yaml", "recording_test.yaml"},
		{"check", "rules", "alerts.yaml", "recording.yaml", "predecessor.yaml"},
		{"check", "config", "--syntax-only", "prometheus.yml"}} {
		cmd := exec.CommandContext(t.Context(), tool, args...)
		cmd.Dir = filepath.Join(root, prometheusDir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// TestMetricsThatPagesName: every metric of a page and of the files for Prometheus is one that the code has.
func TestMetricsThatPagesName(t *testing.T) {
	code := read(t, ".go")
	text := read(t, ".md", "prometheus/alerts.yaml", "prometheus/predecessor.yaml", "grafana/operator.json", "grafana/ingest.json",
		"grafana/recount.json", "grafana/incident.json", "grafana/node.json")
	text = recorded.ReplaceAllString(text, "")
	names := regexp.MustCompile(`\b(?:flk|recount_canary)_[a-z_]+`).FindAllString(text, -1)
	for _, name := range names {
		name = strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_")
		if name == "flk_signature_err" || name == "recount_canary" || name == "flk_tls" {
			continue // the predecessor's, a file name, and a prefix that a command looks for
		}
		if !strings.Contains(code, `"`+name+`"`) && !strings.Contains(code, `"`+name+" ") {
			t.Errorf("no metric is called %s", name)
		}
	}
	if len(names) < 100 {
		t.Errorf("only %d names", len(names))
	}
}

// recorded are the names of recording rules: level:metric:operations.
var recorded = regexp.MustCompile(`\b[a-z]+(?:_[a-z]+)*:flk_[a-z_]+:[a-z0-9_]+\b`)

// TestRecordingRules: every recorded series has a name of three parts, has the labels of its level, and is tried. Those that the page
// names are there.
func TestRecordingRules(t *testing.T) {
	rules := page(t, prometheusDir+"recording.yaml")
	tries, known := page(t, prometheusDir+"recording_test.yaml"), map[string]bool{}
	for _, m := range regexp.MustCompile(`- record: (\S+)`).FindAllStringSubmatch(rules, -1) {
		name := m[1]
		known[name] = true
		if recorded.FindString(name) != name {
			t.Errorf("%s is not level:metric:operations", name)
		}
		if !strings.Contains(tries, "- expr: "+name) && !strings.Contains(tries, "("+name) && !strings.Contains(rules, "99, "+name) {
			t.Errorf("%s is not tried", name)
		}
	}
	for _, name := range recorded.FindAllString(page(t, "docs/monitoring.md"), -1) {
		if !known[name] {
			t.Errorf("docs/monitoring.md names %s, which no rule records", name)
		}
	}
	if len(known) < 5 {
		t.Errorf("only %d rules", len(known))
	}
}

// TestUnitOfTheHardeningPage: systemd does not restart a node that a person has to look at first, and starts it with the machine.
func TestUnitOfTheHardeningPage(t *testing.T) {
	text := page(t, "docs/hardening.md")
	for _, line := range []string{"[Unit]", "Restart=on-failure", "RestartPreventExitStatus=2 70", "[Install]", "WantedBy=multi-user.target"} {
		if strings.Count(text, "\n    "+line+"\n") != 1 {
			t.Errorf("the unit lacks %s", line)
		}
	}
}
