package chart

import (
	"strings"
	"testing"
)

// TestRefused: values that would harm a cluster, leak a secret or work in another way than they look are refused, and
// the text names the next step.
func TestRefused(t *testing.T) {
	const auth = "auth: {tokensSecret: {name: recount-shared}}\n"
	for _, c := range []struct{ values, want string }{
		// Members.
		{auth + "replicas: 4", "nobody invited a node for recount-3. Invite it (recount cluster invite recount-3)"},
		{auth + "replicas: 2", "the member recount-2 would stop, and the others would miss its vote. Remove it first"},
		{auth + "joined: [{ordinal: 3, tokenSecret: j}]", "the member recount-3 would stop"},
		{auth + "replicas: 5\njoined: [{ordinal: 4, tokenSecret: j}]", "nobody invited a node for recount-3"},
		{auth + "removed: [recount-2]", "removed: recount-2 still has its pod recount-2"},
		{auth + "joined: [{ordinal: 1, tokenSecret: j}]",
			"recount-1 lost its id with its volume. Give the node at ordinal 1 a new id"},
		{auth + "joined: [{ordinal: 1, id: recount-0, tokenSecret: j}]", "the id recount-0 is used twice"},
		{auth + "replicas: 4\njoined: [{ordinal: 3, id: x, tokenSecret: j}, {ordinal: 1, id: x, tokenSecret: k}]",
			"the id x is used twice"},
		{auth + "replicas: 4\njoined: [{ordinal: 3, tokenSecret: j}, {ordinal: 3, id: other, tokenSecret: k}]",
			"two nodes have the ordinal 3"},
		{auth + "replicas: 4\njoined: [{ordinal: 3, tokenSecret: j}]\nremoved: [recount-3]", "draw another id"},
		{auth + "replicas: 4\njoined: [{ordinal: 3, tokenSecret: j}]\nnewCluster: true",
			"a node that lost its volume must not found another one"},
		{auth + "replicas: 4\njoined: [{ordinal: 3}]", "missing property 'tokenSecret'"},
		{auth + "founders: 2", "'/founders': value must be one of 1, 3, 5"},
		{auth + "replicas: 0", "'/replicas': minimum: got 0, want 1"},
		{auth + "replicas: three", "'/replicas': got string, want integer"},
		{auth + "newCluster: maybe", "'/newCluster': value must be one of"},
		{auth + "clusterID: my ledger", "'/clusterID'"},
		// Secrets.
		{auth + "signing: {hmacKey: mysecret}", "signing.hmacKey: a key in the values is readable in every release"},
		{auth + "settings: {pcs_hmac_keys: a}", "settings.pcs_hmac_keys: the chart writes this setting, or it is a secret"},
		{auth + "settings: {metrics_pass: a}", "settings.metrics_pass"},
		{auth + "settings: {new_cluster: true}", "settings.new_cluster: the chart writes this setting"},
		{"{}", "nobody could read the ledger or act on it. Name the Secret with the file tokens"},
		{"mtls: {enabled: true, certSecretName: c}\n" + auth, "mtls.caSecretName: mTLS needs the Secret with ca.crt"},
		{auth + "externalSecrets: {enabled: true}", "from which store are the secrets?"},
		{auth + "signing: {alg: rsa}", "'/signing/alg': value must be one of"},
		// Network.
		{auth + "networkPolicy: {ingress: [{ports: [{port: 9440}]}]}", "a rule without from lets everybody in"},
		{auth + "networkPolicy: {ingress: [{from: []}]}", "a rule without from lets everybody in"},
		{auth + "networkPolicy: {ingress: [{from: [{podSelector: {}}], ports: [{port: 9441}]}]}", "Only nodes reach 9441"},
		{auth + "networkPolicy: {ingress: [{from: [{podSelector: {}}], ports: [{port: peer}]}]}", "Only nodes reach 9441"},
		{auth + "networkPolicy: {ingress: [{from: [{podSelector: {}}], ports: [{protocol: TCP}]}]}", "Only nodes reach 9441"},
		{auth + "networkPolicy: {ingress: [{from: [{podSelector: {}}], ports: [{port: 9440, endPort: 9450}]}]}",
			"Only nodes reach 9441"},
		{auth + "networkPolicy: {apiFrom: [{}]}", "'/networkPolicy/apiFrom/0': minProperties: got 0, want 1"},
		{auth + "ingress: {enabled: true}", "ingress: for which host?"},
		{auth + "networkPolicies: {enabled: false}", "additional properties 'networkPolicies' not allowed"},
		// Metrics.
		{auth + "metrics: {serviceMonitor: {enabled: true}}", "Prometheus needs a token of the role metrics"},
		{auth + "metrics: {serviceMonitor: {enabled: true, tokenSecret: {name: m}}}", "Prometheus needs the authority"},
		{auth + "metrics: {serviceMonitor: {job: ledger}}", "'/metrics/serviceMonitor/job'"},
		// Pods.
		{auth + "image: {tag: latest}", "'/image/tag': 'not' failed"},
		{auth + "image: {digest: sha256:abc}", "'/image/digest'"},
		{auth + "userID: 0", "'/userID': minimum: got 0, want 1"},
		{auth + "persistence: {size: lots}", "'/persistence/size'"},
		{auth + "persistence: {accessModes: [ReadWriteMany]}", "'/persistence/accessModes/0': value must be one of"},
		{auth + "terminationGracePeriodSeconds: 5", "'/terminationGracePeriodSeconds': minimum: got 5, want 30"},
	} {
		_, err := tryRender(values(t, c.values), false)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\nrefused with %v\nwant %q", c.values, err, c.want)
		}
	}
}
