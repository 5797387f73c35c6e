package chart

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// place is a pod, or an address outside of the cluster, which has no namespace.
type place struct {
	name, namespace string
	labels          labels.Set
	namespaceLabels labels.Set
	address         string
	ports           map[string]int32 // names of ports
}

// network decides as Kubernetes does which connections its policies accept.
type network []networking.NetworkPolicy

// reaches reports whether a connection may be made. Both ends have a say.
func (n network) reaches(from, to place, protocol core.Protocol, port int32) bool {
	return n.egress(from, to, protocol, port) && n.ingress(from, to, protocol, port)
}

func (n network) egress(from, to place, protocol core.Protocol, port int32) bool {
	selected := false
	for _, p := range n {
		if !selects(p, from, networking.PolicyTypeEgress) {
			continue
		}
		selected = true
		for _, rule := range p.Spec.Egress {
			if anyPeer(rule.To, p.Namespace, to) && anyPort(rule.Ports, to, protocol, port) {
				return true
			}
		}
	}
	return !selected
}

func (n network) ingress(from, to place, protocol core.Protocol, port int32) bool {
	selected := false
	for _, p := range n {
		if !selects(p, to, networking.PolicyTypeIngress) {
			continue
		}
		selected = true
		for _, rule := range p.Spec.Ingress {
			if anyPeer(rule.From, p.Namespace, from) && anyPort(rule.Ports, to, protocol, port) {
				return true
			}
		}
	}
	return !selected
}

// selects reports whether a policy is about connections of this direction of a pod.
func selects(p networking.NetworkPolicy, at place, direction networking.PolicyType) bool {
	types := p.Spec.PolicyTypes
	if len(types) == 0 { // the default of Kubernetes
		types = []networking.PolicyType{networking.PolicyTypeIngress}
		if len(p.Spec.Egress) > 0 {
			types = append(types, networking.PolicyTypeEgress)
		}
	}
	return at.namespace == p.Namespace && slices.Contains(types, direction) && matches(&p.Spec.PodSelector, at.labels)
}

func matches(s *meta.LabelSelector, set labels.Set) bool {
	selector, err := meta.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(set)
}

// anyPeer reports whether one of the peers is the place. No peers at all are everybody.
func anyPeer(peers []networking.NetworkPolicyPeer, namespace string, at place) bool {
	return len(peers) == 0 || slices.ContainsFunc(peers, func(p networking.NetworkPolicyPeer) bool {
		if p.IPBlock != nil {
			in := func(block string) bool { return netip.MustParsePrefix(block).Contains(netip.MustParseAddr(at.address)) }
			return in(p.IPBlock.CIDR) && !slices.ContainsFunc(p.IPBlock.Except, in)
		}
		inNamespace := at.namespace == namespace
		if p.NamespaceSelector != nil {
			inNamespace = at.namespace != "" && matches(p.NamespaceSelector, at.namespaceLabels)
		}
		return inNamespace && (p.PodSelector == nil || matches(p.PodSelector, at.labels))
	})
}

func anyPort(ports []networking.NetworkPolicyPort, to place, protocol core.Protocol, port int32) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(p networking.NetworkPolicyPort) bool {
		switch {
		case p.Protocol != nil && *p.Protocol != protocol, p.Protocol == nil && protocol != core.ProtocolTCP:
			return false
		case p.Port == nil:
			return true
		case p.Port.StrVal != "":
			return to.ports[p.Port.StrVal] == port
		case p.EndPort != nil:
			return p.Port.IntVal <= port && port <= *p.EndPort
		}
		return p.Port.IntVal == port
	})
}

func pod(name, namespace, address string, pairs ...string) place {
	p := place{name: name, namespace: namespace, address: address, labels: labels.Set{}}
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		p.labels[key] = value
	}
	p.namespaceLabels = labels.Set{"kubernetes.io/metadata.name": namespace, "name": namespace}
	return p
}

const (
	ofChart   = "app.kubernetes.io/name=recount"
	ofRelease = "app.kubernetes.io/instance=recount"
)

// Places that the table of policies has.
var (
	node     = pod("a node", namespace, "10.0.0.1", ofChart, ofRelease, "app.kubernetes.io/component=node")
	test     = pod("the pod of helm test", namespace, "10.0.0.2", ofChart, ofRelease, "app.kubernetes.io/component=test")
	ingress  = pod("the ingress controller", "ingress-nginx", "10.0.1.1", "app.kubernetes.io/name=ingress-nginx")
	agent    = pod("an agent in a namespace of `apiFrom`", "agents", "10.0.2.1", "app=agent")
	scraper  = pod("Prometheus", "monitoring", "10.0.3.1", "app.kubernetes.io/name=prometheus")
	grafana  = pod("another pod beside Prometheus", "monitoring", "10.0.3.2", "app.kubernetes.io/name=grafana")
	neighbor = pod("another pod of the namespace", namespace, "10.0.0.3", "app=other")
	second   = pod("a node of another release there", namespace, "10.0.0.4", ofChart, "app.kubernetes.io/instance=second",
		"app.kubernetes.io/component=node")
	stranger = pod("a pod of another namespace", "default", "10.0.4.1", "app.kubernetes.io/component=node", ofChart,
		ofRelease)
	resolver = pod("DNS of the cluster", "kube-system", "10.0.5.1", "k8s-app=kube-dns")
	outside  = place{name: "the world outside", address: "198.51.100.7"}
	kubeAPI  = place{name: "the Kubernetes API", address: "10.96.0.1"}
)

