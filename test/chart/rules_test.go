package chart

import (
	"os"
	"reflect"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
)

// TestRules: the PrometheusRule has the rules of deploy/prometheus/alerts.yaml, all of them and as they are there, but
// for those that the values leave out and for whole addresses of the runbooks.
func TestRules(t *testing.T) {
	const runbooks = "https://github.com/recount-ledger/recount/blob/main/"
	raw, err := os.ReadFile("../../deploy/prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, without := range []string{"", "RecountCanaryAway"} {
		var want monitoring.PrometheusRuleSpec
		if err := strict(raw, &want); err != nil {
			t.Fatal(err)
		}
		count := 0
		for i := range want.Groups {
			var kept []monitoring.Rule
			for _, rule := range want.Groups[i].Rules {
				if page := rule.Annotations["runbook_url"]; !strings.HasPrefix(page, "docs/") {
					t.Fatalf("%s has the page %s", rule.Alert, page)
				}
				rule.Annotations["runbook_url"] = runbooks + rule.Annotations["runbook_url"]
				if rule.Alert != without {
					kept = append(kept, rule)
				}
			}
			want.Groups[i].Rules = kept
			count += len(kept)
		}
		v := values(t, "everything-values.yaml")
		v["metrics"].(map[string]any)["rules"].(map[string]any)["without"] = list(without)
		rules := decoded[*monitoring.PrometheusRule](t, objects(t, render(t, v, false)), "PrometheusRule")
		if len(rules) != 1 || count < 40 || !reflect.DeepEqual(rules[0].Spec, want) {
			t.Errorf("without %q: the chart has other rules than the %d of alerts.yaml", without, count)
		}
	}
}

// list is a list of values, as YAML gives it.
func list(text string) []any {
	out := []any{}
	for _, word := range strings.Fields(text) {
		out = append(out, word)
	}
	return out
}

// TestJobOfTheMonitor: the rules know nodes by the jobs recount and recount-NAME, and the monitor gives such a name.
func TestJobOfTheMonitor(t *testing.T) {
	all := objects(t, render(t, values(t, "everything-values.yaml"), false))
	monitor := decoded[*monitoring.ServiceMonitor](t, all, "ServiceMonitor")[0]
	job := ""
	for _, r := range monitor.Spec.Endpoints[0].RelabelConfigs {
		if r.TargetLabel == "job" && r.Replacement != nil {
			job = *r.Replacement
		}
	}
	if job != "recount-ledger-recount" {
		t.Errorf("the job is %q", job)
	}
}
