{{/* The nodes, one for each pod, as JSON: ordinal, pod, id, host, and the Secret of the token of one that joined. */}}
{{- define "recount.list" -}}
{{- $nodes := list -}}
{{- range $i := until (.Values.replicas | int) -}}
{{- $pod := printf "%s-%d" (include "recount.fullname" $) $i -}}
{{- $host := printf "%s.%s" $pod (include "recount.domain" $) -}}
{{- $node := dict "ordinal" $i "pod" $pod "id" $pod "host" $host "tokenSecret" "" -}}
{{- range $.Values.joined -}}
{{- if eq (.ordinal | int) $i -}}
{{- $_ := set $node "id" (get . "id" | default $pod) -}}
{{- $_ := set $node "tokenSecret" .tokenSecret -}}
{{- $_ := set $node "tokenKey" (get . "tokenKey" | default "token") -}}
{{- end -}}
{{- end -}}
{{- $nodes = append $nodes $node -}}
{{- end -}}
{{- dict "nodes" $nodes | toJson -}}
{{- end -}}

{{/* Whether founders with an empty volume found a cluster: "true" or nothing. */}}
{{- define "recount.founding" -}}
{{- $new := .Values.newCluster | toString -}}
{{- $first := or (eq $new "true") (and (eq $new "auto") .Release.IsInstall) -}}
{{- if and $first (not .Values.joined) (not .Values.removed) -}}
true
{{- end -}}
{{- end -}}

{{/* The settings that all nodes have, as YAML. */}}
{{- define "recount.common" -}}
{{- $s := deepCopy .Values.settings -}}
{{- $_ := set $s "cluster_id" .Values.clusterID -}}
{{- $_ := set $s "dir" "/var/lib/recount" -}}
{{- $api := dict "listen" ":9440" -}}
{{- if .Values.mtls.enabled -}}
{{- $_ := set $api "client_ca_file" "/run/secrets/client-trust.crt" -}}
{{- end -}}
{{- $_ := set $s "api" $api -}}
{{- $_ := set $s "peer" (dict "listen" ":9441") -}}
{{- $_ := set $s "metrics" (dict "listen" ":9442") -}}
{{- if .Values.auth.tokensSecret.name -}}
{{- $_ := set $s "auth" (merge (dict "tokens_file" "/run/secrets/tokens") (get $s "auth" | default dict)) -}}
{{- end -}}
{{- if .Values.checkpointKey.secretName -}}
{{- $_ := set $s "checkpoint_key_file" "/run/secrets/checkpoint.key" -}}
{{- end -}}
{{- with .Values.signing -}}
{{- if .alg -}}{{- $_ := set $s "pcs_sign_alg" .alg -}}{{- end -}}
{{- if and .existingSecret .hmacSecretKey -}}{{- $_ := set $s "pcs_hmac_keys_file" "/run/secrets/hmac.keys" -}}{{- end -}}
{{- if and .existingSecret .ed25519SecretKey -}}
{{- $_ := set $s "pcs_ed25519_pub_b64_file" "/run/secrets/agents.pub" -}}
{{- end -}}
{{- end -}}
{{- toYaml $s -}}
{{- end -}}

{{/* The settings of one node, as YAML: a dict with root, node and nodes. */}}
{{- define "recount.settings" -}}
{{- $s := include "recount.common" .root | fromYaml -}}
{{- $node := .node -}}
{{- $founders := .root.Values.founders | int -}}
{{- $own := printf "/run/secrets/%s" $node.id -}}
{{- $_ := set $s "node_id" $node.id -}}
{{- $shared := and .root.Values.mtls.enabled .root.Values.mtls.certSecretName -}}
{{- $at := ternary "/run/secrets/shared" $own (not (empty $shared)) -}}
{{- $api := dict "cert_file" (printf "%s/api.crt" $at) "key_file" (printf "%s/api.key" $at) -}}
{{- $_ := set $s "api" (merge $s.api $api) -}}
{{- $peer := dict "ca_file" (printf "%s/peer-trust.crt" $own) -}}
{{- $_ := set $peer "cert_file" (printf "%s/peer.crt" $own) -}}
{{- $_ := set $peer "key_file" (printf "%s/peer.key" $own) -}}
{{- $_ := set $s "peer" (merge $s.peer $peer) -}}
{{- if $node.tokenSecret -}}
{{- $_ := set $s "join" true -}}
{{- $_ := set $s "join_token_file" (printf "%s/join.token" $own) -}}
{{- else if include "recount.founding" .root -}}
{{- $_ := set $s "new_cluster" true -}}
{{- end -}}
{{- $voters := list -}}
{{- range .nodes -}}
{{- if or $node.tokenSecret (lt (.ordinal | int) $founders) -}}
{{- $voter := dict "id" .id "peer" (printf "%s:9441" .host) "api" (printf "https://%s:9440" .host) -}}
{{- $voters = append $voters $voter -}}
{{- end -}}
{{- end -}}
{{- range $i := until $founders -}}
{{- if and (not $node.tokenSecret) (ge $i ($.root.Values.replicas | int)) -}}
{{- $pod := printf "%s-%d" (include "recount.fullname" $.root) $i -}}
{{- $host := printf "%s.%s" $pod (include "recount.domain" $.root) -}}
{{- $voters = append $voters (dict "id" $pod "peer" (printf "%s:9441" $host) "api" (printf "https://%s:9440" $host)) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $s "voters" $voters -}}
{{- toYaml $s -}}
{{- end -}}
