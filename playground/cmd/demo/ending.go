package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ownedByApply holds if v4 runs, and belongs to whoever applied it on the server side and to nobody else.
func (d *demo) ownedByApply(ctx context.Context) (string, error) {
	w, err := d.web(ctx)
	if err != nil {
		return "", err
	}
	if image := w.Spec.Template.Spec.Containers[0].Image; image != v4.image() || w.Status.AvailableReplicas != 3 {
		return wrong("it runs %s, %d available", image, w.Status.AvailableReplicas)
	}
	for _, f := range w.ManagedFields {
		if f.FieldsV1 == nil || !strings.Contains(f.FieldsV1.GetRawString(), `"f:image"`) {
			continue
		}
		if f.Manager != d.applier() || f.Operation != metav1.ManagedFieldsOperationApply {
			return wrong("its image belongs to %s (%s)", f.Manager, f.Operation)
		}
	}
	return "3 of 3 pods of v4 available; the image belongs to " + d.applier() + " (Apply) alone", nil
}

// allBakes holds if the four rollouts, and nothing else, have a bake.
func (d *demo) allBakes(ctx context.Context) (string, error) {
	bakes, err := d.bakes(ctx)
	if err != nil {
		return "", err
	}
	var got []string
	for _, b := range bakes {
		got = append(got, fmt.Sprintf("rev %d %s", b.Spec.To.Number, b.Status.Outcome))
	}
	if !slices.Equal(got, []string{"rev 1 Passed", "rev 2 RolledBack", "rev 4 Passed", "rev 5 Passed"}) {
		return wrong("there are %s", strings.Join(got, ", "))
	}
	return strings.Join(got, ", "), nil
}

// allAnnotations holds if each bake has one annotation of the organisation, and one on the dashboard, closed with its outcome.
func (d *demo) allAnnotations(ctx context.Context) (string, error) {
	bakes, err := d.bakes(ctx)
	if err != nil {
		return "", err
	}
	total := 0
	for _, dashboard := range []string{"", "services"} {
		found, err := d.annotations(ctx, dashboard, "bakewatch")
		if err != nil {
			return "", err
		}
		for _, b := range bakes {
			mine := 0
			for _, a := range found {
				if slices.Contains(a.Tags, "bake:"+b.id()) && slices.Contains(a.Tags, "outcome:"+b.Status.Outcome) && a.Time < a.TimeEnd {
					mine++
				}
			}
			if mine != 1 {
				return wrong("%s (%s) has %d on the dashboard %q", b.id(), b.Status.Outcome, mine, dashboard)
			}
		}
		if len(found) != len(bakes) {
			return wrong("there are %d for %d bakes on the dashboard %q", len(found), len(bakes), dashboard)
		}
		total += len(found)
	}
	return fmt.Sprintf("%d regions for %d bakes", total, len(bakes)), nil
}

// resolved holds once Alertmanager was told that the alert is over, and has passed that on.
func (d *demo) resolved(ctx context.Context) (string, error) {
	found, err := d.alerts(ctx)
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		return wrong("%d alerts still fire", len(found))
	}
	sent, err := d.messages(ctx)
	if err != nil {
		return "", err
	}
	for _, m := range sent {
		for _, a := range m.JSON.Alerts {
			if a.Labels["alertname"] == alertName && a.Status == "resolved" {
				return "Alertmanager told the webhook so", nil
			}
		}
	}
	return wrong("nobody was told")
}

// show prints what a person would look at.
func (d *demo) show(ctx context.Context) error {
	d.say(kubectl, "%s", d.paint("1", "$ kubectl get bakes -A"))
	table, err := d.ask(ctx, "get", "bakes", "-A")
	if err != nil {
		return err
	}
	d.plain(table)
	d.say(grafana, "the annotation of v2's bake, as sent:")
	d.plain(pretty(map[string]any{
		"id": d.annotation.ID, "time": d.annotation.Time, "timeEnd": d.annotation.TimeEnd, "tags": d.annotation.Tags, "text": d.annotation.Text,
	}))
	d.say(alertmanager, "the alert, as sent:")
	d.plain(pretty(map[string]any{
		"labels": d.alert.Labels, "annotations": d.alert.Annotations, "startsAt": d.alert.StartsAt.Format(time.RFC3339),
	}))
	return nil
}

// pretty is a value as indented JSON, with long texts cut.
func pretty(value map[string]any) string {
	for key, v := range value {
		if text, ok := v.(string); ok {
			value[key] = shorten(text, 400)
		}
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return err.Error()
	}
	return out.String()
}
