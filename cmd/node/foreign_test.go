package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestForeignSettings: every variable of the predecessor that is ignored is named once, with what to do instead, and
// none that a node reads is among them.
func TestForeignSettings(t *testing.T) {
	set := map[string]string{}
	for _, s := range foreignSettings {
		set[s.env] = "true"
		for _, own := range settings {
			if own.env == s.env {
				t.Errorf("%s is a setting of a node", s.env)
			}
		}
	}
	got := foreign(environment(set))
	if len(got) != len(set) {
		t.Fatalf("%d warnings of %d variables: %q", len(got), len(set), got)
	}
	for i, s := range foreignSettings {
		if !strings.HasPrefix(got[i], s.env+" is set and ignored: ") || strings.Contains(got[i], "\n") {
			t.Errorf("%q", got[i])
		}
	}
	if got := foreign(environment(map[string]string{"MULTI_TENANT": "false", "TENANTS": "", "TOKEN_RATE": "5"})); len(got) != 0 {
		t.Errorf("nothing to say: %q", got)
	}
	page, err := os.ReadFile("../../docs/agents.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range foreignSettings {
		if !bytes.Contains(page, []byte("`"+s.env+"`")) {
			t.Errorf("docs/agents.md has no `%s`", s.env)
		}
	}
}

// TestMisspeltVariables: a variable that is nearly a setting is named with the one that was meant; others are left alone.
func TestMisspeltVariables(t *testing.T) {
	got := misspelt([]string{"RECOUNT_API_LITSEN=127.0.0.1:1", "RECOUNT_TOKEN_RATE=5", "PCS_HMAC_KEYS_FLIE=x", "RECOUNT_METRICS_USER=u", "METRICS_PAS=p",
		"PATH=/bin", "METRICS_USER=u", "PCS_HMAC_KEY_FILE=k", "TOKEN_RATES=1", "RECOUNT_SITE=x", "RECOUNT_FAULT_CLOCK=1h"})
	want := []string{"METRICS_PAS is set and ignored. Did you mean METRICS_PASS?", "PCS_HMAC_KEYS_FLIE is set and ignored. Did you mean PCS_HMAC_KEYS_FILE?",
		"RECOUNT_API_LITSEN is set and ignored. Did you mean RECOUNT_API_LISTEN?", "RECOUNT_METRICS_USER is set and ignored. Did you mean METRICS_USER?",
		"RECOUNT_TOKEN_RATE is set and ignored. Did you mean TOKEN_RATE?"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	var all []string
	for _, name := range toolVariables {
		all = append(all, name+"=x")
	}
	for _, s := range settings {
		all = append(all, s.env+"=x")
	}
	if got := misspelt(all); len(got) != 0 {
		t.Errorf("what is read: %q", got)
	}
}

// TestDevSaysForeignSettings: a dev cluster says it too, before its nodes start.
func TestDevSaysForeignSettings(t *testing.T) {
	t.Setenv("MULTI_TENANT", "true")
	var out, said bytes.Buffer
	d := devCluster{dir: t.TempDir() + "/a\x00b", nodes: 1, basePort: 32000, stdout: &out, stderr: &said}
	if err := d.run(t.Context()); err == nil {
		t.Fatal("a directory with a NUL in its name was made")
	}
	if text := said.String(); strings.Count(text, "MULTI_TENANT is set and ignored") != 1 || strings.Count(text, "\n") != 1 {
		t.Errorf("%q", text)
	}
}
