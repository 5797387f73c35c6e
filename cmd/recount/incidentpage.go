package main

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
)

// shardCount is one line of an incident.
type shardCount struct {
	Shard   string
	Count   int
	Unknown bool
}

// compare puts unknown shards first, then those with more submissions, then by name.
func (s shardCount) compare(t shardCount) int {
	if s.Unknown != t.Unknown {
		if s.Unknown {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(t.Count, s.Count), cmp.Compare(s.Shard, t.Shard))
}

// Shards is for the page.
func (in *keyIncident) Shards() []shardCount { return in.shardsInOrder() }

// addressCount is one address of an incident.
type addressCount struct {
	Address string // "" when none was recorded
	Count   int
}

// Addresses are those that submissions came from, with more submissions first.
func (in *keyIncident) Addresses() []addressCount {
	out := make([]addressCount, 0, len(in.ByAddress))
	for _, address := range slices.Sorted(maps.Keys(in.ByAddress)) {
		out = append(out, addressCount{address, in.ByAddress[address]})
	}
	slices.SortStableFunc(out, func(x, y addressCount) int { return cmp.Compare(y.Count, x.Count) })
	return out
}

// cameFrom names the addresses that most submissions came from, for one line.
func (in *keyIncident) cameFrom() string {
	const most = 3
	var parts []string
	all := in.Addresses()
	for _, a := range all[:min(most, len(all))] {
		parts = append(parts, fmt.Sprintf("%s (%d)", cmp.Or(a.Address, "no address recorded"), a.Count))
	}
	if len(all) > most {
		parts = append(parts, fmt.Sprintf("and %d more, in the bundle", len(all)-most))
	}
	return dash(strings.Join(parts, ", "))
}

// incidentPage is the readable page of a bundle. Shard ids may be hostile: html/template escapes them.
var incidentPage = template.Must(template.New("incident").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Key {{.KeyID}} in other hands</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .2rem 1rem .2rem 0; border-bottom: 1px solid #ddd; }
.unknown { font-weight: bold; } code { background: #f4f4f4; padding: .1rem .3rem; }
</style>
<h1>Key {{.KeyID}} in other hands</h1>
<table>
<tr><th>Owner<td>{{or .Owner "not registered"}}
<tr><th>In other hands since<td>{{.Since}}
<tr><th>Revoked at event<td>{{.RevokedSeq}}
<tr><th>Signed between the two<td>{{.SignedSince}} submissions{{if .SignedSince}}, events {{.FirstSeq}} to {{.LastSeq}}{{end}}
<tr><th>Reason<td>{{.Reason}}
<tr><th>Ticket<td>{{.Ticket}}
<tr><th>Outcomes as of generation<td>{{.Generation}}{{range $name, $n := .ByOutcome}}, {{$n}} {{$name}}{{end}}
</table>
<h2>Shards</h2>
<p>{{len .UnknownShards}} of {{len .ByShard}} were not registered as expected.</p>
<table>
<tr><th>Shard<th>Submissions<th>Expected
{{range .Shards}}<tr{{if .Unknown}} class="unknown"{{end}}><td>{{.Shard}}<td>{{.Count}}<td>{{if .Unknown}}no{{else}}yes{{end}}
{{end}}</table>
<h2>Addresses</h2>
<table>
<tr><th>Came from<th>Submissions
{{range .Addresses}}<tr><td>{{or .Address "no address recorded"}}<td>{{.Count}}
{{end}}</table>
<h2>Next</h2>
<ol>{{range .Next}}<li><code>{{.}}</code>{{end}}</ol>
<p>All submissions: <a href="submissions.ndjson">submissions.ndjson</a>. The same in numbers: <a href="incident.json">incident.json</a>.</p>
</html>
`))
