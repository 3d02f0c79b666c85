package behavior

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestParse(t *testing.T) {
	b, err := Parse(map[string]string{
		Prefix + "error-rate": "0.08", Prefix + "latency-ms": "12.5", Prefix + "rps": "300", Prefix + "mode": "oom",
		Prefix + "log": "one\ntwo", Prefix + "after": "30s", Prefix + "startup": "2s", "other/key": "x",
	})
	if err != nil {
		t.Fatal(err)
	}
	if b.ErrorRate != 0.08 || b.Latency != 12500*time.Microsecond || b.RPS != 300 || b.Mode != OOM ||
		len(b.Log) != 2 || b.After != 30*time.Second || b.Startup != 2*time.Second {
		t.Fatalf("got %+v", b)
	}
	if b, err = Parse(nil); err != nil || b.Mode != OK || b.RPS != DefaultRPS || b.ErrorRate != 0 {
		t.Fatalf("defaults: %+v, %v", b, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for key, value := range map[string]string{
		"error-rate": "8%", "latency-ms": "-1", "rps": "NaN", "mode": "oops", "after": "30", "startup": "-1s", "error_rate": "0.1",
	} {
		_, err := Parse(map[string]string{Prefix + key: value})
		if err == nil || !strings.Contains(err.Error(), Prefix+key) {
			t.Errorf("%s=%q: the error must name the annotation, got %v", key, value, err)
		}
	}
}

func TestWorkloadOf(t *testing.T) {
	yes := true
	pod := func(kind, owner string, labels map[string]string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p", Labels: labels}}
		if kind != "" {
			p.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: owner, Controller: &yes}}
		}
		return p
	}
	for _, c := range []struct {
		pod        *corev1.Pod
		want, hash string
	}{
		{pod("ReplicaSet", "web-api-5f6d", map[string]string{"pod-template-hash": "5f6d"}), "Deployment/web-api", "5f6d"},
		{pod("ReplicaSet", "plain", nil), "ReplicaSet/plain", ""},
		{pod("StatefulSet", "db", map[string]string{"controller-revision-hash": "db-1"}), "StatefulSet/db", "db-1"},
		{pod("", "", nil), "Pod/p", ""},
	} {
		w := WorkloadOf(c.pod)
		if got := w.Kind + "/" + w.Name; got != c.want || RevisionOf(c.pod) != c.hash {
			t.Errorf("got %s %s, want %s %s", got, RevisionOf(c.pod), c.want, c.hash)
		}
	}
}
