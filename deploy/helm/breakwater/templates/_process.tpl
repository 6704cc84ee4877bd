{{- /* The settings that all processes share: one block, as in docker-compose.yml. What differs between two
processes is its login (below) and its size, and nothing else can differ. */ -}}
{{- define "breakwater.settings" -}}
POSTGRES_HOST: {{ include "breakwater.host" (list . "postgresql") | quote }}
POSTGRES_PORT: {{ .Values.postgresql.port | quote }}
POSTGRES_DB: {{ .Values.postgresql.database | quote }}
RABBITMQ_HOST: {{ include "breakwater.host" (list . "rabbitmq") | quote }}
RABBITMQ_PORT: {{ .Values.rabbitmq.port | quote }}
RABBITMQ_VHOST: {{ .Values.rabbitmq.vhost | quote }}
RABBITMQ_MANAGEMENT_URL: {{ include "breakwater.managementUrls" . | quote }}
REDIS_HOST: {{ include "breakwater.host" (list . "redis") | quote }}
REDIS_PORT: {{ .Values.redis.port | quote }}
{{- if .Values.mongodb.enabled }}
MONGODB_HOST: {{ include "breakwater.host" (list . "mongodb") | quote }}
MONGODB_PORT: {{ .Values.mongodb.port | quote }}
{{- else if not .Values.settings.LOGS_STORE }}
LOGS_STORE: logs.postgresql.PostgresStore
{{- end }}
FLOWER_URL: {{ printf "http://%s-flower:5555" (include "breakwater.fullname" .) | quote }}
SPOOL_DIR: {{ include "breakwater.spoolDir" . | quote }}
{{- /* localhost: `kubectl port-forward`. The Ingress lets no visitor come by that name. */}}
ALLOWED_HOSTS: {{ append .Values.hosts "localhost" | join "," | quote }}
TRUSTED_PROXIES: {{ join "," .Values.trustedProxies | quote }}
{{- range $name, $value := .Values.settings }}
{{ $name }}: {{ $value | toString | quote }}
{{- end }}
{{- end -}}

{{- /* Who each process is, and which secrets it is handed: the same as in docker-compose.yml. */ -}}
{{- define "breakwater.logins" -}}
web:
  users: {POSTGRES_USER: breakwater_web, RABBITMQ_USER: web, REDIS_USER: web{{ if .Values.mongodb.enabled }}, MONGODB_USER: web{{ end }}}
  files: {SECRET_KEY: secret_key, POSTGRES_PASSWORD: postgres_web, RABBITMQ_PASSWORD: rabbitmq_web, REDIS_PASSWORD: redis_web{{ if .Values.mongodb.enabled }}, MONGODB_PASSWORD: mongodb_web{{ end }}}
worker:
  users: {POSTGRES_USER: breakwater_worker, RABBITMQ_USER: worker, REDIS_USER: worker{{ if .Values.mongodb.enabled }}, MONGODB_USER: worker{{ end }}}
  files: {SECRET_KEY: secret_key, POSTGRES_PASSWORD: postgres_worker, RABBITMQ_PASSWORD: rabbitmq_worker, REDIS_PASSWORD: redis_worker{{ if .Values.mongodb.enabled }}, MONGODB_PASSWORD: mongodb_worker{{ end }}{{ if .Values.courier.enabled }}, CODE_KEY: code_key{{ end }}}
{{- if .Values.courier.enabled }}
courier:
  users: {POSTGRES_USER: breakwater_courier, REDIS_USER: courier}
  files: {SECRET_KEY: secret_key, CODE_KEY: code_key, CODE_GATEWAY_KEY: code_gateway_key, POSTGRES_PASSWORD: postgres_courier, REDIS_PASSWORD: redis_courier}
{{- end }}
migrate:
  users: {POSTGRES_USER: breakwater_owner, RABBITMQ_USER: migrate}
  files: {SECRET_KEY: secret_key, POSTGRES_PASSWORD: postgres_owner, RABBITMQ_PASSWORD: rabbitmq_migrate}
flower:
  users: {RABBITMQ_USER: flower, REDIS_USER: flower}
  files: {SECRET_KEY: secret_key, RABBITMQ_PASSWORD: rabbitmq_flower, REDIS_PASSWORD: redis_flower, FLOWER_PASSWORD: flower_password}
toolbox:
  users: {POSTGRES_USER: breakwater_toolbox, RABBITMQ_USER: toolbox, REDIS_USER: toolbox{{ if .Values.mongodb.enabled }}, MONGODB_USER: toolbox{{ end }}}
  files: {SECRET_KEY: secret_key, POSTGRES_PASSWORD: postgres_toolbox, RABBITMQ_PASSWORD: rabbitmq_toolbox, REDIS_PASSWORD: redis_toolbox{{ if .Values.mongodb.enabled }}, MONGODB_PASSWORD: mongodb_toolbox{{ end }}}
{{- end -}}

