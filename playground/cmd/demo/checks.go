package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// guarding holds once the daemon can do its work.
func (d *demo) guarding(ctx context.Context) (string, error) {
	if _, err := fetch(ctx, "http://"+d.listen+"/readyz"); err != nil {
		return "", err
	}
	for _, series := range []string{"bakewatch_leader", "bakewatch_config_last_reload_successful"} {
		if value, err := d.metric(ctx, series); err != nil || value != 1 {
			return wrong("%s is %g (%v)", series, value, err)
		}
	}
	// What was rolled out up to the second in which the Lease was first taken is the way things were, and is not baked.
	lease, err := d.client.CoordinationV1().Leases("bakewatch").Get(ctx, "bakewatch", metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	if time.Since(lease.CreationTimestamp.Time) < time.Second {
		return wrong("it leads since this very second")
	}
	return "http://" + d.listen + "/readyz says ok", nil
}

func (d *demo) web(ctx context.Context) (*appsv1.Deployment, error) {
	return d.client.AppsV1().Deployments("shop").Get(ctx, "web", metav1.GetOptions{})
}

// keepTemplate remembers v1's template.
func (d *demo) keepTemplate(ctx context.Context) error {
	w, err := d.web(ctx)
	if err == nil {
		d.v1Template = w.Spec.Template
	}
	return err
}

// past holds once Prometheus has enough samples of v1 to compare with.
func (d *demo) past(ctx context.Context) (string, error) {
	got, err := d.query(ctx, `min(time() - min_over_time(timestamp(http_requests_total{namespace="shop",code="200"})[10m:1s]))`)
	if err != nil {
		return "", err
	}
	if len(got) != 1 || got[0].number() < 20 {
		return wrong("not yet: %v", got)
	}
	return fmt.Sprintf("%.0f s of each of its pods", got[0].number()), nil
}

// patched holds once v2's bake has the receipt of its rollback.
func (d *demo) patched(ctx context.Context) (string, error) {
	b, err := d.bad(ctx)
	switch {
	case err != nil:
		return "", err
	case b.Status.Rollback != nil && b.Status.Rollback.PatchedAt != nil:
		return b.id() + " has intent and receipt", nil
	case b.Status.Outcome != "":
		return "", never{fmt.Errorf("no rollback is on record; outcome %s, %s", b.Status.Outcome, b.Status.Why)}
	}
	return wrong("no rollback is on record yet; phase %q, %s", b.Status.Phase, b.Status.Why)
}

// latency holds if the rollback came in time.
func (d *demo) latency(ctx context.Context) (string, error) {
	b, err := d.bad(ctx)
	if err != nil {
		return "", err
	}
	bad, err := d.servedBy(ctx, d.badOne())
	switch {
	case err != nil:
		return "", err
	case bad.FirstBad == 0 || b.Status.Rollback == nil || b.Status.Rollback.PatchedAt == nil:
		return wrong("it served no bad response, or was not rolled back")
	}
	took := b.Status.Rollback.PatchedAt.Sub(time.Unix(0, bad.FirstBad))
	sentence := fmt.Sprintf("first bad response → rollback patch: %s (allowed %s)", seconds(took), seconds(d.allowedBy()))
	if took <= 0 || took > d.allowedBy() {
		return wrong("%s", sentence)
	}
	return sentence, nil
}

// rolledBack holds once v2's bake has ended as it should.
func (d *demo) rolledBack(ctx context.Context) (string, error) {
	b, err := d.bad(ctx)
	if err != nil {
		return "", err
	}
	st := b.Status
	if st.Outcome == "" {
		return wrong("it has no outcome yet; phase %s", st.Phase)
	}
	if st.Outcome != "RolledBack" || st.Rollback == nil || st.Rollback.Recovered != "Yes" || st.Rollback.Target.version() != v1.Version {
		return "", never{fmt.Errorf("outcome %s, rollback %+v", st.Outcome, st.Rollback)}
	}
	return st.Rollback.Recovery, nil
}

// restored holds if the API server has v1's template again, and all its pods are available.
func (d *demo) restored(ctx context.Context) (string, error) {
	w, err := d.web(ctx)
	if err != nil {
		return "", err
	}
	st := w.Status
	switch {
	case !equality.Semantic.DeepEqual(w.Spec.Template, d.v1Template):
		return wrong("the template is another one, with the image %s", w.Spec.Template.Spec.Containers[0].Image)
	case *w.Spec.Replicas != 3 || st.ObservedGeneration != w.Generation || st.UpdatedReplicas != 3 || st.AvailableReplicas != 3 || st.Replicas != 3:
		return wrong("%d pods, %d of v1, %d available, of %d", st.Replicas, st.UpdatedReplicas, st.AvailableReplicas, *w.Spec.Replicas)
	}
	return "the same template to the last field, 3 of 3 pods available", nil
}

// revisions holds if the deployment came to a revision by one rollback, 1 → 3, and was never put back again.
func (d *demo) revisions(number int) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		w, err := d.web(ctx)
		if err != nil {
			return "", err
		}
		sets, err := d.client.AppsV1().ReplicaSets("shop").List(ctx, metav1.ListOptions{LabelSelector: "app=web"})
		if err != nil {
			return "", err
		}
		var again []string // revisions whose template came back
		for _, rs := range sets.Items {
			if earlier := rs.Annotations["deployment.kubernetes.io/revision-history"]; earlier != "" {
				again = append(again, earlier+" → "+rs.Annotations[revisionKey])
			}
		}
		if got := w.Annotations[revisionKey]; got != fmt.Sprint(number) || !slices.Equal(again, []string{"1 → 3"}) {
			return wrong("the deployment is at revision %s, and %q came back", got, again)
		}
		return fmt.Sprintf("the deployment is at revision %d; only 1 → 3 is a revision that came back", number), nil
	}
}

