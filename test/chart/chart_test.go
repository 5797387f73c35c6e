package chart

import (
	"bytes"
	"errors"
	"io"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/yaml"
	syaml "sigs.k8s.io/yaml"
)

const (
	chartDir  = "../../deploy/helm/recount"
	namespace = "ledger"
	newest    = "v1.34.0"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // Helm logs that the alert rules are a link
	os.Exit(m.Run())
}

// values reads a file of ci, or YAML.
func values(t *testing.T, text string) chartutil.Values {
	t.Helper()
	raw := []byte(text)
	if strings.HasSuffix(text, "-values.yaml") {
		var err error
		if raw, err = os.ReadFile(filepath.Join(chartDir, "ci", text)); err != nil {
			t.Fatal(err)
		}
	}
	v, err := chartutil.ReadValues(raw)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// examples returns the names of the files in ci.
func examples(t *testing.T) (names []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(chartDir, "ci", "*-values.yaml"))
	if err != nil || len(paths) < 5 {
		t.Fatalf("%d files of values, %v", len(paths), err)
	}
	for _, path := range paths {
		names = append(names, filepath.Base(path))
	}
	return names
}

// tryRender renders the chart for a release called recount, as helm install or as helm upgrade.
func tryRender(v chartutil.Values, upgrade bool) (map[string]string, error) {
	c, err := loader.Load(chartDir)
	if err != nil {
		return nil, err
	}
	return renderChart(c, v, upgrade)
}

func renderChart(c *helmchart.Chart, v chartutil.Values, upgrade bool) (map[string]string, error) {
	kube, err := chartutil.ParseKubeVersion(newest)
	if err != nil {
		return nil, err
	}
	caps := chartutil.DefaultCapabilities.Copy()
	caps.KubeVersion = *kube
	options := chartutil.ReleaseOptions{
		Name:      "recount",
		Namespace: namespace,
		Revision:  1,
		IsInstall: !upgrade,
		IsUpgrade: upgrade,
	}
	all, err := chartutil.ToRenderValues(c, v, options, caps)
	if err != nil {
		return nil, err
	}
	files, err := engine.Engine{Strict: true}.Render(c, all)
	if err != nil {
		return nil, err
	}
	byName := map[string]string{}
	for path, text := range files {
		byName[strings.TrimPrefix(path, "recount/templates/")] = text
	}
	return byName, nil
}

func render(t *testing.T, v chartutil.Values, upgrade bool) map[string]string {
	t.Helper()
	files, err := tryRender(v, upgrade)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// object is one rendered object.
type object struct {
	file, apiVersion, kind, name string
	raw                          []byte
}

// objects splits the rendered files into objects.
func objects(t *testing.T, files map[string]string) (all []object) {
	t.Helper()
	for name, text := range files {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		reader := yaml.NewYAMLReader(bufioReader(text))
		for {
			raw, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			var head struct {
				APIVersion, Kind string
				Metadata         struct{ Name string }
			}
			if err = errors.Join(err, syaml.Unmarshal(raw, &head)); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, raw)
			}
			if head.Kind != "" {
				all = append(all, object{name, head.APIVersion, head.Kind, head.Metadata.Name, raw})
			} else if len(bytes.TrimSpace(raw)) > 0 && !onlyComments(raw) {
				t.Errorf("%s: an object without a kind:\n%s", name, raw)
			}
		}
	}
	slices.SortFunc(all, func(a, b object) int { return strings.Compare(a.kind+a.name, b.kind+b.name) })
	return all
}

func onlyComments(raw []byte) bool {
	for line := range bytes.Lines(raw) {
		if text := bytes.TrimSpace(line); len(text) > 0 && text[0] != '#' && string(text) != "---" {
			return false
		}
	}
	return true
}

// decoded returns all objects of one kind.
func decoded[T any](t *testing.T, all []object, kind string) (out []T) {
	t.Helper()
	for _, o := range all {
		if o.kind == kind {
			var v T
			if err := strict(o.raw, &v); err != nil {
				t.Fatalf("%s %s: %v", kind, o.name, err)
			}
			out = append(out, v)
		}
	}
	return out
}

