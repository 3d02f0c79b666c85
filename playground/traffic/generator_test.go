package traffic

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/bakewatch/bakewatch/playground/behavior"
)

func pod(name, owner, ip, rps string, ready bool, age time.Duration) *corev1.Pod {
	yes := true
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: metav1.NewTime(time.Now().Add(-age)),
		Annotations:     map[string]string{behavior.Prefix + behavior.RPS: rps},
		OwnerReferences: []metav1.OwnerReference{{Kind: "StatefulSet", Name: owner, Controller: &yes}}}}
	p.Status.PodIP = ip
	if ready {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	return p
}

func TestGroupReadsTheNewestPod(t *testing.T) {
	leaving := pod("d", "web", "127.1.1.4", "10", true, time.Minute)
	leaving.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	found := group([]*corev1.Pod{
		pod("a", "web", "127.1.1.1", "10", true, time.Hour), pod("b", "web", "127.1.1.2", "99", false, time.Second),
		pod("c", "web", "127.1.1.3", "10", true, time.Hour), leaving,
	})
	f := found["shop-web-80@kubernetes"]
	if f == nil || f.rps != 99 || strings.Join(f.ready, " ") != "127.1.1.1 127.1.1.3" {
		t.Fatalf("got %+v", f)
	}
}

func TestGeneratorSends(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	defer s.Close()
	host, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	index := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for _, p := range []*corev1.Pod{
		pod("a", "web", host, "500", true, 0), pod("b", "silent", "127.0.0.2", "500", true, 0), pod("c", "starting", "127.0.0.3", "500", false, 0),
	} {
		if err := index.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	g := New(Options{Pods: corelisters.NewPodLister(index), PodPort: port, MaxRPS: 400, Timeout: time.Second})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); g.Run(ctx) }()
	metrics := func() string {
		rec := httptest.NewRecorder()
		g.Metrics().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
		return rec.Body.String()
	}
	want := []string{`code="500",method="GET",protocol="http",service="shop-web-80@kubernetes"`, `code="502",method="GET",protocol="http",service="shop-silent-80@kubernetes"`}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		text := metrics()
		if strings.Contains(text, want[0]) && strings.Contains(text, want[1]) {
			if strings.Contains(text, "starting") {
				t.Error("a workload that was never ready got traffic")
			}
			break
		}
		if time.Now().After(end) {
			t.Fatalf("no traffic counted:\n%s", text)
		}
	}
	states, _ := g.State()
	for _, s := range states {
		if s.RPS > 134 { // three workloads share 400
			t.Errorf("%s gets %g requests per second", s.Service, s.RPS)
		}
	}
	// Once its pods are no longer ready, a workload's users see 503.
	if err := index.Update(pod("a", "web", host, "500", false, 0)); err != nil {
		t.Fatal(err)
	}
	g.Changed()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(metrics(), `code="503"`); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no 503 counted")
		}
	}
	cancel()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("does not end")
	}
}