// table lists in Markdown which places reach a node, and which a node reaches.
func table(n network) string {
	var b strings.Builder
	yes := map[bool]string{true: "yes", false: "-"}
	b.WriteString("| who | 9440 clients | 9441 nodes | 9442 metrics |\n| --- | --- | --- | --- |\n")
	for _, from := range []place{node, test, ingress, agent, scraper, grafana, neighbor, second, stranger, outside} {
		fmt.Fprintf(&b, "| %s |", from.name)
		for _, port := range []int32{9440, 9441, 9442} {
			b.WriteString(" " + yes[n.reaches(from, node, core.ProtocolTCP, port)] + " |")
		}
		b.WriteString("\n")
	}
	b.WriteString("\n| a node reaches | |\n| --- | --- |\n")
	for _, to := range []struct {
		place
		protocol core.Protocol
		port     int32
	}{
		{node, core.ProtocolTCP, 9441}, {node, core.ProtocolTCP, 9440}, {resolver, core.ProtocolUDP, 53},
		{resolver, core.ProtocolTCP, 53}, {resolver, core.ProtocolTCP, 443}, {outside, core.ProtocolUDP, 53},
		{neighbor, core.ProtocolTCP, 443}, {second, core.ProtocolTCP, 9441}, {kubeAPI, core.ProtocolTCP, 443},
		{outside, core.ProtocolTCP, 443},
	} {
		fmt.Fprintf(&b, "| %s, %s %d | %s |\n", to.name, to.protocol, to.port,
			yes[n.reaches(node, to.place, to.protocol, to.port)])
	}
	return b.String()
}

// networkOf returns the policies of the chart with these values.
func networkOf(t *testing.T, text string) network {
	t.Helper()
	n := decoded[networking.NetworkPolicy](t, objects(t, render(t, values(t, text), false)), "NetworkPolicy")
	for i := range n {
		n[i].Namespace = namespace
	}
	return n
}

const agents = `
auth: {tokensSecret: {name: tokens}}
ingress: {enabled: true, hosts: [ledger.example.com]}
networkPolicy: {apiFrom: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: agents}}}]}
`

// TestPolicyTable: the table of docs/kubernetes.md agrees with the policies of its example.
func TestPolicyTable(t *testing.T) {
	got := table(networkOf(t, agents))
	t.Logf("\n%s", got)
	page, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), got) {
		t.Errorf("docs/kubernetes.md has another table than:\n%s", got)
	}
}

// TestPolicies: who reaches a node with other values.
func TestPolicies(t *testing.T) {
	everybody := []place{node, test, ingress, agent, scraper, grafana, neighbor, second, stranger, outside}
	for _, c := range []struct {
		name, values string
		port         int32
		want         []place
	}{
		{"nobody is named", "secrets-values.yaml", 9440, []place{test}},
		{"nobody is named", "secrets-values.yaml", 9441, []place{node}},
		{"nobody is named", "secrets-values.yaml", 9442, []place{scraper}},
		{"the overview", "overview-values.yaml", 9440, []place{test, ingress, scraper, grafana}},
		{"the overview", "overview-values.yaml", 9441, []place{node}},
		{"the overview", "overview-values.yaml", 9442, []place{scraper, grafana}},
		{"everything", "everything-values.yaml", 9440, []place{test, ingress, agent}},
		{"everything", "everything-values.yaml", 9441, []place{node}},
		{"no policies", "one-values.yaml", 9441, everybody},
		{"no Prometheus", agents + "\n  metricsFrom: []\n", 9442, nil},
		{"a rule for the metrics", strings.Replace(agents, "networkPolicy: {", `networkPolicy: {ingress: [{from: `+
			`[{podSelector: {matchLabels: {app: other}}}], ports: [{port: metrics}]}], `, 1), 9442, []place{scraper, neighbor}},
	} {
		values := strings.Replace(c.values, "agents}}}]}\n\n  metricsFrom: []", "agents}}}], metricsFrom: []}", 1)
		n := networkOf(t, values)
		at := node
		at.ports = map[string]int32{"api": 9440, "peer": 9441, "metrics": 9442}
		var got []string
		for _, from := range everybody {
			if n.reaches(from, at, core.ProtocolTCP, c.port) {
				got = append(got, from.name)
			}
		}
		var want []string
		for _, p := range c.want {
			want = append(want, p.name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: port %d is reached by %q, want %q", c.name, c.port, got, want)
		}
	}
}

// TestPolicyBlocks: blocks of addresses with exceptions, in both directions.
func TestPolicyBlocks(t *testing.T) {
	n := networkOf(t, "everything-values.yaml")
	for address, want := range map[string]bool{"10.8.0.9": true, "10.8.1.9": false, "10.9.0.1": false} {
		if got := n.reaches(place{address: address}, node, core.ProtocolTCP, 9440); got != want {
			t.Errorf("from %s: %t", address, got)
		}
	}
	for address, want := range map[string]bool{"192.0.2.10": true, "192.0.2.11": false} {
		if got := n.reaches(node, place{address: address}, core.ProtocolTCP, 443); got != want {
			t.Errorf("to %s: %t", address, got)
		}
	}
}