{{- /* Which servers each process talks to. */ -}}
{{- define "breakwater.servers" -}}
web: [postgresql, rabbitmq, management, redis{{ if .Values.mongodb.enabled }}, mongodb{{ end }}]
worker: [postgresql, rabbitmq, redis{{ if .Values.mongodb.enabled }}, mongodb{{ end }}]
{{- if .Values.courier.enabled }}
courier: [postgresql, redis]
{{- end }}
migrate: [postgresql, rabbitmq]
flower: [rabbitmq, management, redis]
toolbox: [postgresql, rabbitmq, management, redis{{ if .Values.mongodb.enabled }}, mongodb{{ end }}]
{{- if .Values.rescue.claim }}
rescue: [rabbitmq]
{{- end }}
{{- end -}}

{{- /* Keys of the Secret that are used by this release, one a line. */ -}}
{{- define "breakwater.secretKeys" -}}
{{- $keys := list -}}
{{- range include "breakwater.logins" . | fromYaml -}}
{{- $keys = concat $keys (values .files) -}}
{{- end -}}
{{- if .Values.redis.create -}}{{- $keys = append $keys "redis_admin" -}}{{- end -}}
{{- if .Values.rabbitmq.create -}}{{- $keys = append $keys "rabbitmq_admin" -}}{{- end -}}
{{- if .Values.mongodb.create -}}{{- $keys = append $keys "mongodb_admin" -}}{{- end -}}
{{- $keys | uniq | sortAlpha | join "\n" -}}
{{- end -}}

{{- define "breakwater.image" -}}
{{- if contains "@" .Values.image.repository -}}
{{ .Values.image.repository }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- /* A container's login, as environment variables. */ -}}
{{- define "breakwater.env" -}}
{{- $login := get (include "breakwater.logins" (index . 0) | fromYaml) (index . 1) -}}
{{- range $name, $value := $login.users }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- range $name, $file := $login.files }}
- {name: {{ $name }}_FILE, value: /run/secrets/{{ $file }}}
{{- end }}
{{- end -}}

{{- define "breakwater.container" -}}
{{- $root := index . 0 -}}
image: {{ include "breakwater.image" $root }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
securityContext:
  {{- include "breakwater.containerSecurity" . | nindent 2 }}
{{- end -}}

{{- define "breakwater.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "breakwater.mounts" -}}
- {name: secrets, mountPath: /run/secrets, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- with (index . 0).Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "breakwater.volumes" -}}
{{- $root := index . 0 -}}
- name: secrets
  secret:
    secretName: {{ $root.Values.existingSecret }}
    # Its group is the image's: fsGroup.
    defaultMode: 0440
    items:
      {{- range values (get (include "breakwater.logins" $root | fromYaml) (index . 1)).files | sortAlpha }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
- name: tmp
  {{- /* reconcile sorts ids and a workbook its sheets on the disk. */}}
  emptyDir: {sizeLimit: {{ ternary "2Gi" "64Mi" (eq (index . 1) "toolbox") }}}
{{- with $root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* What every pod has in common. Call with (list $ "component" uid). */ -}}
{{- define "breakwater.pod" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $uid := index . 2 -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ $uid }}
  runAsGroup: {{ $uid }}
  fsGroup: {{ $uid }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.scheduling.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
tolerations:
  # A lost node's pods are replaced after half a minute; Kubernetes itself waits for five.
  {{- range $taint := list "not-ready" "unreachable" }}
  - {key: node.kubernetes.io/{{ $taint }}, operator: Exists, effect: NoExecute, tolerationSeconds: 30}
  {{- end }}
  {{- with $root.Values.scheduling.tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $root.Values.scheduling.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- /* A server's pods in different zones, as scheduling.zones says. Call with (list $ labels). */ -}}
{{- define "breakwater.zones" -}}
{{- $zones := (index . 0).Values.scheduling.zones -}}
{{- if ne $zones "none" }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: {{ ternary "DoNotSchedule" "ScheduleAnyway" (eq $zones "required") }}
    labelSelector:
      matchLabels:
        {{- toYaml (index . 1) | nindent 8 }}
{{- end }}
{{- end -}}

{{- /* Pods of a component on as many nodes and zones as there are. */ -}}
{{- define "breakwater.spread" -}}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "breakwater.selector" $ | nindent 8 }}
  {{- end }}
{{- end -}}

{{- /* Pods start anew when a setting has changed. A changed Secret is noticed by nobody: kubectl rollout restart. */ -}}
{{- define "breakwater.checksum" -}}
checksum/settings: {{ include "breakwater.settings" . | sha256sum }}
{{- end -}}
