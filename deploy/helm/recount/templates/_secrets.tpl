{{/* One source of the projected volume: a dict with name, files, which maps keys to paths, and optional. */}}
{{- define "recount.secretSource" -}}
- secret:
    name: {{ .name }}
    {{- if get . "optional" }}
    optional: true
    {{- end }}
    items:
      {{- range $key, $path := .files }}
      - key: {{ $key }}
        path: {{ $path }}
      {{- end }}
{{- end -}}

{{- define "recount.secretSources" -}}
{{- range (include "recount.list" . | fromJson).nodes }}
{{- $peer := dict "tls.crt" (printf "%s/peer.crt" .id) "tls.key" (printf "%s/peer.key" .id) -}}
{{- $_ := set $peer "ca.crt" (printf "%s/peer-trust.crt" .id) }}
{{ include "recount.secretSource" (dict "name" (printf "%s-peer" .id) "files" $peer) }}
{{- if not (and $.Values.mtls.enabled $.Values.mtls.certSecretName) }}
{{- $api := dict "tls.crt" (printf "%s/api.crt" .id) "tls.key" (printf "%s/api.key" .id) }}
{{ include "recount.secretSource" (dict "name" (printf "%s-api" .id) "files" $api) }}
{{- end }}
{{- if .tokenSecret }}
{{- $token := dict .tokenKey (printf "%s/join.token" .id) }}
{{ include "recount.secretSource" (dict "name" .tokenSecret "files" $token "optional" true) }}
{{- end }}
{{- end }}
{{- with .Values.mtls }}
{{- if and .enabled .certSecretName }}
{{ include "recount.secretSource" (dict "name" .certSecretName "files" (dict "tls.crt" "shared/api.crt" "tls.key" "shared/api.key")) }}
{{- end }}
{{- if .enabled }}
{{ include "recount.secretSource" (dict "name" .caSecretName "files" (dict "ca.crt" "client-trust.crt")) }}
{{- end }}
{{- end }}
{{- with .Values.auth.tokensSecret }}
{{- if .name }}
{{ include "recount.secretSource" (dict "name" .name "files" (dict .key "tokens")) }}
{{- end }}
{{- end }}
{{- with .Values.checkpointKey }}
{{- if .secretName }}
{{ include "recount.secretSource" (dict "name" .secretName "files" (dict .key "checkpoint.key")) }}
{{- end }}
{{- end }}
{{- with .Values.signing }}
{{- $files := dict -}}
{{- if .hmacSecretKey -}}{{- $_ := set $files .hmacSecretKey "hmac.keys" -}}{{- end -}}
{{- if .ed25519SecretKey -}}{{- $_ := set $files .ed25519SecretKey "agents.pub" -}}{{- end -}}
{{- if and .existingSecret $files }}
{{ include "recount.secretSource" (dict "name" .existingSecret "files" $files) }}
{{- end }}
{{- end }}
{{- end -}}
