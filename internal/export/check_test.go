package export

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadList: the one text of a list is read, and no other text of the same value.
func TestReadList(t *testing.T) {
	type item struct {
		A string `json:"a"`
		B []int  `json:"b,omitempty"`
	}
	for _, c := range []struct {
		text string
		want string // of the items, "" for none
		ok   bool
	}{
		{"[]\n", "", true},
		{"null\n", "", true},
		{"[\n  {\n    \"a\": \"x\"\n  }\n]\n", "[{x []}]", true},
		{"[\n  {\n    \"a\": \"x\"\n  },\n  {\n    \"a\": \"\",\n    \"b\": [\n      1,\n      2\n    ]\n  }\n]\n", "[{x []} { [1 2]}]", true},
		{"[\n  {\n    \"a\": \"\\u003c\"\n  }\n]\n", "[{< []}]", true},
		{"[\n  {\n    \"a\": \"<\"\n  }\n]\n", "", false}, // the other escape
		{"[\n  {\n    \"A\": \"x\"\n  }\n]\n", "", false}, // in capitals
		{"[\n  {\n    \"a\": \"x\",\n    \"a\": \"y\"\n  }\n]\n", "", false},
		{"[\n  {\n    \"a\": \"x\",\n    \"c\": 1\n  }\n]\n", "", false},
		{"[\n  {\n    \"b\": [\n      1\n    ],\n    \"a\": \"x\"\n  }\n]\n", "", false}, // in another order
		{"[\n  {\n    \"a\": \"x\",\n    \"b\": []\n  }\n]\n", "", false},                // what is left out when empty
		{"[\n  {}\n]\n", "", false},
		{"[{\"a\":\"x\"}]\n", "", false},
		{"[\n  {\n    \"a\": \"x\"\n  }\n]", "", false},
		{"[\n  {\n    \"a\": \"x\"\n  }\n]\n\n", "", false},
		{"[\n  {\n    \"a\": \"x\"\n  }\n]\n[]\n", "", false},
		{" []\n", "", false},
		{"[ ]\n", "", false},
		{"{}\n", "", false},
		{"\"a\"\n", "", false},
		{"7\n", "", false},
		{"[\n  7\n]\n", "", false},
		{"[\n  null\n]\n", "", false},
		{"[\n  {\n    \"a\": \"x\"\n  },\n]\n", "", false},
		{"[\n  {\n    \"a\": \"x\"\n  }\n", "", false},
		{"", "", false},
		{"\ufeff[]\n", "", false},
		{"[\r\n]\r\n", "", false},
	} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "list.json"), []byte(c.text), 0o600))
		got, err := readList[item](&checker{dir: dir}, "list.json")
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", c.text, err)
		}
		if err == nil && c.want != "" && fmt.Sprint(got) != c.want {
			t.Errorf("%q: %v, want %s", c.text, got, c.want)
		}
	}
}

// TestKnownFile: an export has these files, and a manifest that lists another one is none.
func TestKnownFile(t *testing.T) {
	id := strings.Repeat("0af9", 16)
	for name, want := range map[string]bool{
		EventsFile: true, PageFile: true, KeysFile: true,
		ManifestFile: false, SumsFile: false, "": false, "x": false, "../keys.json": false, "/keys.json": false,
		"policies": false, "policies/": false, "policies/.json": false, "policies/x.json": false,
		"policies/" + id + ".json": true, "policies/" + id + ".yaml": true,
		"policies/" + id:                            false,
		"policies/" + id + ".yml":                   false,
		"policies/" + id + ".json~":                 false,
		"policies/" + strings.ToUpper(id) + ".json": false,
		"policies/" + id[1:] + ".json":              false,
		"policies/../" + id + ".json":               false,
		"other/" + id + ".json":                     false,
		id + ".json":                                false,
		"policies/" + id + "/x.json":                false,
		"policies\\" + id + ".json":                 false,
	} {
		if got := knownFile(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}
