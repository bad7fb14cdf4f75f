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

{{- /* (list name service): "true" or nothing. */ -}}
{{- define "provost.scaled" -}}
{{- $name := index . 0 }}{{ $service := index . 1 -}}
{{- with $service.autoscaling }}{{ if .enabled -}}
{{- if gt (int $service.replicas) (int .max) -}}
{{- fail (printf "services.%s.replicas is %d, services.%s.autoscaling.max is %d: autoscaling begins at replicas, so raise max or lower replicas" $name (int $service.replicas) $name (int .max)) -}}
{{- end -}}
true
{{- end }}{{ end }}
{{- end }}

{{- define "provost.authority" -}}
{{ regexReplaceAll "^[A-Za-z]+://|/.*$" . "" }}
{{- end }}

{{- /* Where a URL is asked: (list url port), the port being that of http:// that names none. */ -}}
{{- define "provost.port" -}}
{{- $url := index . 0 -}}
{{- $plain := regexMatch "^http://" $url | ternary (index . 1) 443 -}}
{{ include "provost.authority" $url | regexFind ":[0-9]+$" | trimPrefix ":" | default $plain }}
{{- end }}

{{- /* gRPC asks 443 where no port is said, also in the clear: OTLP's own is meant. */ -}}
{{- define "provost.otlp" -}}
{{- $authority := include "provost.authority" . -}}
{{- if and (regexMatch "^http://" .) (not (regexMatch ":[0-9]+$" $authority)) -}}
{{ printf "http://%s:4317%s" $authority (trimPrefix (print "http://" $authority) .) }}
{{- else -}}
{{ . }}
{{- end }}
{{- end }}
