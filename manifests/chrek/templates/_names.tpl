{{/* Names and labels. Where this changes, an upgrade makes new objects beside the old ones. */}}

{{- define "chrek.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains "chrek" .Release.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s-chrek" .Release.Name -}}
{{- end -}}
{{- end -}}

{{- define "chrek.webhook.name" -}}
{{- printf "%s-webhook" (include "chrek.fullname" .) -}}
{{- end -}}

{{- define "chrek.agent.name" -}}
{{- printf "%s-agent" (include "chrek.fullname" .) -}}
{{- end -}}

{{/* Names of what belongs to no namespace. Neither half holds a dot, so no two releases share one. */}}
{{- define "chrek.webhook.clusterName" -}}
{{- printf "%s.%s" (include "chrek.webhook.name" .) .Release.Namespace -}}
{{- end -}}

{{- define "chrek.agent.clusterName" -}}
{{- printf "%s.%s" (include "chrek.agent.name" .) .Release.Namespace -}}
{{- end -}}

{{/* The agent's directory on a node has this name too. */}}
{{- define "chrek.configuration.name" -}}
{{- printf "%s.%s" (include "chrek.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "chrek.secret.name" -}}
{{- printf "%s-tls" (include "chrek.webhook.name" .) -}}
{{- end -}}

{{- define "chrek.signing.name" -}}
{{- .Values.signing.secretName | default (printf "%s-signing" (include "chrek.fullname" .)) -}}
{{- end -}}

{{/* "keep" unless an uninstall takes every claim along: checkpoints whose keys are lost are worth
     nothing. Claims that the chart did not make are never taken along. */}}
{{- define "chrek.signing.policy" -}}
{{- $pvc := .Values.storage.pvc -}}
{{- if or $pvc.keep $pvc.existingClaim (not .Values.rbac.namespaced) -}}
keep
{{- end -}}
{{- end -}}

{{/* The one namespace that is served; empty where all labelled ones are. */}}
{{- define "chrek.watchNamespace" -}}
{{- if .Values.rbac.namespaced -}}
{{- .Values.watchNamespace | default .Release.Namespace -}}
{{- end -}}
{{- end -}}

{{- define "chrek.labels" -}}
app.kubernetes.io/name: chrek
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/part-of: chrek
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end -}}

{{- define "chrek.webhook.labels" -}}
{{ include "chrek.labels" . }}
app.kubernetes.io/component: webhook
{{- end -}}

{{- define "chrek.agent.labels" -}}
{{ include "chrek.labels" . }}
app.kubernetes.io/component: agent
{{- end -}}

{{- define "chrek.webhook.selector" -}}
app.kubernetes.io/name: chrek
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: webhook
{{- end -}}

{{- define "chrek.agent.selector" -}}
app.kubernetes.io/name: chrek
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: agent
{{- end -}}

{{/* Labels of a pod: (list ROOT "webhook"). Those of chrek win over those of the values. */}}
{{- define "chrek.podLabels" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $own := dict
      "app.kubernetes.io/name" "chrek"
      "app.kubernetes.io/instance" $root.Release.Name
      "app.kubernetes.io/version" $root.Chart.AppVersion
      "app.kubernetes.io/managed-by" $root.Release.Service
      "app.kubernetes.io/part-of" "chrek"
      "app.kubernetes.io/component" $component
      "chrek.io/component" $component -}}
{{- toYaml (merge $own (index $root.Values $component).podLabels) -}}
{{- end -}}

{{/* An image as it is pulled: (list ROOT "init"). */}}
{{- define "chrek.image" -}}
{{- $root := index . 0 -}}
{{- $image := index $root.Values.images (index . 1) -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default $root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
