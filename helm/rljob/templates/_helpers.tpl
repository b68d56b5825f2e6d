{{/* Base name of all objects. */}}
{{- define "rljob.base" -}}
{{- .Values.baseName | default .Release.Name | trimSuffix "-operator" | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Name of the operator's objects. */}}
{{- define "rljob.fullname" -}}
{{- include "rljob.base" . -}}-operator
{{- end -}}

{{/* The labels by which the operator's pods are found. Jobs' NetworkPolicies admit them by these. */}}
{{- define "rljob.selector" -}}
app.kubernetes.io/name: rljob-operator
{{- end -}}

{{/* The labels of the pods, which an upgrade of the chart alone does not change. */}}
{{- define "rljob.podLabels" -}}
{{ include "rljob.selector" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: rljob
{{- end -}}

{{/* The labels of all objects. */}}
{{- define "rljob.labels" -}}
{{ include "rljob.podLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Name of the operator's ServiceAccount. */}}
{{- define "rljob.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "rljob.fullname" .) -}}
{{- end -}}

{{/* An image by digest or by tag: (list $ .Values.image). */}}
{{- define "rljob.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default $root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* A binding's subjects: the operator. */}}
{{- define "rljob.subjects" -}}
- kind: ServiceAccount
  name: {{ include "rljob.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}
