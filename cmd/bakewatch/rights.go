package main

import "github.com/bakewatch/bakewatch/api/v1alpha1"

// right is something the daemon needs to be allowed.
type right struct{ verb, group, resource, subresource, why string }

// rights are those that deploy/rbac.yaml grants in all namespaces, and for what.
var rights = []right{
	{"list", "apps", "deployments", "", "see rollouts"},
	{"watch", "apps", "deployments", "", "see rollouts"},
	{"get", "apps", "deployments", "", "see rollouts"},
	{"patch", "apps", "deployments", "", "roll back"},
	{"list", "apps", "replicasets", "", "know revisions"},
	{"get", "apps", "replicasets", "", "know revisions"},
	{"list", "apps", "statefulsets", "", "see rollouts of StatefulSets"},
	{"watch", "apps", "statefulsets", "", "see rollouts of StatefulSets"},
	{"get", "apps", "statefulsets", "", "see rollouts of StatefulSets"},
	{"patch", "apps", "statefulsets", "", "roll StatefulSets back"},
	{"list", "apps", "daemonsets", "", "see rollouts of DaemonSets"},
	{"watch", "apps", "daemonsets", "", "see rollouts of DaemonSets"},
	{"get", "apps", "daemonsets", "", "see rollouts of DaemonSets"},
	{"patch", "apps", "daemonsets", "", "roll DaemonSets back"},
	{"list", "apps", "controllerrevisions", "", "know revisions of StatefulSets and DaemonSets"},
	{"list", "", "pods", "", "see what keeps new pods from running, tell them from old ones, and run user flows"},
	{"get", "", "pods", "", "free a rollback from a pod that is stuck, and see whether one that failed a user flow was ending"},
	{"delete", "", "pods", "", "free a rollback from a pod that is stuck"},
	{"list", v1alpha1.GroupVersion.Group, "bakes", "", "keep records"},
	{"get", v1alpha1.GroupVersion.Group, "bakes", "", "keep records"},
	{"create", v1alpha1.GroupVersion.Group, "bakes", "", "keep records"},
	{"delete", v1alpha1.GroupVersion.Group, "bakes", "", "prune records"},
	{"update", v1alpha1.GroupVersion.Group, "bakes", "status", "keep records"},
	{"get", "", "configmaps", "", "see whether what the good version refers to is there"},
	{"get", "", "serviceaccounts", "", "see whether what the good version refers to is there"},
	{"get", "", "persistentvolumeclaims", "", "see whether what the good version refers to is there"},
	{"list", "autoscaling", "horizontalpodautoscalers", "", "see whether something else sets replicas before they are lowered"},
	{"get", "", "pods", "log", "measure workloads by their logs"},
	{"create", "", "events", "", "tell on the workload"},
	{"list", "", "events", "", "see why a new pod does not become ready"},
	{"list", "", "services", "", "find the metrics of what leads to a workload"},
	{"list", "networking.k8s.io", "ingresses", "", "find the metrics of what leads to a workload"},
	{"list", "traefik.io", "ingressroutes", "", "find the metrics of what leads to a workload"},
	{"list", "traefik.containo.us", "ingressroutes", "", "find the metrics of what leads to a workload"},
}
