package probe

import (
	"net/netip"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	kube "github.com/bakewatch/bakewatch/signals/kubernetes"
	"github.com/bakewatch/bakewatch/signals/probe/flow"
)

// podOf is a pod that is ready, of a ReplicaSet of web's.
func podOf(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	hash := strings.Split(name, "-")[1]
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "u-" + "1", Labels: map[string]string{"app": "web", appsv1.DefaultDeploymentUniqueLabelKey: hash},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web-" + hash, Controller: new(true)}}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}, {Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.1.2.3",
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func TestReady(t *testing.T) {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "w"},
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}}
	client := fake.NewClientset(d, podOf("web-7d9f6c5b4-x2k8p"),
		podOf("web-7d9f6c5b4-aaaaa", func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }),
		podOf("web-7d9f6c5b4-bbbbb", func(p *corev1.Pod) { p.DeletionTimestamp = new(metav1.Now()); p.Finalizers = []string{"x/y"} }),
		podOf("web-7d9f6c5b4-ccccc", func(p *corev1.Pod) { p.OwnerReferences = nil }),                     // somebody's own, with the same labels
		podOf("web-7d9f6c5b4-ddddd", func(p *corev1.Pod) { p.OwnerReferences[0].Name = "api-7d9f6c5b4" }), // of another workload
		podOf("web-7d9f6c5b4-eeeee", func(p *corev1.Pod) { p.Status.PodIP = "" }),
		podOf("web-7d9f6c5b4-fffff", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }),
		podOf("web-7d9f6c5b4-ggggg", func(p *corev1.Pod) { p.Labels["app"] = "api" }))
	api := &API{Client: client, Pods: &kube.Lister{Client: client}}
	got, err := api.Ready(t.Context(), web)
	if err != nil || len(got) != 1 || got[0].Name != "web-7d9f6c5b4-x2k8p" || got[0].Revision != "7d9f6c5b4" || len(got[0].Ports) != 1 {
		t.Fatalf("%+v %v", got, err)
	}
	if at, err := got[0].address(""); err != nil || at != netip.MustParseAddrPort("10.1.2.3:8080") {
		t.Errorf("%v %v", at, err)
	}
	for _, c := range []struct {
		p    Pod
		want bool
	}{
		{got[0], true},
		{Pod{Name: got[0].Name, UID: "another"}, false}, // born anew under the name
		{Pod{Name: "web-7d9f6c5b4-aaaaa", UID: "u-1"}, false},
		{Pod{Name: "web-7d9f6c5b4-bbbbb", UID: "u-1"}, false},
		{Pod{Name: "web-7d9f6c5b4-zzzzz", UID: "u-1"}, false},
	} {
		if serves, err := api.Serves(t.Context(), web, c.p); err != nil || serves != c.want {
			t.Errorf("%s serves: %v %v, want %v", c.p.Name, serves, err, c.want)
		}
	}
	for _, w := range []Workload{{Kind: "Deployment", Namespace: "shop", Name: "gone"}, {Kind: "StatefulSet", Namespace: "shop", Name: "gone"}, {Kind: "DaemonSet", Namespace: "shop", Name: "gone"}, {Kind: "Job", Namespace: "shop", Name: "x"}} {
		if _, err := api.Ready(t.Context(), w); err == nil || !strings.Contains(err.Error(), w.String()) {
			t.Errorf("%s: %v", w, err)
		}
	}
}

func TestReadyOfAStatefulSet(t *testing.T) {
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db", UID: "s1"},
		Spec: appsv1.StatefulSetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}}}
	owned := func(uid string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Labels = map[string]string{"app": "db", appsv1.ControllerRevisionHashLabelKey: "db-5f"}
			p.OwnerReferences = []metav1.OwnerReference{{Kind: "StatefulSet", Name: "db", UID: "s1", Controller: new(true)}}
			if uid != "" {
				p.OwnerReferences[0].UID = "s0"
			}
		}
	}
	client := fake.NewClientset(set, podOf("db-0", owned("")), podOf("db-1", owned("s0"))) // db-1 is left of one that was deleted
	api := &API{Client: client, Pods: &kube.Lister{Client: client}}
	got, err := api.Ready(t.Context(), Workload{Kind: "StatefulSet", Namespace: "shop", Name: "db"})
	if err != nil || len(got) != 1 || got[0].Name != "db-0" || got[0].Revision != "db-5f" {
		t.Errorf("%+v %v", got, err)
	}
}

// A Service is gone to if it is the namespace's and leads to the pod, and to no other address.
func TestService(t *testing.T) {
	service := func(name string, change func(*corev1.ServiceSpec)) *corev1.Service {
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.7", Selector: map[string]string{"app": "web"},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}}}}
		change(&s.Spec)
		return s
	}
	api := &API{Client: fake.NewClientset(
		service("web", func(*corev1.ServiceSpec) {}),
		service("api", func(s *corev1.ServiceSpec) { s.Selector = map[string]string{"app": "api"} }),
		service("hand-made", func(s *corev1.ServiceSpec) { s.Selector = nil }),
		service("headless", func(s *corev1.ServiceSpec) { s.ClusterIP = corev1.ClusterIPNone }),
		service("outside", func(s *corev1.ServiceSpec) {
			s.Type, s.ExternalName = corev1.ServiceTypeExternalName, "metadata.google.internal"
		}))}
	pod := Pod{Name: "web-1-a", Labels: map[string]string{"app": "web"}}
	for _, c := range []struct {
		name string
		port flow.Port
		want string
		says string
	}{
		{"web", "", "10.96.0.7:80", ""},
		{"web", "http", "10.96.0.7:80", ""},
		{"web", "80", "10.96.0.7:80", ""},
		{"web", "8080", "", "has no port 8080"},
		{"web", "dns", "", "declares no port named dns"},
		{"api", "", "", "does not lead to pod web-1-a"},
		{"hand-made", "", "", "does not lead to pod"},
		{"headless", "", "", "no address of its own"},
		{"outside", "", "", "leads out of the cluster"},
		{"none", "", "", "there is no Service none in shop"},
	} {
		at, err := api.Service(t.Context(), "shop", c.name, pod, c.port)
		if c.says == "" && (err != nil || at.String() != c.want) || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s %q: %v %v", c.name, c.port, at, err)
		}
	}
}
