{{/* What one value alone cannot tell: values that do not go together, each with a sentence.
     Types, words and unknown keys are refused by values.schema.json. */}}

{{- define "chrek.refuse" -}}
{{- include "chrek.refuse.names" . -}}
{{- include "chrek.refuse.namespaces" . -}}
{{- include "chrek.refuse.storage" . -}}
{{- include "chrek.refuse.certificates" . -}}
{{- include "chrek.refuse.labels" . -}}
{{- end -}}

{{- define "chrek.refuse.names" -}}
{{- $name := include "chrek.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- fail (printf "%q cannot name a Service: it must start with a letter and hold only a-z, 0-9 and -. Take another release name, or set fullnameOverride." $name) -}}
{{- end -}}
{{- if gt (len $name) 55 -}}
{{- fail (printf "%q is too long: names may have 55 characters. Take a shorter release name, or set fullnameOverride." $name) -}}
{{- end -}}
{{- end -}}

{{- define "chrek.refuse.namespaces" -}}
{{- if not .Values.rbac.namespaced -}}
{{- if .Values.watchNamespace -}}
{{- fail (printf "watchNamespace=%s and rbac.namespaced=false contradict each other: false serves every labelled namespace. Leave one of the two out." .Values.watchNamespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "chrek.refuse.storage" -}}
{{- $pvc := .Values.storage.pvc -}}
{{- if and (eq $pvc.accessMode "ReadWriteOnce") (not .Values.storage.allowReadWriteOnce) -}}
{{- fail "storage.pvc.accessMode=ReadWriteOnce pins every pod to the node that holds the claim. If that is wanted, set storage.allowReadWriteOnce=true as well; else leave it at ReadWriteMany." -}}
{{- end -}}
{{- if .Values.rbac.namespaced -}}
{{- if $pvc.namespaces -}}
{{- fail "storage.pvc.namespaces is for rbac.namespaced=false. This release serves one namespace, and the claim is made there." -}}
{{- end -}}
{{- if and $pvc.existingClaim $pvc.size -}}
{{- fail (printf "storage.pvc.existingClaim=%s is there already, so storage.pvc.size would do nothing. Leave one of the two out." $pvc.existingClaim) -}}
{{- end -}}
{{- if not (or $pvc.existingClaim $pvc.size) -}}
{{- fail "How large may the checkpoints be? Set storage.pvc.size, such as 100Gi, or name a claim that is there already: storage.pvc.existingClaim." -}}
{{- end -}}
{{- else -}}
{{- if $pvc.existingClaim -}}
{{- fail "storage.pvc.existingClaim has no meaning with rbac.namespaced=false: each namespace has its own claim. Its pods find one of another name by the annotation chrek.io/claim." -}}
{{- end -}}
{{- if and $pvc.size (not $pvc.namespaces) -}}
{{- fail "With rbac.namespaced=false each namespace has its own claim: say in storage.pvc.namespaces where claims are to be made, or leave storage.pvc.size out and make them yourself." -}}
{{- end -}}
{{- if and $pvc.namespaces (not $pvc.size) -}}
{{- fail "How large may the checkpoints of each namespace be? Set storage.pvc.size, such as 100Gi." -}}
{{- end -}}
{{- end -}}
{{- $size := toString $pvc.size -}}
{{- if and $size (not (regexMatch "^([1-9][0-9]*|[0-9]+[.][0-9]*[1-9])(Mi|Gi|Ti|Pi|M|G|T|P)$" $size)) -}}
{{- fail (printf "storage.pvc.size=%s is no size: give a number with a unit, such as 100Gi." $size) -}}
{{- end -}}
{{- end -}}

{{- define "chrek.refuse.certificates" -}}
{{- $certificates := .Values.certificates -}}
{{- if and $certificates.issuerRef.name (ne $certificates.provider "cert-manager") -}}
{{- fail (printf "certificates.issuerRef.name=%s is for certificates.provider=cert-manager. Set both or neither." $certificates.issuerRef.name) -}}
{{- end -}}
{{- if lt (int64 $certificates.caLifetimeSeconds) (mul 3 (int64 $certificates.servingLifetimeSeconds)) -}}
{{- fail "certificates.caLifetimeSeconds must be at least three times certificates.servingLifetimeSeconds: a CA outlives what it signs." -}}
{{- end -}}
{{- if and (eq $certificates.provider "cert-manager") (lt (int64 $certificates.servingLifetimeSeconds) 3600) -}}
{{- fail "certificates.servingLifetimeSeconds must be 3600 or more with cert-manager, which makes no shorter ones." -}}
{{- end -}}
{{- end -}}

{{- define "chrek.refuse.labels" -}}
{{- range $component := list "webhook" "agent" -}}
{{- range $label, $value := (index $.Values $component).podLabels -}}
{{- if or (hasPrefix "chrek.io/" $label) (has $label (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "app.kubernetes.io/part-of" "app.kubernetes.io/component")) -}}
{{- fail (printf "%s.podLabels must not hold %s: chrek finds its own pods by it." $component $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
