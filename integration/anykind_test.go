package integration

import (
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// byPod names the metrics of the playground's pods, so that it need not be found first what measures a workload that has just
// been made.
const byPod = `signals:
  http-errors:
    prometheus: {errors: 'http_requests_total{namespace="$namespace",code=~"5.."}', requests: 'http_requests_total{namespace="$namespace"}', by: pod}
    threshold: {max: 5%, increase: 2x, floor: 0.5%, minRequests: 20, ticks: 2}`

// ref is a workload as kind/name. A name alone is a Deployment's.
func ref(name string) string {
	if kind, rest, ok := strings.Cut(name, "/"); ok && kind != "" {
		return name
	} else if ok {
		name = rest
	}
	return "deployment/" + name
}

// live is a workload as it is in the cluster.
type live struct {
	meta     metav1.ObjectMeta
	template corev1.PodTemplateSpec
	replicas int32 // wanted
	ready    int32
}

// workload reads a workload; name is its ref, or a Deployment's name.
func (s *stage) workload(name string) live {
	s.t.Helper()
	kind, plain, _ := strings.Cut(ref(name), "/")
	apps := s.client.AppsV1()
	switch kind {
	case "statefulset":
		o, err := apps.StatefulSets(s.namespace).Get(s.context(), plain, metav1.GetOptions{})
		if err != nil {
			s.t.Fatal(err)
		}
		return live{o.ObjectMeta, o.Spec.Template, *o.Spec.Replicas, o.Status.ReadyReplicas}
	case "daemonset":
		o, err := apps.DaemonSets(s.namespace).Get(s.context(), plain, metav1.GetOptions{})
		if err != nil {
			s.t.Fatal(err)
		}
		return live{o.ObjectMeta, o.Spec.Template, o.Status.DesiredNumberScheduled, o.Status.NumberReady}
	}
	o, err := apps.Deployments(s.namespace).Get(s.context(), plain, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return live{o.ObjectMeta, o.Spec.Template, *o.Spec.Replicas, o.Status.ReadyReplicas}
}

// revision is the highest revision number of a workload.
func (s *stage) revision(name string) int64 {
	s.t.Helper()
	w := s.workload(name)
	if n, err := strconv.ParseInt(w.meta.Annotations["deployment.kubernetes.io/revision"], 10, 64); err == nil {
		return n
	}
	list, err := s.client.AppsV1().ControllerRevisions(s.namespace).List(s.context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	var highest int64
	for _, r := range list.Items {
		if metav1.IsControlledBy(&r, &w.meta) {
			highest = max(highest, r.Revision)
		}
	}
	return highest
}

// pods are the images that a workload's pods run, by name of the pod.
func (s *stage) pods(name string) map[string]string {
	s.t.Helper()
	selector := labels.Set(s.workload(name).template.Labels).String()
	list, err := s.client.CoreV1().Pods(s.namespace).List(s.context(), metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string]string{}
	for _, p := range list.Items {
		out[p.Name] = p.Spec.Containers[0].Image
	}
	return out
}
