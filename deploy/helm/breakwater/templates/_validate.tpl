{{- /* Wrong values said all at once, each with the next step. */ -}}
{{- define "breakwater.validate" -}}
{{- $values := .Values -}}
{{- $faults := list -}}

{{- if not $values.existingSecret -}}
{{- $faults = append $faults "existingSecret is not set. Make the Secret (README.md, \"Secrets\") and give its name." -}}
{{- else if regexMatch "(?i)change-?me|placeholder|example|your-|todo|<" $values.existingSecret -}}
{{- $faults = append $faults (printf "existingSecret=%q is a placeholder. Give the name of your own Secret." $values.existingSecret) -}}
{{- else -}}
{{- $faults = concat $faults (include "breakwater.secretFaults" . | fromJsonArray) -}}
{{- end -}}

{{- if not $values.hosts -}}
{{- $faults = append $faults "hosts is empty. Name the hosts that visitors use." -}}
{{- end -}}
{{- range $values.hosts -}}
{{- if contains "*" . -}}
{{- $faults = append $faults (printf "hosts has %q: that lets every Host pass. Name the hosts that visitors use." .) -}}
{{- end -}}
{{- end -}}
{{- if and $values.ingress.enabled (not $values.trustedProxies) -}}
{{- $faults = append $faults "trustedProxies is empty. Give the range of the ingress controller's pods, or all visitors share one rate limit." -}}
{{- end -}}
{{- range $values.trustedProxies -}}
{{- if regexMatch "/0$" . -}}
{{- $faults = append $faults (printf "trustedProxies has %q: then every visitor may choose the address that limits count." .) -}}
{{- end -}}
{{- end -}}

{{- $servers := list "postgresql" "rabbitmq" "redis" -}}
{{- if $values.mongodb.enabled -}}
{{- $servers = append $servers "mongodb" -}}
{{- else if $values.mongodb.create -}}
{{- $faults = append $faults "mongodb.create is on, and mongodb.enabled is off. Set one of them." -}}
{{- else if hasSuffix ".MongoStore" (toString $values.settings.LOGS_STORE) -}}
{{- $faults = append $faults "settings.LOGS_STORE is MongoDB, and mongodb.enabled is off. Name another store, or none." -}}
{{- end -}}
{{- range $server := $servers -}}
{{- $one := index $values $server -}}
{{- if not $one.create -}}
{{- if not $one.host -}}
{{- $faults = append $faults (printf "%s.host is not set, and %s.create is off. Set one of them." $server $server) -}}
{{- else if has $one.host (list "localhost" "127.0.0.1" "::1") -}}
{{- $faults = append $faults (printf "%s.host is %s, which is the pod itself. Give the server's own name." $server $one.host) -}}
{{- end -}}
{{- if and $values.networkPolicy.enabled (not $one.peers) -}}
{{- $faults = append $faults (printf "%s.peers is empty: say where the server is, such as [{ipBlock: {cidr: 10.0.5.0/24}}], or networkPolicy lets nobody reach it." $server) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $values.postgresql.create -}}
{{- range $role, $name := $values.postgresql.roleSecrets -}}
{{- if not (or $name (and (eq $role "courier") (not $values.courier.enabled))) -}}
{{- $faults = append $faults (printf "postgresql.roleSecrets.%s is not set. CloudNativePG wants a basic-auth Secret for each role (README.md, \"Secrets\")." $role) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- $own := include "breakwater.settings" (merge (dict "Values" (merge (dict "settings" dict) (omit $values "settings"))) (omit . "Values")) | fromYaml | keys -}}
{{- $own = concat $own (list "PORT" "BIND" "WEB_CONCURRENCY" "WORKER_CONCURRENCY" "WORKER_POOL" "FLOWER_ADDRESS" "FLOWER_PORT" "FLOWER_USER") -}}
{{- $own = without $own "LOGS_STORE" -}}
{{- range $name, $value := $values.settings -}}
{{- if has $name $own -}}
{{- $faults = append $faults (printf "settings.%s is decided by another value of this chart (values.yaml)." $name) -}}
{{- else if regexMatch "PASSWORD|SECRET|_USER$" $name -}}
{{- $faults = append $faults (printf "settings.%s belongs into the Secret: everybody who reads ConfigMaps reads settings." $name) -}}
{{- else if and (eq $name "DEBUG") (not (has (toString $value | lower) (list "off" "false" "no" "0"))) -}}
{{- $faults = append $faults "settings.DEBUG is on. It shows settings to visitors: never on a machine that others can reach." -}}
{{- else if and (eq $name "CORS_ALLOWED_ORIGINS") (contains "*" (toString $value)) -}}
{{- $faults = append $faults "settings.CORS_ALLOWED_ORIGINS has *. Name the origins of your pages, such as https://example.com." -}}
{{- end -}}
{{- end -}}

{{- if $faults -}}
{{- fail (printf "\n\nThis release would not run:\n  - %s\n" (join "\n  - " $faults)) -}}
{{- end -}}
{{- end -}}

{{- /* What is wrong with the Secret itself, as JSON. Only a helm that talks to a cluster can know: every namespace
has kube-root-ca.crt, so where that is found a Secret that is not found does not exist. */ -}}
{{- define "breakwater.secretFaults" -}}
{{- $faults := list -}}
{{- $name := .Values.existingSecret -}}
{{- if lookup "v1" "ConfigMap" .Release.Namespace "kube-root-ca.crt" -}}
{{- $secret := lookup "v1" "Secret" .Release.Namespace $name -}}
{{- if not $secret -}}
{{- $faults = append $faults (printf "the Secret %s is not in namespace %s. Make it first (README.md, \"Secrets\")." $name .Release.Namespace) -}}
{{- else -}}
{{- range $key := include "breakwater.secretKeys" . | splitList "\n" -}}
{{- $value := get ($secret.data | default dict) $key | b64dec -}}
{{- if not $value -}}
{{- $faults = append $faults (printf "the Secret %s has no %s." $name $key) -}}
{{- else if regexMatch "\\s" $value -}}
{{- $faults = append $faults (printf "%s in the Secret %s holds a space or line end. Make it as README.md says." $key $name) -}}
{{- else if regexMatch "(?i)change-?me|placeholder|password|secret|guest|^admin|^breakwater" $value -}}
{{- $faults = append $faults (printf "%s in the Secret %s is a placeholder. docker/make_secrets.sh makes a random one." $key $name) -}}
{{- else if lt (len $value) (ternary 32 12 (eq $key "secret_key")) -}}
{{- $faults = append $faults (printf "%s in the Secret %s is too short. docker/make_secrets.sh makes a random one." $key $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $faults -}}
{{- end -}}
