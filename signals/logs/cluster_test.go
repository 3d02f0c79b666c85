package logs

import (
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	kube "github.com/bakewatch/bakewatch/signals/kubernetes"
)

// TestStarts: migrations are looked for in the new pods, in their init containers, and in the Jobs that carry a label of theirs and
// are no older than the rollout; nowhere else.
func TestStarts(t *testing.T) {
	const hash = appsv1.DefaultDeploymentUniqueLabelKey
	began := start.Add(time.Minute)
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(began)}}
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{StartedAt: metav1.NewTime(began.Add(-30 * time.Second)), ExitCode: 0}}
	pod := func(name, owner string, labels map[string]string, containers ...corev1.ContainerStatus) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: labels, CreationTimestamp: metav1.NewTime(start),
				OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: owner, Controller: new(true)}}},
			Status: corev1.PodStatus{ContainerStatuses: containers},
		}
	}
	fresh := pod("web-7d9f6c5b4-x2k8p", "web-7d9f6c5b4", map[string]string{"app": "web", "release": "shop", hash: "7d9f6c5b4"},
		corev1.ContainerStatus{Name: "app", State: running}, corev1.ContainerStatus{Name: "waits", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}})
	fresh.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "migrate", State: ended}}
	job := func(name string, born time.Time, labels map[string]string) *corev1.Pod {
		p := pod(name, name, labels, corev1.ContainerStatus{Name: "job", State: ended})
		p.Labels[jobLabel], p.CreationTimestamp, p.OwnerReferences[0].Kind = name, metav1.NewTime(born), "Job"
		return p
	}
	client := fake.NewClientset(
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "w"}, Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}},
		fresh,
		pod("web-6c7d8f9b5-x2k8p", "web-6c7d8f9b5", map[string]string{"app": "web", "release": "shop", hash: "6c7d8f9b5"}, corev1.ContainerStatus{Name: "app", State: running}),
		job("migrates", start, map[string]string{"release": "shop"}),
		job("migrates-too", start, map[string]string{"app": "web"}),
		job("of-the-rollout-before", start.Add(-time.Hour), map[string]string{"release": "shop"}),
		job("of-another", start, map[string]string{"release": "pay"}),
		job("of-nobody", start, map[string]string{}),
	)
	api := &API{Client: client, Lister: &kube.Lister{Client: client}}
	starts, err := api.Starts(t.Context(), Workload{Kind: "Deployment", Namespace: "shop", Name: "web"}, hash, "7d9f6c5b4", start.Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range starts {
		text := s.Pod + "/" + s.Container
		if s.Done {
			text += " done"
		}
		if s.Began.IsZero() {
			t.Errorf("%s: it is not known when it began", text)
		}
		got = append(got, text)
	}
	slices.Sort(got)
	if want := "migrates-too/job done, migrates/job done, web-7d9f6c5b4-x2k8p/app, web-7d9f6c5b4-x2k8p/migrate done"; strings.Join(got, ", ") != want {
		t.Errorf("read are %s\nwant     %s", strings.Join(got, ", "), want)
	}
}
