package incident

import (
	"html/template"
	"io"

	"github.com/recount-ledger/recount/internal/term"
)

// mostRows bounds the shards, addresses, policies and operations that a page lists. incident.json has all.
const mostRows = 500

// pages has a template for each kind of report. Text from records, agents or operators may be hostile:
// html/template escapes it, shown makes invisible characters visible, and the policy in the head forbids
// scripts and everything else that a browser would fetch.
var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"shown": term.Visible,
	"some":  func(n int) int { return min(n, mostRows) },
	"left":  func(n int) int { return max(n-mostRows, 0) },
}).Parse(pageParts + keyPage + bypassPage))

// WritePage writes the page of a report.
func (k *Key) WritePage(w io.Writer) error { return pages.ExecuteTemplate(w, "key", k) }

// WritePage writes the page of a report.
func (b *Bypass) WritePage(w io.Writer) error { return pages.ExecuteTemplate(w, "bypass", b) }

const pageParts = `{{define "head"}}<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width">
<title>{{shown .}}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; color: #111; background: #fff; }
table { border-collapse: collapse; } th, td { text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0; border-bottom: 1px solid #ddd; }
td { overflow-wrap: anywhere; } td.n { text-align: right; } .unknown { font-weight: bold; }
code { background: #f4f4f4; padding: .1rem .3rem; overflow-wrap: anywhere; }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif; } svg line { stroke: #999; }
.c0 { fill: #c0392b; background: #c0392b; } .c1 { fill: #1f77b4; background: #1f77b4; } .c2 { fill: #e0a100; background: #e0a100; }
.c3 { fill: #2a7a3f; background: #2a7a3f; } .c4 { fill: #7d4ea8; background: #7d4ea8; } .c5 { fill: #888; background: #888; }
.key { display: inline-block; width: .8em; height: .8em; margin-right: .3em; } .legend span { margin-right: 1.5em; }
@media print {
  body { font-size: 10pt; max-width: none; margin: 0; padding: 0; } h2 { break-after: avoid; } tr, svg { break-inside: avoid; }
  .c0, .c1, .c2, .c3, .c4, .c5 { print-color-adjust: exact; -webkit-print-color-adjust: exact; } code { background: none; padding: 0; }
  a { color: inherit; text-decoration: none; } @page { margin: 18mm; }
}
</style>
</head>
<body>
{{end}}

{{define "origin"}}<tr><th>Cluster<td>{{shown .ClusterID}}{{with .Cluster}} ({{shown .}}){{end}}
<tr><th>Written by<td>{{if .Author}}{{shown .Author}}{{else}}nobody known: the nodes want no credentials{{end}}{{with .Role}}, {{shown .}}{{end}}{{with .Credential}}, {{shown .}}{{end}}
<tr><th>Written at<td>{{shown .WrittenAt}}
<tr><th>Log up to event {{.LogSeq}}<td><code>{{shown .LogDigest}}</code>
<tr><th>Reason<td>{{shown .Reason}}
<tr><th>Ticket<td>{{shown .Ticket}}
{{end}}

{{define "plot"}}{{with $p := .Plot}}<h2>Submissions per {{.Per}}, by log time</h2>
<svg viewBox="0 0 {{.Width}} {{.Height}}" role="img" aria-label="Submissions per {{.Per}} by outcome">
<line x1="{{.Left}}" y1="{{.Foot}}" x2="{{.Width}}" y2="{{.Foot}}"/><line x1="{{.Left}}" y1="8" x2="{{.Left}}" y2="{{.Foot}}"/>
{{range .Ticks}}<text x="40" y="{{.At}}" text-anchor="end" dominant-baseline="middle">{{.Label}}</text>
{{end}}{{range .Bars}}<rect class="c{{.Color}}" x="{{printf "%.2f" .X}}" y="{{printf "%.2f" .Y}}" width="{{printf "%.2f" .Width}}" height="{{printf "%.2f" .Height}}"><title>{{.Title}}</title></rect>
{{end}}{{range $i, $d := .Dates}}<text x="{{$d.At}}" y="{{$p.Below}}"{{if $i}} text-anchor="end"{{end}}>{{$d.Label}}</text>
{{end}}</svg>
<p class="legend">{{range .Legend}}<span><span class="key c{{.Color}}"></span>{{shown .Outcome}}: {{.Count}}</span> {{end}}</p>
{{end}}{{end}}

{{define "shards"}}<h2>Shards</h2>
<p>{{len .UnknownShards}} of {{len .Shards}} were not registered as known.</p>
<table>
<tr><th>Shard<th>Submissions<th>Known<th>First<th>Last
{{range $i, $s := .Shards}}{{if lt $i (some (len $.Shards))}}<tr{{if not .Known}} class="unknown"{{end}}><td>{{shown .ShardID}}<td class="n">{{.Submissions}}<td>{{if .Known}}yes{{else}}no{{end}}<td>event {{.FirstSeq}}, {{shown .FirstAt}}<td>event {{.LastSeq}}, {{shown .LastAt}}
{{end}}{{end}}</table>
{{with left (len .Shards)}}<p>And {{.}} more, in incident.json.</p>
{{end}}<h2>Addresses</h2>
{{$all := .Addresses}}<table>
<tr><th>Came from<th>Submissions
{{range $i, $a := $all}}{{if lt $i (some (len $all))}}<tr><td>{{if .Address}}{{shown .Address}}{{else}}no address recorded{{end}}<td class="n">{{.Count}}
{{end}}{{end}}</table>
{{with left (len $all)}}<p>And {{.}} more, in incident.json.</p>
{{end}}{{end}}

{{define "next"}}{{if .Next}}<h2>Next</h2>
<ol>{{range .Next}}<li><code>{{shown .}}</code>{{end}}</ol>
{{end}}{{end}}
`

