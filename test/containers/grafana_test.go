package containers

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// provisioning has the keys of both files that Grafana reads at its start.
type provisioning struct {
	APIVersion  int `yaml:"apiVersion"`
	Datasources []struct {
		Name, UID, Type, Access, URL string
		IsDefault                    bool `yaml:"isDefault"`
		Editable                     bool
		JSONData                     map[string]string `yaml:"jsonData"`
	}
	Providers []struct {
		Name, Type, Folder string
		DisableDeletion    bool `yaml:"disableDeletion"`
		AllowUIUpdates     bool `yaml:"allowUiUpdates"`
		Options            struct{ Path string }
	}
}

func readProvisioning(t *testing.T, name string) (p provisioning) {
	t.Helper()
	dec := yaml.NewDecoder(strings.NewReader(read(t, filepath.Join(composeDir, "grafana", name))))
	dec.KnownFields(true)
	if err := dec.Decode(&p); err != nil || p.APIVersion != 1 {
		t.Fatalf("%s: %v", name, err)
	}
	return p
}

// TestGrafanaOfCompose: the Grafana of compose.yaml finds the Prometheus there, and the dashboards of this repository where they are
// mounted. Nobody has a password for it, and everybody may only look.
func TestGrafanaOfCompose(t *testing.T) {
	file := readCompose(t, composeDir+"/compose.yaml", nil)
	g := file.Services["grafana"]
	source := readProvisioning(t, "datasources/prometheus.yaml").Datasources[0]
	if !slices.Contains(file.Services["prometheus"].Command, "--web.listen-address=0.0.0.0:9090") || source.URL != "http://prometheus:9090" ||
		source.Type != "prometheus" || !source.IsDefault {
		t.Errorf("the data source is another Prometheus: %+v", source)
	}
	if interval := source.JSONData["timeInterval"]; !strings.Contains(read(t, composeDir+"/prometheus.yml"), "scrape_interval: "+interval+"\n") {
		t.Errorf("Prometheus does not scrape every %s", interval)
	}
	provider := readProvisioning(t, "dashboards/recount.yaml").Providers[0]
	if !slices.Contains(g.Volumes, "../grafana:"+provider.Options.Path+":ro") || !slices.Contains(g.Volumes, "./grafana:/etc/grafana/provisioning:ro") {
		t.Errorf("%q does not have %s", g.Volumes, provider.Options.Path)
	}
	home := filepath.Base(g.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
	text, err := os.ReadFile(filepath.Join(composeDir, "..", "grafana", home))
	if err != nil || !json.Valid(text) {
		t.Errorf("the first dashboard: %v", err)
	}
	for key, want := range map[string]string{"GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer", "GF_AUTH_DISABLE_LOGIN_FORM": "true", "GF_AUTH_BASIC_ENABLED": "false",
		"GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION": "true"} {
		if g.Environment[key] != want {
			t.Errorf("%s is %q", key, g.Environment[key])
		}
	}
}
