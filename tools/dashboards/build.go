package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/heatmap"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// source is the variable that names the Prometheus.
var source = common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${source}")}

// tag is on every dashboard of Recount.
const tag = "recount"

// firing are the alerts of the chosen cluster, and those about canaries and backups, which have the job of another exporter or none.
const firing = `ALERTS{alertname=~"Recount.*",alertstate="firing",job="$job"} or ` +
	`ALERTS{alertname=~"Recount.*",alertstate="firing",job!~"recount|recount-.*"}`

// render returns the JSON of a dashboard as it is committed.
func render(b board) ([]byte, error) {
	d := dashboard.NewDashboardBuilder(b.title).Uid(tag+"-"+b.file).Description(b.help).Tags([]string{tag}).
		Time("now-3h", "now").Refresh("30s").Timezone("browser").Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Variables(variables(b.nodes)).
		Annotation(dashboard.NewAnnotationQueryBuilder().Name("alerts").Datasource(source).Enable(true).IconColor(red).
			Expr(firing).TitleFormat("{{alertname}}").TextFormat("{{instance}}")).
		Link(dashboard.NewDashboardLinkBuilder("Recount").Type(dashboard.DashboardLinkTypeDashboards).Tags([]string{tag}).
			IncludeVars(true).KeepTime(true))
	id := uint32(0)
	for _, r := range b.rows {
		id++
		d.WithRow(dashboard.NewRowBuilder(r.title).Id(id))
		for _, p := range r.panels {
			id++
			d.WithPanel(p.build(id))
		}
	}
	built, err := d.Build()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.file, err)
	}
	raw, err := json.Marshal(built)
	if err != nil {
		return nil, err
	}
	return plain(raw)
}

// plain indents JSON and writes < and > as they are, so that a person can read the expressions.
func plain(raw []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return out.Bytes(), err
}

func variables(nodes choice) []cog.Builder[dashboard.VariableModel] {
	list := []cog.Builder[dashboard.VariableModel]{
		dashboard.NewDatasourceVariableBuilder("source").Label("Prometheus").Type("prometheus"),
		labels("job", "Cluster", `label_values(up{job=~"recount|recount-.*"}, job)`),
	}
	one := labels("instance", "Node", `label_values(up{job="$job"}, instance)`)
	switch nodes {
	case someNodes:
		list = append(list, one.Multi(true).IncludeAll(true).AllValue(".*"))
	case oneNode:
		list = append(list, one)
	}
	return list
}

func labels(name, label, query string) *dashboard.QueryVariableBuilder {
	return dashboard.NewQueryVariableBuilder(name).Label(label).Datasource(source).Definition(query).
		Query(dashboard.StringOrMap{String: &query}).Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Sort(dashboard.VariableSortAlphabeticalAsc)
}

func (p panel) targets() (list []cog.Builder[prometheusQuery]) {
	for i, q := range p.ask {
		b := prometheus.NewDataqueryBuilder().Expr(full(q.expr)).LegendFormat(q.legend).RefId(string(rune('A' + i))).Range()
		if p.kind == heat {
			b.Format(prometheus.PromQueryFormatHeatmap)
		}
		list = append(list, b)
	}
	return list
}

func (p panel) thresholds() cog.Builder[dashboard.ThresholdsConfig] {
	steps := []dashboard.Threshold{{Color: green}}
	for i, s := range p.steps {
		if i == 0 {
			steps[0].Color = s.color
			continue
		}
		steps = append(steps, dashboard.Threshold{Value: cog.ToPtr(s.from), Color: s.color})
	}
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps)
}

func (p panel) mappings() []dashboard.ValueMapping {
	if len(p.words) == 0 {
		return nil
	}
	m := dashboard.NewValueMap()
	for value, w := range p.words {
		m.Options[value] = dashboard.ValueMappingResult{Text: cog.ToPtr(w.text), Color: cog.ToPtr(w.color)}
	}
	return []dashboard.ValueMapping{{ValueMap: m}}
}

func (p panel) build(id uint32) cog.Builder[dashboard.Panel] {
	switch p.kind {
	case number:
		return p.number(id)
	case states:
		return statetimeline.NewPanelBuilder().Id(id).Title(p.title).Description(p.help).Datasource(source).Height(6).
			Span(p.width).Unit(p.unit).Targets(p.targets()).Thresholds(p.thresholds()).Mappings(p.mappings()).
			MergeValues(true).ShowValue(common.VisibilityModeAuto)
	case heat:
		return heatmap.NewPanelBuilder().Id(id).Title(p.title).Description(p.help).Datasource(source).Height(8).
			Span(p.width).Unit(p.unit).Targets(p.targets()).Calculate(false).
			YAxis(heatmap.NewYAxisConfigBuilder().Unit(p.unit))
	}
	return p.lines(id)
}

func (p panel) number(id uint32) cog.Builder[dashboard.Panel] {
	return stat.NewPanelBuilder().Id(id).Title(p.title).Description(p.help).Datasource(source).Height(4).Span(p.width).
		Unit(p.unit).Targets(p.targets()).Thresholds(p.thresholds()).Mappings(p.mappings()).
		ColorMode(common.BigValueColorModeBackground).GraphMode(common.BigValueGraphModeNone).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}))
}

func (p panel) lines(id uint32) cog.Builder[dashboard.Panel] {
	b := timeseries.NewPanelBuilder().Id(id).Title(p.title).Description(p.help).Datasource(source).Height(8).
		Span(p.width).Unit(p.unit).Targets(p.targets()).Thresholds(p.thresholds()).ShowPoints(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).DisplayMode(common.LegendDisplayModeList).
			Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
	if len(p.steps) > 0 {
		b.ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeDashed))
	}
	if !p.signed {
		b.Min(0)
	}
	if p.kind == stack {
		b.FillOpacity(40).Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal))
	}
	return b
}
