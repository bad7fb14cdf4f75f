{{- define "provost.labels" -}}
app.kubernetes.io/name: provost
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* Of one service: (list $ name) */ -}}
{{- define "provost.selector" -}}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "provost.fullname" -}}
{{ printf "%s-%s" (index . 0).Release.Name (index . 1) | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "provost.probe" -}}
{{- $root := index . 0 }}{{ $name := index . 1 }}{{ $service := index . 2 -}}
{{- $encrypted := or $root.Values.tls.enabled (and (eq $name "gateway") $root.Values.tls.gatewaySecretName) -}}
{{- if and $service.port (not $encrypted) -}}
grpc: {port: {{ $service.port }}}
{{- else -}}
# The kubelet's gRPC probe speaks no TLS: the process's own certificate asks.
exec: {command: [python, -m, chassis.healthy, {{ $name }}]}
timeoutSeconds: 5
{{- end }}
{{- end }}
