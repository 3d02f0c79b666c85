package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// annotated holds if Grafana has the bake's story, once, for the organisation or on a dashboard.
func (d *demo) annotated(dashboard string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		b, err := d.bad(ctx)
		if err != nil {
			return "", err
		}
		found, err := d.annotations(ctx, dashboard, "bakewatch", "bake:"+b.id())
		if err != nil {
			return "", err
		}
		if len(found) != 1 {
			return wrong("there are %d", len(found))
		}
		a := found[0]
		for _, tag := range []string{"namespace:shop", "workload:Deployment/web", "outcome:RolledBack"} {
			if !slices.Contains(a.Tags, tag) {
				return wrong("its tags %q lack %s", a.Tags, tag)
			}
		}
		if a.Time >= a.TimeEnd {
			return wrong("it is no region: from %d to %d", a.Time, a.TimeEnd)
		}
		if dashboard == "" {
			d.annotation = a
		}
		return fmt.Sprintf("from %s to %s, tagged %s", clock(time.UnixMilli(a.Time)), clock(time.UnixMilli(a.TimeEnd)), strings.Join(a.Tags, " ")), nil
	}
}

const alertName = "BakewatchRolledBack"

// alerted holds if Alertmanager's own API shows the alert.
func (d *demo) alerted(ctx context.Context) (string, error) {
	found, err := d.alerts(ctx)
	if err != nil {
		return "", err
	}
	if len(found) != 1 || found[0].Labels["alertname"] != alertName {
		var is []string
		for _, a := range found {
			is = append(is, fmt.Sprint(a.Labels))
		}
		return wrong("there are %d: %s", len(found), strings.Join(is, "; "))
	}
	if summary := found[0].Annotations["summary"]; !strings.Contains(summary, "rolled back") || !strings.Contains(summary, ", recovered") {
		return wrong("its summary does not say how it ended: %s", summary)
	}
	d.alert = found[0]
	return fmt.Sprintf("%s, %s; %s", d.alert.Status.State, d.alert.Labels["severity"], d.alert.Annotations["summary"]), nil
}

// paged holds if Alertmanager passed the alert on to its receiver.
func (d *demo) paged(ctx context.Context) (string, error) {
	sent, err := d.messages(ctx)
	if err != nil {
		return "", err
	}
	for _, m := range sent {
		for _, a := range m.JSON.Alerts {
			if a.Labels["alertname"] == alertName && a.Labels["namespace"] == "shop" && a.Labels["workload"] == "web" && a.Status == "firing" {
				return a.Annotations["summary"], nil
			}
		}
	}
	return wrong("%d messages came, none of them with the alert", len(sent))
}

// told holds if each stage of v2's bake was posted, and once.
func (d *demo) told(ctx context.Context) (string, error) {
	b, err := d.bad(ctx)
	if err != nil {
		return "", err
	}
	sent, err := d.messages(ctx)
	if err != nil {
		return "", err
	}
	var stages []string
	outcome := ""
	for _, m := range sent {
		if m.JSON.Bake == b.id() && m.JSON.Stage != "suspicion" { // which may come first
			stages = append(stages, m.JSON.Stage)
			outcome = m.JSON.Outcome
		}
	}
	if !slices.Equal(stages, []string{"started", "deciding", "ended"}) || outcome != "RolledBack" {
		return wrong("stages %q came, with the outcome %q", stages, outcome)
	}
	return strings.Join(stages, ", ") + "; outcome " + outcome, nil
}

// events holds if kubectl describe deployment web shows what happened.
func (d *demo) events(ctx context.Context) (string, error) {
	list, err := d.client.CoreV1().Events("shop").List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.kind=Deployment,involvedObject.name=web"})
	if err != nil {
		return "", err
	}
	w, err := d.web(ctx)
	if err != nil {
		return "", err
	}
	var reasons []string
	for _, e := range list.Items {
		if e.Source.Component == "bakewatch" && e.InvolvedObject.UID == w.UID && (e.Type == corev1.EventTypeWarning || e.Reason == "RolloutWatched") {
			reasons = append(reasons, e.Reason)
		}
	}
	slices.Sort(reasons)
	reasons = slices.Compact(reasons)
	if !slices.Equal(reasons, []string{"RegressionFound", "RolledBack", "RolloutWatched"}) {
		return wrong("the Events are %q", reasons)
	}
	return strings.Join(reasons, ", "), nil
}

// counted holds if the daemon's metrics count what was done.
func (d *demo) counted(ctx context.Context) (string, error) {
	for _, series := range []string{"bakewatch_rollbacks_total", `bakewatch_outcomes_total{outcome="RolledBack"}`} {
		if value, err := d.metric(ctx, series); err != nil || value != 1 {
			return wrong("%s is %g (%v)", series, value, err)
		}
	}
	return `bakewatch_rollbacks_total 1, bakewatch_outcomes_total{outcome="RolledBack"} 1`, nil
}
