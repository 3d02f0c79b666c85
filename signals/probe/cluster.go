package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	kube "github.com/bakewatch/bakewatch/signals/kubernetes"
	"github.com/bakewatch/bakewatch/signals/probe/flow"
)

// Cluster knows the pods of workloads, and their Services.
type Cluster interface {
	// Ready are the pods of a workload that are ready and not about to end.
	Ready(ctx context.Context, w Workload) ([]Pod, error)
	// Serves reports whether a pod is still there, ready and not about to end.
	Serves(ctx context.Context, w Workload, p Pod) (bool, error)
	// Service is where a Service of the namespace is reached. It must lead to the pod.
	Service(ctx context.Context, namespace, name string, p Pod, port flow.Port) (netip.AddrPort, error)
}

// Pod is a pod that is ready.
type Pod struct {
	Name, UID string
	Revision  string // its controller's hash of the template
	IP        netip.Addr
	Ports     []Port // that its containers declare, TCP
	Labels    map[string]string
}

// Port is a port and its name, if it has one.
type Port struct {
	Name   string
	Number uint16
}

// address is where a port of the pod is reached.
func (p Pod) address(port flow.Port) (netip.AddrPort, error) {
	number, err := find(p.Ports, port, "pod "+p.Name)
	return netip.AddrPortFrom(p.IP, number), err
}

// find is the number of a port, out of those that are declared.
func find(declared []Port, port flow.Port, of string) (uint16, error) {
	if number, ok := port.Number(); ok {
		return number, nil
	}
	if port == "" {
		if len(declared) == 1 {
			return declared[0].Number, nil
		}
		return 0, fmt.Errorf("%s declares %d ports; write port: in the step", of, len(declared))
	}
	for _, d := range declared {
		if d.Name == string(port) {
			return d.Number, nil
		}
	}
	return 0, fmt.Errorf("%s declares no port named %s", of, port)
}

// API is the Cluster that the Kubernetes API tells of.
type API struct {
	Client kubernetes.Interface
	Pods   *kube.Lister
}

// Ready implements Cluster.
func (a *API) Ready(ctx context.Context, w Workload) ([]Pod, error) {
	list, err := a.Pods.List(ctx, w)
	if err != nil {
		return nil, err
	}
	var out []Pod
	for i := range list {
		if p, ok := readyPod(&list[i]); ok {
			out = append(out, p)
		}
	}
	return out, nil
}

// Serves implements Cluster.
func (a *API) Serves(ctx context.Context, w Workload, p Pod) (bool, error) {
	pod, err := a.Client.CoreV1().Pods(w.Namespace).Get(ctx, p.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read pod %s/%s: %w", w.Namespace, p.Name, err)
	}
	return string(pod.UID) == p.UID && isReady(pod), nil
}

func isReady(p *corev1.Pod) bool {
	if p.DeletionTimestamp != nil || p.Status.Phase != corev1.PodRunning {
		return false
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// readyPod is a pod as flows know it, if it is ready.
func readyPod(p *corev1.Pod) (Pod, bool) {
	ip, err := netip.ParseAddr(p.Status.PodIP)
	if err != nil || !isReady(p) {
		return Pod{}, false
	}
	out := Pod{Name: p.Name, UID: string(p.UID), IP: ip, Labels: p.Labels, Revision: p.Labels[appsv1.DefaultDeploymentUniqueLabelKey]}
	if out.Revision == "" {
		out.Revision = p.Labels[appsv1.ControllerRevisionHashLabelKey]
	}
	for _, c := range p.Spec.Containers {
		for _, d := range c.Ports {
			if (d.Protocol == "" || d.Protocol == corev1.ProtocolTCP) && d.ContainerPort > 0 && d.ContainerPort < 1<<16 {
				out.Ports = append(out.Ports, Port{Name: d.Name, Number: uint16(d.ContainerPort)})
			}
		}
	}
	return out, true
}

// Service implements Cluster. It lists, because reading all Services is what the daemon may do anyway.
func (a *API) Service(ctx context.Context, namespace, name string, p Pod, port flow.Port) (netip.AddrPort, error) {
	var none netip.AddrPort
	list, err := a.Client.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name, ResourceVersion: "0"})
	if err != nil {
		return none, fmt.Errorf("read service %s/%s: %w", namespace, name, err)
	}
	for _, s := range list.Items {
		if s.Name == name {
			return serviceAddress(&s, p, port)
		}
	}
	return none, fmt.Errorf("there is no Service %s in %s", name, namespace)
}

func serviceAddress(s *corev1.Service, p Pod, port flow.Port) (netip.AddrPort, error) {
	var none netip.AddrPort
	switch {
	case s.Spec.Type == corev1.ServiceTypeExternalName:
		return none, fmt.Errorf("Service %s leads out of the cluster; name a host instead", s.Name)
	case len(s.Spec.Selector) == 0 || !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(p.Labels)):
		return none, fmt.Errorf("Service %s does not lead to pod %s", s.Name, p.Name)
	}
	ip, err := netip.ParseAddr(s.Spec.ClusterIP)
	if err != nil {
		return none, fmt.Errorf("Service %s has no address of its own", s.Name)
	}
	var ports []Port
	for _, d := range s.Spec.Ports {
		if (d.Protocol == "" || d.Protocol == corev1.ProtocolTCP) && d.Port > 0 && d.Port < 1<<16 {
			ports = append(ports, Port{Name: d.Name, Number: uint16(d.Port)})
		}
	}
	number, err := find(ports, port, "Service "+s.Name)
	if err != nil {
		return none, err
	}
	for _, d := range ports {
		if d.Number == number {
			return netip.AddrPortFrom(ip, number), nil
		}
	}
	return none, errors.New(strings.TrimSpace("Service " + s.Name + " has no port " + strconv.Itoa(int(number))))
}
