package chart

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	core "k8s.io/api/core/v1"
)

// TestDashboards: the ConfigMap has the dashboards of deploy/grafana as they are there, with the label that Grafana's sidecar looks
// for. By default there is none.
func TestDashboards(t *testing.T) {
	paths, err := filepath.Glob("../../deploy/grafana/*.json")
	if err != nil || len(paths) < 5 {
		t.Fatalf("%d dashboards: %v", len(paths), err)
	}
	var found []*core.ConfigMap
	for _, o := range decoded[*core.ConfigMap](t, objects(t, render(t, values(t, "everything-values.yaml"), false)), "ConfigMap") {
		if o.Labels["grafana_dashboard"] == "1" {
			found = append(found, o)
		}
	}
	if len(found) != 1 || len(found[0].Data) != len(paths) || found[0].Annotations["grafana_folder"] != "Recount" {
		t.Fatalf("%d ConfigMaps with dashboards", len(found))
	}
	size := 0
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got := found[0].Data["recount-"+filepath.Base(path)]
		if strings.TrimSpace(got) != strings.TrimSpace(string(text)) || !json.Valid([]byte(got)) {
			t.Errorf("%s: the chart has another text", path)
		}
		size += len(got)
	}
	if size > 900_000 {
		t.Errorf("%d bytes: a ConfigMap takes one MiB", size)
	}
	for _, o := range decoded[*core.ConfigMap](t, objects(t, render(t, values(t, "one-values.yaml"), false)), "ConfigMap") {
		if strings.HasSuffix(o.Name, "-dashboards") {
			t.Errorf("%s is there without being asked for", o.Name)
		}
	}
}

// TestDashboardsWithoutLinks: a clone without symbolic links is refused with the reason.
func TestDashboardsWithoutLinks(t *testing.T) {
	c, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	kept := c.Files[:0]
	for _, f := range c.Files {
		if !strings.HasPrefix(f.Name, "files/grafana/") {
			kept = append(kept, f)
		}
	}
	c.Files = kept
	if _, err := renderChart(c, values(t, "everything-values.yaml"), false); err == nil || !strings.Contains(err.Error(), "files/grafana") {
		t.Errorf("without its dashboards: %v", err)
	}
}
