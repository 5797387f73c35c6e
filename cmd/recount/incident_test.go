package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestIncidentNamesAddresses: the page and the answer say from where the records came, the most frequent first. What a node that
// keeps no addresses received is counted too, and a hostile text stays a text.
func TestIncidentNamesAddresses(t *testing.T) {
	in := &keyIncident{ByAddress: map[string]int{"": 2, "10.0.0.7": 9, "10.0.0.8": 9, "2001:db8::1": 1, "<script>": 1}}
	if got, want := in.cameFrom(), "10.0.0.7 (9), 10.0.0.8 (9), no address recorded (2), and 2 more, in the bundle"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := (&keyIncident{}).cameFrom(); got != "-" {
		t.Errorf("nothing came from %q", got)
	}
	var page bytes.Buffer
	if err := incidentPage.Execute(&page, in); err != nil {
		t.Fatal(err)
	}
	want := "<tr><td>10.0.0.7<td>9\n<tr><td>10.0.0.8<td>9\n<tr><td>no address recorded<td>2\n<tr><td>2001:db8::1<td>1\n<tr><td>&lt;script&gt;<td>1\n"
	if !strings.Contains(page.String(), want) {
		t.Errorf("the page lacks %q: %s", want, page.String())
	}
}
