package chart

import (
	"bytes"
	"errors"
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
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