const keyPage = `{{define "key"}}{{template "head" (print "Compromised key " .KeyID)}}<h1>Compromised key {{shown .KeyID}}</h1>
<table>
<tr><th>Owner<td>{{if .Owner}}{{shown .Owner}}{{else}}not registered{{end}}
<tr><th>Compromised since<td>{{shown .Since}}
<tr><th>Revoked at event<td>{{.RevokedSeq}}
<tr><th>Signed between the two<td>{{.SignedSince}} submissions{{if .SignedSince}}, events {{.FirstSeq}} to {{.LastSeq}}{{end}}
<tr><th>Outcomes as of generation<td>{{.Generation}}{{range $name, $n := .ByOutcome}}, {{$n}} {{shown $name}}{{end}}
{{with .Hindsight}}<tr><th>Recounted without them<td>generation {{.}}
{{end}}{{template "origin" .}}</table>
{{template "plot" .}}{{template "shards" .}}{{template "next" .}}<p>All submissions: <a href="submissions.ndjson">submissions.ndjson</a>. The same in numbers: <a href="incident.json">incident.json</a>.</p>
</body>
</html>
{{end}}
`

const bypassPage = `{{define "bypass"}}{{template "head" "Verification bypass"}}<h1>Verification bypass</h1>
<table>
<tr><th>State<td>{{shown .State}}
{{range .Canaries}}<tr><th>Canaries<td>{{.LetThrough}} of {{.Sent}} let through, {{.Refused}} refused, {{.Frozen}} stopped only by the freeze, {{.NoAnswer}} without an answer, {{shown .At}}
{{end}}{{with .Freeze}}<tr><th>Frozen after event<td>{{.Seq}}, {{shown .At}}: {{shown .Reason}}
{{end}}{{with .Fix}}<tr><th>Fixed by policy<td><code>{{shown .}}</code>
{{end}}{{range .Dangers}}<tr><th>Its danger<td>{{shown .}}
{{end}}{{with .Diff}}<tr><th>Recounted<td>generation {{.Generation}} against {{.Against}} up to event {{.Position}}: {{.Events}} submissions, {{.Flips}} change, {{.Direct}} directly, {{.Indirect}} behind another one
<tr><th>Digest of that<td><code>{{shown .Digest}}</code>
{{end}}{{range $name, $n := .ByOutcome}}<tr><th>{{shown $name}}<td>{{$n}}
{{end}}{{template "origin" .}}</table>
{{if .Shards}}{{template "plot" .}}{{template "shards" .}}{{end}}<h2>Policies</h2>
<table>
<tr><th>Policy<th>In force<th>Published<th>By<th>Reason
{{range $i, $p := .Policies}}{{if lt $i (some (len $.Policies))}}<tr><td><code>{{shown .ID}}</code><td>{{if .InForce}}yes{{else}}no{{end}}<td>event {{.Seq}}, {{shown .At}}<td>{{shown .Actor}}<td>{{shown .Reason}}
{{end}}{{end}}</table>
{{with left (len .Policies)}}<p>And {{.}} more, in incident.json.</p>
{{end}}<h2>What operators did</h2>
<table>
<tr><th>Event<th>At<th>Who<th>What<th>Reason<th>Ticket
{{range $i, $a := .Operations}}{{if lt $i (some (len $.Operations))}}<tr><td class="n">{{.Seq}}<td>{{shown .At}}<td>{{shown .Actor}}<td>{{shown .What}}<td>{{shown .Reason}}<td>{{shown .Ticket}}
{{end}}{{end}}</table>
{{with left (len .Operations)}}<p>And {{.}} more, in incident.json.</p>
{{end}}{{template "next" .}}<p>{{if .Diff}}The submissions that change: <a href="submissions.ndjson">submissions.ndjson</a>, and how: <a href="flips.ndjson">flips.ndjson</a>. {{end}}The same in numbers: <a href="incident.json">incident.json</a>.</p>
</body>
</html>
{{end}}
`
