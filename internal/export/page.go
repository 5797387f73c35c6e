package export

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"

	"github.com/recount-ledger/recount/internal/term"
	"github.com/recount-ledger/recount/wire"
)

// Bounds of the lists on the page. The files have everything.
const (
	pageShards     = 1000
	pageOperations = 1000
	mostShards     = 100_000 // counted
)

// pageData is the content of index.html.
type pageData struct {
	Manifest       *Manifest
	Keys           []wire.KeyAnswer
	Policies       []wire.PolicyAnswer
	Generations    []wire.GenerationAnswer
	Operations     []wire.OperationItem
	MoreOperations uint64
	Others         uint64 // submissions of shards that are not counted separately

	shards  map[string]*shardCounts
	reasons map[[2]string]uint64
}

// shardCounts are the submissions of one shard by outcome.
type shardCounts struct {
	Shard                                  string
	All                                    uint64
	Accepted, Escalated, Refused, Conflict uint64
}

func (p *pageData) count(i *wire.AuditItem) {
	if p.shards == nil {
		p.shards, p.reasons = map[string]*shardCounts{}, map[[2]string]uint64{}
	}
	p.reasons[[2]string{i.Outcome, i.ReasonCode}]++
	s := p.shards[i.ShardID]
	if s == nil {
		if len(p.shards) == mostShards {
			p.Others++
			return
		}
		s = &shardCounts{Shard: i.ShardID}
		p.shards[i.ShardID] = s
	}
	s.All++
	switch i.Outcome {
	case wire.OutcomeAccepted:
		s.Accepted++
	case wire.OutcomeEscalated:
		s.Escalated++
	case wire.OutcomeRefused:
		s.Refused++
	case wire.OutcomeConflict:
		s.Conflict++
	}
}

func (p *pageData) operation(i *wire.OperationItem) {
	if len(p.Operations) == pageOperations {
		p.MoreOperations++
		return
	}
	p.Operations = append(p.Operations, *i)
}

// Shards lists the shards, those with the most submissions first.
func (p *pageData) Shards() []*shardCounts {
	all := slices.Collect(maps.Values(p.shards))
	slices.SortFunc(all, func(a, b *shardCounts) int {
		return cmp.Or(cmp.Compare(b.All, a.All), cmp.Compare(a.Shard, b.Shard))
	})
	return all[:min(len(all), pageShards)]
}

// MoreShards returns the number of shards that the page omits.
func (p *pageData) MoreShards() int { return max(0, len(p.shards)-pageShards) }

// Reasons lists outcome, reason and count, the most frequent first.
func (p *pageData) Reasons() (rows [][3]string) {
	all := slices.SortedFunc(maps.Keys(p.reasons), func(a, b [2]string) int {
		return cmp.Or(cmp.Compare(p.reasons[b], p.reasons[a]), cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
	})
	for _, r := range all {
		rows = append(rows, [3]string{r[0], r[1], number(p.reasons[r])})
	}
	return rows
}

// interval is a time in which a policy was in force.
type interval struct {
	Policy string
	wire.PolicyInterval
}

// InForce lists the policies in force, in the order of the log.
func (p *pageData) InForce() (all []interval) {
	for _, policy := range p.Policies {
		for _, i := range policy.Intervals {
			all = append(all, interval{policy.ID, i})
		}
	}
	slices.SortFunc(all, func(a, b interval) int { return cmp.Compare(a.FromSeq, b.FromSeq) })
	return all
}

func (w *writer) writePage() error {
	w.page.Manifest = &w.m
	w.m.Generation = 1
	for i := range w.page.Generations { // the last one activated in or before the range
		for _, seq := range w.page.Generations[i].Activated {
			if seq <= w.m.Range.ToSeq && seq >= w.activeSince {
				w.m.Generation, w.activeSince = w.page.Generations[i].Generation, seq
			}
		}
	}
	var b bytes.Buffer
	if err := page.Execute(&b, &w.page); err != nil {
		return err
	}
	return w.file(PageFile, b.Bytes())
}

// shown makes invisible characters visible, because they could change how the page reads.
func shown(v any) string { return term.Visible(fmt.Sprint(v)) }

// about summarizes an operation: its non-empty members.
func about(a wire.OperationItem) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(a.About)) {
		if v := fmt.Sprint(a.About[name]); v != "" && v != "0" && v != "false" && v != "[]" {
			parts = append(parts, name+" "+v)
		}
	}
	return strings.Join(parts, ", ")
}

