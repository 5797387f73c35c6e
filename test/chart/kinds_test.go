package chart

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/cert-manager/cert-manager/pkg/apis/certmanager" // keeps the module, whose CRDs are read
	_ "github.com/external-secrets/external-secrets/apis/meta/v1" // so, too
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	crds "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/yaml"
	podapi "k8s.io/pod-security-admission/api"
	podpolicy "k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/json"
	syaml "sigs.k8s.io/yaml"
)

func bufioReader(text string) *bufio.Reader { return bufio.NewReader(strings.NewReader(text)) }

// typed are the kinds with Go types.
var typed = map[string]func() any{
	"apps/v1 StatefulSet":                     func() any { return &apps.StatefulSet{} },
	"v1 ConfigMap":                            func() any { return &core.ConfigMap{} },
	"v1 Pod":                                  func() any { return &core.Pod{} },
	"v1 Service":                              func() any { return &core.Service{} },
	"v1 ServiceAccount":                       func() any { return &core.ServiceAccount{} },
	"policy/v1 PodDisruptionBudget":           func() any { return &policy.PodDisruptionBudget{} },
	"networking.k8s.io/v1 NetworkPolicy":      func() any { return &networking.NetworkPolicy{} },
	"networking.k8s.io/v1 Ingress":            func() any { return &networking.Ingress{} },
	"monitoring.coreos.com/v1 ServiceMonitor": func() any { return &monitoring.ServiceMonitor{} },
	"monitoring.coreos.com/v1 PrometheusRule": func() any { return &monitoring.PrometheusRule{} },
}

// TestKinds: every object is one of its kind, without a field that the kind does not have.
func TestKinds(t *testing.T) {
	definitions := readDefinitions(t)
	seen := map[string]bool{}
	for _, name := range examples(t) {
		for _, upgrade := range []bool{false, true} {
			for _, o := range objects(t, render(t, values(t, name), upgrade)) {
				kind := o.apiVersion + " " + o.kind
				seen[kind] = true
				if err := checkKind(o.raw, kind, definitions); err != nil {
					t.Errorf("%s: %s %s: %v", name, kind, o.name, err)
				}
			}
		}
	}
	for kind := range typed {
		if !seen[kind] {
			t.Errorf("no file in ci renders a %s", kind)
		}
	}
	for _, kind := range []string{"cert-manager.io/v1 Certificate", "cert-manager.io/v1 Issuer",
		"external-secrets.io/v1 ExternalSecret"} {
		if !seen[kind] {
			t.Errorf("no file in ci renders a %s", kind)
		}
	}
}

// TestKindsAreChecked: the check of TestKinds finds misspelled fields in kinds of both sorts.
func TestKindsAreChecked(t *testing.T) {
	definitions := readDefinitions(t)
	files := render(t, values(t, "everything-values.yaml"), false)
	for _, c := range []struct{ kind, old, fresh string }{
		{"StatefulSet", "readOnlyRootFilesystem", "readOnlyRootFileSystem"},
		{"NetworkPolicy", "policyTypes:", "policyType:"},
		{"ServiceMonitor", "serverName:", "server_name:"},
		{"Certificate", "uris:", "uriSANs:"},
		{"Certificate", "server auth", "servers auth"},
		{"ExternalSecret", "remoteRef:", "remoteReference:"},
		{"ExternalSecret", "external-secrets.io/v1", "external-secrets.io/v1beta1"},
	} {
		found := false
		for _, o := range objects(t, files) {
			if o.kind != c.kind || !bytes.Contains(o.raw, []byte(c.old)) {
				continue
			}
			raw := bytes.ReplaceAll(o.raw, []byte(c.old), []byte(c.fresh))
			kind := o.apiVersion + " " + o.kind
			if strings.Contains(c.fresh, "v1beta1") {
				kind = c.fresh + " " + o.kind
			}
			found = found || checkKind(raw, kind, definitions) != nil
		}
		if !found {
			t.Errorf("%s with %s for %s is accepted", c.kind, c.fresh, c.old)
		}
	}
}

