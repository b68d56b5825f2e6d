{{/* What the operator may do in the namespaces of its jobs. */}}
{{- define "rljob.rules" -}}
# Jobs: patch for the finalizer, delete for ttlSecondsAfterFinished.
- apiGroups: [rljob.dev]
  resources: [rljobs]
  verbs: [list, watch, patch, delete]
- apiGroups: [rljob.dev]
  resources: [rljobs/status]
  verbs: [patch]
# Children. create and patch together are server-side apply.
- apiGroups: [apps]
  resources: [statefulsets, deployments]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, configmaps, serviceaccounts, persistentvolumeclaims]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [scheduling.volcano.sh, scheduling.x-k8s.io]
  resources: [podgroups]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [list, watch, create, patch, delete]
# Created, and never read: a patch of a Secret returns what is in it.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
# patch sets pod-deletion-cost before scaling down; delete replaces pods stuck on an old template.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch, delete]
# list finds why a StatefulSet has no pods.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [list, create]
{{- end -}}

{{/* What it may do in its own: the Lease of the leader, and the key that jobs' keys are derived from. */}}
{{- define "rljob.ownRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [rljob-operator]
  verbs: [get, update]
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [rljob-operator-key]
  verbs: [get]
{{- end -}}
