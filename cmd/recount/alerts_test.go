package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestCommandsOfAlerts: what an alert tells its reader to type is a command of this tool.
func TestCommandsOfAlerts(t *testing.T) {
	text, err := os.ReadFile("../../deploy/prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	typed := regexp.MustCompile(`\brecount ([a-z][a-z -]*[a-z])`).FindAllStringSubmatch(string(text), -1)
	if len(typed) < 15 {
		t.Fatalf("only %d commands", len(typed))
	}
	for _, m := range typed {
		if m[1] == "audit still has all" {
			continue
		}
		words := strings.Fields(m[1])
		cmd, _, err := (&app{env: os.Getenv}).root().Find(words[:min(2, len(words))])
		if err != nil || !cmd.HasParent() {
			t.Errorf("recount %s: %v", m[1], err)
		}
	}
}
