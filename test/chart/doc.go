// Package chart tests the Helm chart in deploy/helm/recount with the libraries of Helm and Kubernetes. It is a module
// of its own, so that they are no dependencies of Recount. It has no code besides its tests (make chart-test).
//
// The tests render the chart over every file in deploy/helm/recount/ci, as an installation and as an upgrade. They
// decode each object strictly, by the Go types of Kubernetes and of the Prometheus Operator, and by the CRDs of cert-
// manager and of the External Secrets Operator. They decide who may reach what as Kubernetes does with network
// policies, and let the built recount-node check and run the settings. No test needs a Kubernetes cluster, and none
// replaces one.
package chart
