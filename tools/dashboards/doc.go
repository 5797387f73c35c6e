// Command dashboards writes the Grafana dashboards of deploy/grafana: go run . -out DIR, or make dashboards.
//
// A dashboard is a table of rows and panels in a file of its own (operator.go, ingest.go, recount.go, incident.go, node.go).
// A panel asks Prometheus, has a unit, and says what to do when it looks wrong. build.go makes Grafana's JSON of the tables with
// the foundation SDK of Grafana, which is why this is a module of its own: nothing of Recount depends on it.
//
// Expressions have short forms. {J} stands for {job="$job"}, the cluster that was chosen, {N} for its chosen nodes, and both go
// with more labels, as in {J,outcome="error"}. [R] is a range that fits the resolution of the panel and the scrape interval.
//
// Expressions stand on the metrics alone, not on recording rules, so a dashboard works on every Prometheus that scrapes the nodes.
package main
