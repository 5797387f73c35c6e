{{/* Combinations of values that would harm a cluster, or could not work. The schema has refused everything else. */}}
{{- define "recount.refuse" -}}
{{- $pods := .Values.replicas | int -}}
{{- $founders := .Values.founders | int -}}
{{- $full := include "recount.fullname" . -}}
{{- $known := dict -}}
{{- range $i := until $founders -}}{{- $_ := set $known (toString $i) (printf "%s-%d" $full $i) -}}{{- end -}}
{{- $ids := dict -}}
{{- range .Values.joined -}}
{{- $ordinal := .ordinal | int -}}
{{- $pod := printf "%s-%d" $full $ordinal -}}
{{- $id := get . "id" | default $pod -}}
{{- if and (lt $ordinal $founders) (eq $id $pod) -}}
{{- fail (printf "joined: the founder %s lost its id with its volume. Give the node at ordinal %d a new id, such as %s-b, and invite it: recount cluster invite %s-b" $id $ordinal $id $id) -}}
{{- end -}}
{{- if or (hasKey $ids $id) (and (has $id (values $known)) (ne $id (get $known (toString $ordinal)))) -}}
{{- fail (printf "joined: the id %s is used twice. An id is never used again: draw another one" $id) -}}
{{- end -}}
{{- if has $id $.Values.removed -}}
{{- fail (printf "joined: %s is in removed, too. A node that was removed never comes back: draw another id" $id) -}}
{{- end -}}
{{- $_ := set $ids $id true -}}
{{- if and (hasKey $known (toString $ordinal)) (ge $ordinal $founders) -}}
{{- fail (printf "joined: two nodes have the ordinal %d. Leave out the one that was removed" $ordinal) -}}
{{- end -}}
{{- $_ := set $known (toString $ordinal) $id -}}
{{- end -}}
{{- range $i := until $pods -}}
{{- if not (hasKey $known (toString $i)) -}}
{{- fail (printf "replicas: %d pods, and nobody invited a node for %s-%d. Invite it (recount cluster invite %s-%d), put its join token into a Secret, and add it to joined; docs/kubernetes.md, section \"Add a node\"" $pods $full $i $full $i) -}}
{{- end -}}
{{- end -}}
{{- range $ordinal, $id := $known -}}
{{- if and (ge ($ordinal | int) $pods) (not (has $id $.Values.removed)) -}}
{{- fail (printf "replicas: with %d pods the member %s would stop, and the others would miss its vote. Remove it first (recount cluster remove %s), and then add it to removed" $pods $id $id) -}}
{{- end -}}
{{- if and (lt ($ordinal | int) $pods) (has $id $.Values.removed) -}}
{{- fail (printf "removed: %s still has its pod %s-%s. Lower replicas, or let another node take its place: joined" $id $full $ordinal) -}}
{{- end -}}
{{- end -}}
{{- if and (eq (.Values.newCluster | toString) "true") (or .Values.joined .Values.removed) -}}
{{- fail "newCluster: joined and removed name members of a cluster that runs. Say false: a node that lost its volume must not found another one" -}}
{{- end -}}
{{- include "recount.refuseSecrets" . -}}
{{- include "recount.refuseNetwork" . -}}
{{- end -}}

{{- define "recount.refuseSecrets" -}}
{{- range list "hmacKey" "hmacKeys" -}}
{{- if hasKey $.Values.signing . -}}
{{- fail (printf "signing.%s: a key in the values is readable in every release and backup of them. Put it into a Secret, and name that: signing.existingSecret" .) -}}
{{- end -}}
{{- end -}}
{{- if and (not .Values.auth.tokensSecret.name) (not (and .Values.mtls.enabled .Values.mtls.caSecretName)) -}}
{{- fail "auth.tokensSecret.name: nobody could read the ledger or act on it. Name the Secret with the file tokens of recount-node config init, or set mtls.enabled and mtls.caSecretName" -}}
{{- end -}}
{{- if and .Values.mtls.enabled (not .Values.mtls.caSecretName) -}}
{{- fail "mtls.caSecretName: mTLS needs the Secret with ca.crt, the authority of client certificates" -}}
{{- end -}}
{{- if and .Values.externalSecrets.enabled (not .Values.externalSecrets.secretStoreRef.name) -}}
{{- fail "externalSecrets.secretStoreRef.name: from which store are the secrets? Name a SecretStore or ClusterSecretStore" -}}
{{- end -}}
{{- range list "node_id" "cluster_id" "dir" "new_cluster" "join" "join_token_file" "api" "peer" "voters" "metrics" "pid_file" "pcs_hmac_key" "pcs_hmac_keys" "metrics_pass" -}}
{{- if hasKey $.Values.settings . -}}
{{- fail (printf "settings.%s: the chart writes this setting, or it is a secret. Take it out, and use the values for members, certificates and secrets" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "recount.refuseNetwork" -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) (not .Values.ingress.tls) -}}
{{- fail "ingress: for which host? Give hosts, or tls with its hosts" -}}
{{- end -}}
{{- range .Values.networkPolicy.ingress -}}
{{- if not (get . "from") -}}
{{- fail "networkPolicy.ingress: a rule without from lets everybody in. Name who may: from: [{namespaceSelector: ...}]" -}}
{{- end -}}
{{- range get . "ports" | default list -}}
{{- $port := get . "port" | toString -}}
{{- if or (not (get . "port")) (get . "endPort") (and (ne $port "9440") (ne $port "9442") (ne $port "api") (ne $port "metrics")) -}}
{{- fail (printf "networkPolicy.ingress: port %s. Rules of others are for 9440 (clients) and 9442 (metrics). Only nodes reach 9441" ($port | replace "<nil>" "(all)")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.metrics.serviceMonitor -}}
{{- if and .enabled (not .tokenSecret.name) -}}
{{- fail "metrics.serviceMonitor.tokenSecret.name: Prometheus needs a token of the role metrics: recount token create --role metrics --name prometheus" -}}
{{- end -}}
{{- if and .enabled (not .caSecret.name) (not $.Values.certManager.enabled) -}}
{{- fail "metrics.serviceMonitor.caSecret.name: Prometheus needs the authority of the certificates for clients, api-ca.crt, in a Secret" -}}
{{- end -}}
{{- end -}}
{{- end -}}
