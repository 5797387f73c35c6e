package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// TestForeignSettings: every variable of the predecessor that counts for nothing is said once, with what to do instead, and
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
		if !strings.HasPrefix(got[i], s.env+" is set and counts for nothing: ") || strings.Contains(got[i], "\n") {
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

// TestDevSaysForeignSettings: a dev cluster says it too, before its nodes start.
func TestDevSaysForeignSettings(t *testing.T) {
	t.Setenv("MULTI_TENANT", "true")
	var out, said bytes.Buffer
	d := devCluster{dir: t.TempDir() + "/a\x00b", nodes: 1, basePort: 32000, stdout: &out, stderr: &said}
	if err := d.run(t.Context()); err == nil {
		t.Fatal("a directory with a NUL in its name was made")
	}
	if text := said.String(); strings.Count(text, "MULTI_TENANT is set and counts for nothing") != 1 || strings.Count(text, "\n") != 1 {
		t.Errorf("%q", text)
	}
}
