package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/node"
)

// TestDefaults: the default of a setting is that of node.Defaults, in the form that a settings file has, and reading it
// gives the same configuration.
func TestDefaults(t *testing.T) {
	want := map[string]string{
		"new_cluster": "false", "join": "false", "pcs_profiles": "f9,py,es,go,go-fold,py-bin", "auth.required": "true",
		"auth.two_person": "false", "auth.failures": "60", "token_rate": "100", "key_rate": "0",
		"throttle_status": "429", "audit_log.max_bytes": "104857600", "audit_log.keep": "90d",
		"record_remote": "true", "max_body": "1048576", "ballast": "1073741824", "copy_rate": "33554432", "election_timeout": "2s",
		"fold_read_bytes": "524288", "tracing.protocol": "http/protobuf", "tracing.sample_ratio": "0.01",
		"tracing.client_rate": "10", "debug.block_rate": "0", "debug.mutex_fraction": "0",
	}
	empty, defaults := node.Config{}, node.Defaults()
	for _, s := range settings {
		def := s.def()
		if def != want[s.key] {
			t.Errorf("%s: default %q, want %q", s.key, def, want[s.key])
		}
		if def == "" {
			continue
		}
		if err := s.field.set(&empty, def); err != nil {
			t.Errorf("%s: the default is refused: %v", s.key, err)
		}
		if got := s.field.format(&empty); got != s.field.format(&defaults) {
			t.Errorf("%s: %q is read as %q", s.key, def, got)
		}
	}
	c, err := values{text: map[string]string{}}.nodeConfig()
	if err == nil || c.AddressRate != node.AddressFactor*defaults.TokenRate || c.AddressRate != defaults.AddressRate {
		t.Errorf("the address rate follows the token rate: %v, %v", c.AddressRate, err)
	}
}

// TestDefaultsOfThePages compares the defaults that the manual names with those of the program.
func TestDefaultsOfThePages(t *testing.T) {
	const number = `([0-9.]+(?: (?:s|MiB|GiB))?)`
	tried := map[string]int{}
	for _, page := range []string{"rate-limits", "audit-logging", "architecture", "roles", "sizing", "agents", "limits"} {
		raw, err := os.ReadFile("../../docs/" + page + ".md")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range settings {
			if s.def() == "" {
				continue
			}
			name := regexp.QuoteMeta(s.key)
			last := regexp.QuoteMeta(s.key[strings.LastIndex(s.key, ".")+1:])
			for _, form := range []string{
				"`" + name + "`, `" + s.env + "` \\| " + number,                  // a row of a table
				"`" + name + "` \\(" + number + "[,)]",                           // `election_timeout` (2 s)
				"\\| " + number + " \\| setting `" + name + "`",                  // a row of docs/limits.md
				"setting `" + name + "`, " + number,                              // setting `ballast`, 1 GiB
				number + " is the limit, unless `" + name + "`",                  // 1 MiB is the limit, unless `max_body`
				"\n +" + last + ": ([0-9a-z]+) .*; the default",                  // an example of a settings file
				"default limit of " + number + " [a-z ]+\\(`" + name + "`\\)[.]", // the default limit of 100 submissions a second
			} {
				for _, m := range regexp.MustCompile(form).FindAllStringSubmatch(string(raw), -1) {
					tried[s.key]++
					if got := plainText(t, m[1]); got != s.def() {
						t.Errorf("docs/%s.md: %q, the program has %s", page, strings.TrimSpace(m[0]), s.def())
					}
				}
			}
		}
	}
	for _, key := range []string{"token_rate", "key_rate", "audit_log.max_bytes", "audit_log.keep", "election_timeout",
		"ballast", "auth.failures", "max_body"} {
		if tried[key] == 0 {
			t.Errorf("no page names the default of %s; was the sentence changed?", key)
		}
	}
}

// plainText returns a number with a unit, as people write it, in the form of a settings file.
func plainText(t *testing.T, text string) string {
	t.Helper()
	n, unit, _ := strings.Cut(text, " ")
	size, ok := map[string]float64{"MiB": 1 << 20, "GiB": 1 << 30}[unit]
	if !ok {
		return n + unit
	}
	f, err := strconv.ParseFloat(n, 64)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(int64(f * size))
}

// TestAddressFactorOfThePage: the page on rate limits derives its numbers from the default rate.
func TestAddressFactorOfThePage(t *testing.T) {
	raw, err := os.ReadFile("../../docs/rate-limits.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("| %d times `token_rate` |", node.AddressFactor),
		fmt.Sprintf("at %d times the rate, a node reads and checks at most %s records a second", node.AddressFactor,
			thousands(int(node.Defaults().AddressRate))),
	} {
		if !strings.Contains(strings.Join(strings.Fields(string(raw)), " "), want) {
			t.Errorf("the page has no %q", want)
		}
	}
	for _, s := range settings {
		if s.key == "address_rate" && !strings.Contains(s.help, fmt.Sprintf("%d times token_rate", node.AddressFactor)) {
			t.Errorf("--help: %s", s.help)
		}
	}
}

func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
