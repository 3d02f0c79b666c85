package prometheus

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/bakewatch/bakewatch/signals"
)

// resources are what containers are held to, by the signal that says they met their limit: how much each of a pod's containers used,
// and its limit, as the kubelets' cAdvisor says. $of stands for a selector.
var resources = map[string]struct {
	used, limit string
	least       float64 // share of bad counts from which it is asked
	print       func(float64) string
	unit        string
}{
	"cpu-throttling": {
		used:  `sum by (container) (rate(container_cpu_usage_seconds_total$of[2m]))`,
		limit: `max by (container) (container_spec_cpu_quota$of / container_spec_cpu_period$of)`,
		least: 0.25, print: func(x float64) string { return strconv.FormatFloat(x, 'g', 2, 64) }, unit: " CPUs",
	},
	"oom-kills": {
		used:  `max by (container) (max_over_time(container_memory_working_set_bytes$of[10m]))`,
		limit: `max by (container) (container_spec_memory_limit_bytes$of > 0)`,
		print: bytes,
	},
}

// bytes are as Kubernetes writes memory: 64Mi.
func bytes(x float64) string {
	if x < 10<<30 {
		return strconv.FormatFloat(math.Round(x/(1<<20)), 'f', 0, 64) + "Mi"
	}
	return resource.NewQuantity(int64(math.Round(x/(1<<30)))<<30, resource.BinarySI).String()
}

// tellUsage has the newest reading say how much was used of which limit, by the pod that it says most is wrong with. That it is not
// known takes nothing from the reading.
func (s *Source) tellUsage(ctx context.Context, q signals.Question, readings []signals.Reading) {
	r, known := resources[q.Signal]
	if !known || q.By != signals.ByPod || len(readings) == 0 {
		return
	}
	newest := &readings[len(readings)-1]
	c := &newest.Candidate
	if !c.Spoke() || c.Errors == 0 || c.Rate() < r.least {
		return
	}
	worst := ""
	for pod, n := range c.Pods {
		if was := c.Pods[worst]; n.Errors > 0 && (worst == "" || n.Rate() > was.Rate() || n.Rate() == was.Rate() && pod < worst) {
			worst = pod
		}
	}
	if worst == "" {
		return
	}
	selector := fmt.Sprintf(`{namespace=%q,pod=%q,container!="",container!="POD"}`, q.Vars["namespace"], worst)
	text := strings.ReplaceAll(`label_replace(`+r.used+`, "of", "used", "", "") or label_replace(`+r.limit+`, "of", "limit", "", "")`, "$of", selector)
	answer, bad := s.query(ctx, text, newest.Window.To)
	if bad != nil {
		return
	}
	container, used, limit := usageOf(answer)
	switch {
	case used == 0:
	case limit > 0:
		c.Detail = fmt.Sprintf("container %s used %s of its limit of %s%s", container, r.print(used), r.print(limit), r.unit)
	default:
		c.Detail = fmt.Sprintf("container %s used %s%s", container, r.print(used), r.unit)
	}
}

// usageOf is the container that used most of its limit, or of none that has one, most.
func usageOf(answer model.Value) (container string, used, limit float64) {
	v, _ := answer.(model.Vector)
	uses, limits := map[string]float64{}, map[string]float64{}
	for _, sample := range v {
		into, name, x := uses, string(sample.Metric["container"]), float64(sample.Value)
		if sample.Metric["of"] == "limit" {
			into = limits
		}
		if x > 0 && !math.IsInf(x, 0) && name != "" {
			into[name] = x
		}
	}
	share := func(name string) float64 {
		if limits[name] > 0 {
			return uses[name] / limits[name]
		}
		return 0
	}
	for name := range uses {
		if container == "" || share(name) > share(container) || share(name) == share(container) && (uses[name] > uses[container] || uses[name] == uses[container] && name < container) {
			container = name
		}
	}
	return container, uses[container], limits[container]
}

// MemoryUsed is the most that a container was seen to use, as Kubernetes writes it; empty when that is not known.
func (s *Source) MemoryUsed(ctx context.Context, namespace, pod, container string) (string, error) {
	text := fmt.Sprintf(`max(max_over_time(container_memory_working_set_bytes{namespace=%q,pod=%q,container=%q}[10m]))`, namespace, pod, container)
	answer, bad := s.query(ctx, text, time.Now())
	if bad != nil {
		return "", fmt.Errorf("ask how much memory container %s of pod %s/%s used: %w", container, namespace, pod, bad)
	}
	if v, ok := answer.(model.Vector); ok && len(v) == 1 && v[0].Value > 0 && !math.IsInf(float64(v[0].Value), 0) {
		return bytes(float64(v[0].Value)), nil
	}
	return "", nil
}
