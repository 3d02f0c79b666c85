package behavior

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Workload names what a pod belongs to, the way a person would.
type Workload struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// WorkloadOf derives the workload from a pod's owner. A Deployment is found through its ReplicaSet's name, which is
// the Deployment's with the template hash appended, so no ReplicaSet has to be watched.
func WorkloadOf(pod *corev1.Pod) Workload {
	w := Workload{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name}
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return w
	}
	w.Kind, w.Name = owner.Kind, owner.Name
	if hash := pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]; owner.Kind == "ReplicaSet" && hash != "" {
		if name, found := strings.CutSuffix(owner.Name, "-"+hash); found {
			w.Kind, w.Name = "Deployment", name
		}
	}
	return w
}

// RevisionOf is the hash the pod's controller put on it: of the template for a Deployment, of the ControllerRevision
// for a StatefulSet or DaemonSet; empty for a pod of its own.
func RevisionOf(pod *corev1.Pod) string {
	if hash := pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]; hash != "" {
		return hash
	}
	return pod.Labels[appsv1.ControllerRevisionHashLabelKey]
}

// IsReady says whether a pod should get traffic: Ready, and not on its way out.
func IsReady(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil || pod.Status.PodIP == "" {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