// page is index.html. It loads nothing, and escapes what records and operators wrote.
var page = template.Must(template.New("index").Funcs(template.FuncMap{"v": shown, "about": about}).Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>Export of {{v .Manifest.ClusterID}}, events {{.Manifest.Range.FromSeq}} to {{.Manifest.Range.ToSeq}}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0; border-bottom: 1px solid #ddd; overflow-wrap: anywhere; }
th { overflow-wrap: normal; } td.n { text-align: right; } code { background: #f4f4f4; padding: .1rem .3rem; overflow-wrap: anywhere; }
@media print { body { font-size: 9pt; max-width: none; margin: 0; } tr, h2 { break-inside: avoid; } h2 { break-after: avoid; } thead { display: table-header-group; } a { color: inherit; text-decoration: none; } }
</style>
{{with .Manifest}}<h1>Export of ledger {{v .ClusterID}}</h1>
<table>
<tr><th>Events<td>{{.Range.FromSeq}} to {{.Range.ToSeq}}{{if .Range.Shard}}, of these the submissions for shard <bdi>{{v .Range.Shard}}</bdi>{{else}}, all of them{{end}}
<tr><th>Log time<td>{{v .Range.FirstTime}} to {{v .Range.LastTime}}
<tr><th>Asked for<td>{{if .Range.Since}}from {{v .Range.Since}} on{{end}} {{if .Range.Until}}before {{v .Range.Until}}{{end}}{{if not (or .Range.Since .Range.Until)}}by number{{end}}
<tr><th>Last event of the ledger then<td>{{.Head}}
<tr><th>Answers of<td>generation {{.Generation}}, as they stood after event {{.Range.ToSeq}}
<tr><th>Made<td>{{v .Made.At}} by {{or (v .Made.Actor) "nobody in particular"}}{{if .Made.Role}} ({{v .Made.Role}}){{end}} with {{v .Made.Tool}}
<tr><th>Log digest at event {{.End.Seq}}<td><code>{{v .End.Log}}</code>
</table>
<h2>Counts</h2>
<table>
<thead><tr><th>Outcome<th>Submissions</thead>
{{range $name, $n := .Counts.Outcomes}}<tr><td>{{v $name}}<td class="n">{{$n}}
{{end}}<tr><td>all<td class="n">{{.Counts.Submissions}}
</table>
<p>{{.Counts.Events}} events: {{range $name, $n := .Counts.Kinds}}{{$n}} {{v $name}}; {{end}}{{.Counts.Operations}} operations.</p>
{{end}}<table>
<thead><tr><th>Outcome<th>First reason<th>Submissions</thead>
{{range .Reasons}}<tr><td>{{v (index . 0)}}<td>{{v (index . 1)}}<td class="n">{{index . 2}}
{{end}}</table>
<h2>Shards</h2>
<table>
<thead><tr><th>Shard<th>Submissions<th>Accepted<th>Escalated<th>Refused<th>Conflicts</thead>
{{range .Shards}}<tr><td><bdi>{{if .Shard}}{{v .Shard}}{{else}}(none readable){{end}}</bdi><td class="n">{{.All}}<td class="n">{{.Accepted}}<td class="n">{{.Escalated}}<td class="n">{{.Refused}}<td class="n">{{.Conflict}}
{{end}}</table>
{{if .MoreShards}}<p>And {{.MoreShards}} shards more, in <a href="records.csv">records.csv</a>.</p>{{end}}{{if .Others}}<p>{{.Others}} submissions of further shards.</p>{{end}}
<h2>Keys</h2>
<p>As the registry had them when the export was made. Of HMAC keys there is the fingerprint only.</p>
<table>
<thead><tr><th>Key<th>Status<th>Owner<th>Scope<th>Registered<th>Revoked</thead>
{{range .Keys}}<tr><td><code>{{v .KeyID}}</code><td>{{v .Status}}<td><bdi>{{v .Owner}}</bdi><td><bdi>{{range .Scope}}{{v .}} {{else}}every shard{{end}}</bdi><td>event {{.Seq}}<td>{{if .RevokedSeq}}event {{.RevokedSeq}}, since {{v .RevokedSince}}{{end}}
{{end}}</table>
<h2>Policies</h2>
<table>
<thead><tr><th>Policy<th>Published<th>By<th>Reason</thead>
{{range .Policies}}<tr><td><a href="policies/{{.ID}}.yaml"><code>{{v .ID}}</code></a>{{if .InForce}} judges new submissions{{end}}<td>event {{.Seq}}, {{v .At}}<td><bdi>{{v .Actor}}</bdi><td><bdi>{{v .Reason}}</bdi>
{{end}}</table>
<table>
<thead><tr><th>In force<th>From event<th>To event<th>By<th>Who<th>Reason</thead>
{{range .InForce}}<tr><td><code>{{printf "%.16s" .Policy}}</code><td>{{.FromSeq}}, {{v .From}}<td>{{if .ToSeq}}{{.ToSeq}}, {{v .To}}{{end}}<td>{{v .By}}<td><bdi>{{v .Actor}}</bdi><td><bdi>{{v .Reason}}</bdi>
{{end}}</table>
<table>
<thead><tr><th>Generation<th>State<th>Policy by event<th>Answered from event</thead>
{{range .Generations}}<tr><td>{{.Generation}}<td>{{v .State}}<td>{{range .Schedule}}from {{.FromSeq}} <code>{{v .Policy}}</code> {{end}}<td>{{range .Activated}}{{.}} {{else}}{{if eq .Generation 1}}1{{end}}{{end}}
{{end}}</table>
<h2>Operations</h2>
<table>
<thead><tr><th>Event<th>Time<th>Who<th>What<th>Reason</thead>
{{range .Operations}}<tr><td>{{.Seq}}<td>{{v .LogTime}}<td><bdi>{{v .Actor}}</bdi> {{v .Role}}<td>{{v .Kind}}{{if ne .Effect "applied"}} ({{v .Effect}}){{end}}<br><bdi>{{v (about .)}}</bdi><td><bdi>{{v .Reason}}</bdi> <bdi>{{v .Ticket}}</bdi>
{{else}}<tr><td colspan="5">None in the range.
{{end}}</table>
{{if .MoreOperations}}<p>And {{.MoreOperations}} more, in <a href="acts.ndjson">acts.ndjson</a>.</p>{{end}}
<h2>How to verify</h2>
<ol>
<li><code>sha256sum -c SHA256SUMS</code> in this directory: no file was changed since it was made.
<li><code>recount export verify DIR</code>: without a node it hashes every event, checks the signatures of Ed25519 keys, judges the records again and compares.{{if eq .Manifest.Range.FromSeq 1}} With <code>--recount</code> it folds the whole log again.{{end}}
<li>Compare the log digest above with what the ledger says: <code>recount digest --seq {{.Manifest.End.Seq}}</code>. All nodes must give this value.
</ol>
<p>The files: <a href="manifest.json">manifest.json</a>, <a href="events.ndjson">events.ndjson</a> (with the records byte for byte), <a href="verdicts.ndjson">verdicts.ndjson</a>, <a href="records.csv">records.csv</a>, <a href="acts.ndjson">acts.ndjson</a>, <a href="keys.json">keys.json</a>, <a href="policies.json">policies.json</a>, <a href="generations.json">generations.json</a>. docs/formats-export.md of Recount describes them.</p>
</html>
`))
