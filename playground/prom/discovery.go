package prom

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"
)

// HasKubernetesDiscovery says whether a Prometheus was built with kubernetes_sd_configs. Debian's is not. The name of
// the package is in every Go program that contains it.
func HasKubernetesDiscovery(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	want := []byte("prometheus/discovery/kubernetes")
	buf := make([]byte, 0, 1<<20)
	for {
		n, err := f.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if bytes.Contains(buf, want) {
			return true, nil
		}
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if keep := len(want); len(buf) > keep { // the name may lie across two reads
			buf = append(buf[:0], buf[len(buf)-keep:]...)
		}
	}
}

type targetGroup struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// Discovery lists the pods for a Prometheus without kubernetes_sd_configs, as http_sd_configs want it and with the
// labels that kubernetes_sd_configs would give, so that the rest of the configuration is the same for both.
func Discovery(pods corelisters.PodLister, podPort string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		all, err := pods.List(labels.Everything())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		groups := []targetGroup{}
		for _, p := range all {
			if p.Status.PodIP != "" {
				groups = append(groups, targetGroup{[]string{p.Status.PodIP + ":" + podPort}, metaLabels(p)})
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(groups)
	})
}

func metaLabels(p *corev1.Pod) map[string]string {
	const meta = "__meta_kubernetes_"
	out := map[string]string{
		meta + "namespace": p.Namespace, meta + "pod_name": p.Name, meta + "pod_ip": p.Status.PodIP,
		meta + "pod_phase": string(p.Status.Phase), meta + "pod_node_name": p.Spec.NodeName, meta + "pod_container_init": "false",
	}
	for k, v := range p.Labels {
		out[meta+"pod_label_"+sanitize(k)] = v
	}
	for k, v := range p.Annotations {
		out[meta+"pod_annotation_"+sanitize(k)] = v
	}
	return out
}

// sanitize makes a label name of a Kubernetes key, as Prometheus does.
func sanitize(key string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, key)
}
