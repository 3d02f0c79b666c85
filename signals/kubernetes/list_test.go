package kubernetes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// apiserver answers with a DaemonSet and its pods, and counts.
type apiserver struct {
	pods                []byte
	lists, reads, bytes atomic.Int64
}

func serverOf(t *testing.T, pods int) *apiserver {
	t.Helper()
	list := corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}}
	controller := true
	for i := range pods {
		list.Items = append(list.Items, corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("agent-%05d", i), Namespace: "kube", UID: "u", Annotations: map[string]string{"a": strings.Repeat("x", 500)},
				OwnerReferences: []metav1.OwnerReference{{Kind: "DaemonSet", Name: "agent", UID: "uid", Controller: &controller}}},
			Spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "app", Image: "app:1", Ports: []corev1.ContainerPort{{ContainerPort: 8080}}, Env: []corev1.EnvVar{{Name: "SECRET", Value: "hunter2"}}}}},
		})
	}
	raw, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return &apiserver{pods: raw}
}

func (a *apiserver) RoundTrip(r *http.Request) (*http.Response, error) {
	body := []byte(`{"kind":"DaemonSet","apiVersion":"apps/v1","metadata":{"name":"agent","namespace":"kube","uid":"uid"},"spec":{"selector":{"matchLabels":{"app":"agent"}}}}`)
	if strings.HasSuffix(r.URL.Path, "/pods") {
		a.lists.Add(1)
		body = a.pods
	} else {
		a.reads.Add(1)
	}
	a.bytes.Add(int64(len(body)))
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

func (a *apiserver) client(t *testing.T) kubernetes.Interface {
	t.Helper()
	c, err := kubernetes.NewForConfigAndClient(&rest.Config{Host: "http://apiserver", QPS: -1}, &http.Client{Transport: a})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// However often they are asked for, and by however many, the pods of a large DaemonSet are listed seldom, and those of a small
// Deployment soon.
func TestListsAreFewWherePodsAreMany(t *testing.T) {
	for _, c := range []struct {
		pods      int
		step      time.Duration // between those who ask
		lists, mb int64         // at most, in ten minutes
	}{{1000, 10 * time.Second, 30, 60}, {100, 2 * time.Second, 240, 60}, {3, time.Second, 600, 10}} {
		synctest.Test(t, func(t *testing.T) {
			server := serverOf(t, c.pods)
			l := &Lister{Client: server.client(t)}
			w := Workload{Kind: "DaemonSet", Namespace: "kube", Name: "agent"}
			for range 10 * time.Minute / c.step { // user flows and logs
				for range 2 {
					got, err := l.List(t.Context(), w)
					if err != nil || len(got) != c.pods {
						t.Fatalf("%d pods, %v", len(got), err)
					}
					if p := got[0]; len(p.Annotations) > 0 || len(p.Spec.Containers[0].Env) > 0 || p.Spec.Containers[0].Ports[0].ContainerPort != 8080 {
						t.Fatalf("it is kept as it came: %+v", p)
					}
				}
				time.Sleep(c.step)
			}
			if n := server.lists.Load(); n > c.lists || n < c.lists/3 {
				t.Errorf("%d pods were listed %d times in ten minutes", c.pods, n)
			}
			if mb := server.bytes.Load() >> 20; mb > c.mb {
				t.Errorf("%d pods cost %d MB in ten minutes", c.pods, mb)
			}
			if n := server.reads.Load(); n > 11 {
				t.Errorf("the workload was read %d times", n)
			}
		})
	}
}

// What is kept of all lists is bounded, and what is good no more is let go.
func TestListsAreKeptWithinBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Lister{}
		for i := range 10 {
			l.keep(fmt.Sprint(i), listing{make([]corev1.Pod, 5000), time.Now(), time.Minute})
			time.Sleep(time.Second)
		}
		if len(l.lists) != maxListedPods/5000 || l.lists["9"].pods == nil {
			t.Errorf("%d lists are kept", len(l.lists))
		}
		l.keep("large", listing{make([]corev1.Pod, 2*maxListedPods), time.Now(), time.Minute})
		if len(l.lists) != 1 {
			t.Errorf("%d lists are kept beside a large one", len(l.lists))
		}
		time.Sleep(2 * time.Minute)
		l.keep("small", listing{nil, time.Now(), time.Minute})
		if len(l.lists) != 1 {
			t.Errorf("%d lists are kept", len(l.lists))
		}
	})
}