// TestLint: helm lint --strict has nothing to say but that there is no icon.
func TestLint(t *testing.T) {
	kube, err := chartutil.ParseKubeVersion(newest)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range examples(t) {
		l := lint.AllWithKubeVersion(chartDir, values(t, name), namespace, kube)
		for _, m := range l.Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("%s: %s", name, m.Error())
			}
		}
	}
}

// TestPackage: helm package puts the alert rules themselves into the archive, not the link to them.
func TestPackage(t *testing.T) {
	c, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	path, err := chartutil.Save(c, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	packed, err := loader.LoadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	v := values(t, "everything-values.yaml")
	want := render(t, v, false)
	if got, err := renderChart(packed, v, false); err != nil || !maps.Equal(got, want) {
		t.Errorf("%v: the archive renders other objects", err)
	}
	for _, f := range packed.Files {
		if f.Name == "files/alerts.yaml" {
			f.Data = []byte("../../../prometheus/alerts.yaml") // a clone without symbolic links
		}
	}
	if _, err := renderChart(packed, v, false); err == nil || !strings.Contains(err.Error(), "files/alerts.yaml") {
		t.Errorf("without its rules: %v", err)
	}
}

// TestSelectors: services, budgets and monitors select the nodes and what belongs to them, and nothing else.
func TestSelectors(t *testing.T) {
	all := objects(t, render(t, values(t, "everything-values.yaml"), false))
	set := decoded[apps.StatefulSet](t, all, "StatefulSet")[0]
	node, tester := set.Spec.Template.Labels, decoded[core.Pod](t, all, "Pod")[0].Labels
	second := maps.Clone(node)
	second["app.kubernetes.io/instance"] = "second"
	selects := func(name string, want, got map[string]string) {
		s := labels.SelectorFromSet(want)
		if !s.Matches(labels.Set(got)) || s.Matches(labels.Set(tester)) || s.Matches(labels.Set(second)) {
			t.Errorf("%s selects by %v", name, want)
		}
	}
	selects("StatefulSet", set.Spec.Selector.MatchLabels, node)
	budget := decoded[policy.PodDisruptionBudget](t, all, "PodDisruptionBudget")[0]
	selects("PodDisruptionBudget", budget.Spec.Selector.MatchLabels, node)
	monitor := decoded[monitoring.ServiceMonitor](t, all, "ServiceMonitor")[0]
	monitored := 0
	for _, service := range decoded[core.Service](t, all, "Service") {
		selects(service.Name, service.Spec.Selector, node)
		early := service.Spec.PublishNotReadyAddresses && service.Spec.ClusterIP == core.ClusterIPNone
		if early != (service.Name == set.Spec.ServiceName) {
			t.Errorf("%s: names of pods that are not ready: %t", service.Name, early)
		}
		if labels.SelectorFromSet(monitor.Spec.Selector.MatchLabels).Matches(labels.Set(service.Labels)) {
			monitored++
			asked := func(p core.ServicePort) bool { return p.Name == monitor.Spec.Endpoints[0].Port }
			if !slices.ContainsFunc(service.Spec.Ports, asked) {
				t.Errorf("%s has no port for the monitor", service.Name)
			}
		}
	}
	if monitored != 1 {
		t.Errorf("the monitor finds %d services", monitored)
	}
}

// TestNames: no two objects have one name, all are of this release, and a second release in the namespace shares none.
func TestNames(t *testing.T) {
	for _, name := range examples(t) {
		seen := map[string]bool{}
		for _, o := range objects(t, render(t, values(t, name), false)) {
			if key := o.apiVersion + " " + o.kind + " " + o.name; seen[key] {
				t.Errorf("%s: two objects %s", name, key)
			} else {
				seen[key] = true
			}
			if o.kind != "ExternalSecret" && !strings.HasPrefix(o.name, "recount") {
				t.Errorf("%s: %s %s has not the name of the release", name, o.kind, o.name)
			}
			if !bytes.Contains(o.raw, []byte("app.kubernetes.io/instance: recount\n")) {
				t.Errorf("%s: %s %s has no label of the release", name, o.kind, o.name)
			}
		}
	}
}
