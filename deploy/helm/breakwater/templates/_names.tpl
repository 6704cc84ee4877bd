{{- define "breakwater.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* What selects a component's pods. Call with (list $ "web"). */ -}}
{{- define "breakwater.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "breakwater.labels" -}}
{{- $root := index . 0 -}}
{{ include "breakwater.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{- /* Name and labels of one resource. Call with (list $ "web") or (list $ "web" "name-suffix"). */ -}}
{{- define "breakwater.metadata" -}}
name: {{ include "breakwater.fullname" (index . 0) }}-{{ last . }}
labels:
  {{- include "breakwater.labels" . | nindent 2 }}
{{- end -}}

{{- /* Host of a server: that which is created here, or that which the values name. */ -}}
{{- define "breakwater.host" -}}
{{- $root := index . 0 -}}
{{- $server := index . 1 -}}
{{- $values := index $root.Values $server -}}
{{- $suffix := get (dict "postgresql" "postgres-rw" "rabbitmq" "rabbitmq" "mongodb" "mongodb-svc" "redis" "redis") $server -}}
{{- if $values.create -}}
{{ include "breakwater.fullname" $root }}-{{ $suffix }}.{{ $root.Release.Namespace }}.svc
{{- else -}}
{{ $values.host }}
{{- end -}}
{{- end -}}

{{- /* One address for each host in rabbitmq.host, whose own port is AMQP's. */ -}}
{{- define "breakwater.managementUrls" -}}
{{- $urls := list -}}
{{- $root := . -}}
{{- range splitList "," (include "breakwater.host" (list . "rabbitmq")) -}}
{{- $urls = append $urls (printf "http://%s:%v" (regexReplaceAll ":[0-9]+$" (trim .) "") $root.Values.rabbitmq.managementPort) -}}
{{- end -}}
{{- join "," $urls -}}
{{- end -}}

{{- define "breakwater.spoolDir" -}}/var/lib/breakwater/spool{{- end -}}

{{- /* Labels of the pods that a server created here has; the operators choose them. */ -}}
{{- define "breakwater.serverLabels" -}}
{{- $root := index . 0 -}}
{{- $server := index . 1 -}}
{{- $name := include "breakwater.fullname" $root -}}
{{- if eq $server "postgresql" -}}
cnpg.io/cluster: {{ $name }}-postgres
{{- else if eq $server "rabbitmq" -}}
app.kubernetes.io/name: {{ $name }}-rabbitmq
{{- else if eq $server "mongodb" -}}
app: {{ $name }}-mongodb-svc
{{- else -}}
{{ include "breakwater.selector" (list $root "redis") }}
{{- end -}}
{{- end -}}