// noOwnership holds if the daemon left no claim on the template that a later apply would run into.
func (d *demo) noOwnership(ctx context.Context) (string, error) {
	w, err := d.web(ctx)
	if err != nil {
		return "", err
	}
	var managers []string
	for _, f := range w.ManagedFields {
		var fields struct {
			Spec map[string]any `json:"f:spec"`
		}
		if f.FieldsV1 != nil {
			if err := json.Unmarshal(f.FieldsV1.GetRawBytes(), &fields); err != nil {
				return "", err
			}
		}
		if strings.HasPrefix(f.Manager, "bakewatch") {
			return wrong("the field manager %s (%s) is still there, with %v", f.Manager, f.Operation, fields.Spec)
		}
		managers = append(managers, f.Manager)
	}
	return "its field managers are " + strings.Join(managers, ", "), nil
}

// reasoned holds if the bake says why, in words and by code.
func (d *demo) reasoned(ctx context.Context) (string, error) {
	b, err := d.bad(ctx)
	if err != nil {
		return "", err
	}
	rs := b.Status.Reasons
	switch {
	case len(rs) == 0 || rs[0].Code != "threshold" || rs[0].Sentence != b.Status.Why:
		return wrong("the reasons are %v", rs)
	// The pods' counters and the ingress's both tell of it; the one that was scraped first leads.
	case !strings.Contains(rs[0].Sentence, "http-errors: ") && !strings.Contains(rs[0].Sentence, "ingress-errors: "), !strings.Contains(rs[0].Sentence, "% of "):
		return wrong("there are no numbers in %q", rs[0].Sentence)
	}
	return rs[0].Sentence, nil
}

// askedOnly holds if the daemon knows all it knows from the one source the demo is played with.
func (d *demo) askedOnly(ctx context.Context) (string, error) {
	other := map[string]string{"prometheus": "datadog", "datadog": "prometheus"}[d.source]
	asked, err := d.metric(ctx, fmt.Sprintf("bakewatch_source_queries_total{result=\"ok\",source=%q}", d.source))
	if err != nil {
		return "", err
	}
	if n, err := d.metric(ctx, fmt.Sprintf("bakewatch_source_queries_total{result=\"ok\",source=%q}", other)); err == nil && n > 0 {
		return "", never{fmt.Errorf("it asked %s, too, %g times", other, n)}
	}
	if asked == 0 {
		return wrong("no query was answered")
	}
	return fmt.Sprintf("%g requests were answered", asked), nil
}
