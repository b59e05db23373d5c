{{/* Recommended labels of an object. Call with (dict "root" $ "name" "vdi-operator" "component" "operator"). */}}
{{- define "vdi-operator.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/part-of: vdi-platform
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* An image. Call with (dict "root" $ "image" .Values.image). */}}
{{- define "vdi-operator.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* Name of the Secret that the operator asks the checker with. */}}
{{- define "vdi-operator.tokenSecret" -}}
{{ .Values.checker.tokenSecret | default "vdi-checker-token" }}
{{- end -}}

{{/* Names of the middlewares of every route. */}}
{{- define "vdi-operator.middlewares" -}}
{{- $names := .Values.settings.middlewares -}}
{{- if .Values.oidc.enabled -}}
{{- $names = append $names "vdi-oidc" -}}
{{- end -}}
{{ $names | toJson }}
{{- end -}}

{{/* The operator's settings file: what the site says, and what the chart knows. */}}
{{- define "vdi-operator.settings" -}}
{{- $own := dict "operatorNamespace" .Release.Namespace "readNodes" .Values.readNodes -}}
{{- $_ := set $own "turnSecretFile" (printf "/etc/vdi-operator/turn/%s" .Values.turn.secretKey) -}}
{{- $_ := set $own "middlewares" (include "vdi-operator.middlewares" . | fromJsonArray) -}}
{{- if .Values.checker.enabled -}}
{{- $_ := set $own "checkerUrl" (printf "http://vdi-checker.%s.svc:8080" .Release.Namespace) -}}
{{- $_ := set $own "checkerTokenFile" "/etc/vdi-operator/checker/token" -}}
{{- end -}}
{{- merge $own (deepCopy .Values.settings) | toYaml -}}
{{- end -}}

{{/* What every container of the chart may not. */}}
{{- define "vdi-operator.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Who every pod of the chart is. */}}
{{- define "vdi-operator.nobody" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Where a pod may run. Call with .Values.operator or .Values.checker. */}}
{{- define "vdi-operator.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
An object of graduated/ as a release's own: its namespace and account are those of the settings, its labels say which
release it is of, and nothing else is touched. Call with (dict "root" $ "object" $one "component" "platform" "keep" true).
*/}}
{{- define "vdi-operator.graduated" -}}
{{- $one := deepCopy .object -}}
{{- $metadata := $one.metadata -}}
{{- $settings := .root.Values.settings -}}
{{- $labels := include "vdi-operator.labels" (dict "root" .root "name" "vdi-operator" "component" .component) | fromYaml -}}
{{- $release := pick $labels "app.kubernetes.io/managed-by" "app.kubernetes.io/instance" "app.kubernetes.io/version" "helm.sh/chart" -}}
{{- $_ := set $metadata "labels" (merge $release (get $metadata "labels" | default dict) $labels) -}}
{{- if eq (get $metadata "namespace") "vdi-sessions" -}}
{{- $_ := set $metadata "namespace" $settings.namespace -}}
{{- end -}}
{{- if and (eq $one.kind "Namespace") (eq $metadata.name "vdi-sessions") -}}
{{- $_ := set $metadata "name" $settings.namespace -}}
{{- end -}}
{{- if and (eq $one.kind "ServiceAccount") (eq $metadata.name "vdi-session") -}}
{{- $_ := set $metadata "name" $settings.serviceAccount -}}
{{- end -}}
{{- if .keep -}}
{{- $_ := set $metadata "annotations" (merge (dict "helm.sh/resource-policy" "keep") (get $metadata "annotations" | default dict)) -}}
{{- end -}}
{{- toYaml $one -}}
{{- end -}}