func checkKind(raw []byte, kind string, definitions map[string]*apiextensions.JSONSchemaProps) error {
	if empty := typed[kind]; empty != nil {
		return strict(raw, empty())
	}
	props := definitions[kind]
	if props == nil {
		return errors.New("no definition of the kind")
	}
	var v map[string]any
	if err := syaml.UnmarshalStrict(raw, &v); err != nil {
		return err
	}
	validator, _, err := validation.NewSchemaValidator(props)
	if err != nil {
		return err
	}
	errs := []error{validation.ValidateCustomResource(nil, v, validator).ToAggregate()}
	structural, err := schema.NewStructural(props)
	if err != nil {
		return err
	}
	track := schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	for _, path := range pruning.PruneWithOptions(v, structural, true, track) {
		errs = append(errs, errors.New("unknown field "+path))
	}
	return errors.Join(errs...)
}

// strict decodes as the API server does with strict field validation: each field once, with its letter case.
func strict(raw []byte, into any) error {
	text, err := syaml.YAMLToJSONStrict(raw)
	if err != nil {
		return err
	}
	unknown, err := json.UnmarshalStrict(text, into)
	return errors.Join(append(unknown, err)...)
}

// readDefinitions reads the CRDs that their modules bring, by the served version and the kind.
func readDefinitions(t *testing.T) map[string]*apiextensions.JSONSchemaProps {
	t.Helper()
	all := map[string]*apiextensions.JSONSchemaProps{}
	for module, pattern := range map[string]string{
		"github.com/cert-manager/cert-manager":         "deploy/crds/cert-manager.io_*.yaml",
		"github.com/external-secrets/external-secrets": "deploy/crds/bundle.yaml",
	} {
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
		if err != nil {
			t.Fatal(err)
		}
		paths, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s has no %s: %v", module, pattern, err)
		}
		for _, path := range paths {
			readFile(t, path, all)
		}
	}
	return all
}

func readFile(t *testing.T, path string, into map[string]*apiextensions.JSONSchemaProps) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	reader := yaml.NewYAMLReader(bufioReader(string(text)))
	for {
		raw, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		var crd crds.CustomResourceDefinition
		if err = errors.Join(err, syaml.Unmarshal(raw, &crd)); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, v := range crd.Spec.Versions {
			if !v.Served || v.Schema == nil {
				continue
			}
			var props apiextensions.JSONSchemaProps
			err := crds.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, &props, nil)
			if err != nil {
				t.Fatal(err)
			}
			into[crd.Spec.Group+"/"+v.Name+" "+crd.Spec.Names.Kind] = &props
		}
	}
}

// TestPodsAreRestricted: all pods pass the Pod Security Standard "restricted" of Kubernetes, and a few rules beyond it.
func TestPodsAreRestricted(t *testing.T) {
	evaluator, err := podpolicy.NewEvaluator(podpolicy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := podapi.LevelVersion{Level: podapi.LevelRestricted, Version: podapi.LatestVersion()}
	for _, name := range examples(t) {
		all := objects(t, render(t, values(t, name), false))
		pods := decoded[core.Pod](t, all, "Pod")
		for _, set := range decoded[apps.StatefulSet](t, all, "StatefulSet") {
			pods = append(pods, core.Pod{ObjectMeta: set.Spec.Template.ObjectMeta, Spec: set.Spec.Template.Spec})
		}
		if len(pods) != 2 {
			t.Fatalf("%s: %d pods", name, len(pods))
		}
		for _, pod := range pods {
			result := podpolicy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
			if !result.Allowed {
				t.Errorf("%s: %s: %s", name, pod.Name, result.ForbiddenDetail())
			}
			if pod.Spec.AutomountServiceAccountToken == nil || *pod.Spec.AutomountServiceAccountToken {
				t.Errorf("%s: %s gets a token of Kubernetes", name, pod.Name)
			}
			if pod.Spec.EnableServiceLinks == nil || *pod.Spec.EnableServiceLinks {
				t.Errorf("%s: %s gets RECOUNT_ variables of services", name, pod.Name)
			}
			for _, c := range pod.Spec.Containers {
				if s := c.SecurityContext; s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
					t.Errorf("%s: %s: the root of %s can be written", name, pod.Name, c.Name)
				}
			}
		}
	}
}
