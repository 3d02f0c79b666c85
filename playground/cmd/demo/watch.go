package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// watch narrates what each part sees, as it sees it, until stopWatching is called. It only looks and tells: nothing is
// verified here.
func (d *demo) watch(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	every := func(pause time.Duration, look func(context.Context)) {
		wg.Go(func() {
			for ctx.Err() == nil {
				look(ctx)
				select {
				case <-ctx.Done():
				case <-time.After(pause):
				}
			}
		})
	}
	every(100*time.Millisecond, d.watchTraffic())
	every(200*time.Millisecond, d.watchDeployment())
	every(2*time.Second, d.watchRates())
	// Reading these narrates what is new in them; whoever verifies them does so too, and so the order stays right.
	every(200*time.Millisecond, func(ctx context.Context) { _, _ = d.bakes(ctx) })
	every(500*time.Millisecond, func(ctx context.Context) {
		_, _ = d.annotations(ctx, "", "bakewatch", "namespace:shop")
		_, _ = d.annotations(ctx, "services", "bakewatch", "namespace:shop")
	})
	every(500*time.Millisecond, func(ctx context.Context) { _, _ = d.alerts(ctx) })
	every(500*time.Millisecond, func(ctx context.Context) { _, _ = d.messages(ctx) })
	d.stopWatching = func() {
		cancel()
		wg.Wait()
	}
}

func (d *demo) watchTraffic() func(context.Context) {
	last := ""
	return func(ctx context.Context) {
		revisions, pods, err := d.traffic(ctx)
		if err != nil {
			return
		}
		if now := readyPods(pods); now != last {
			if now != "" {
				d.say(clusterSees, "ready pods of web: %s", now)
			}
			last = now
		}
		for _, r := range revisions {
			if r.version() == d.badOne().Version && r.FirstBad != 0 {
				d.sayOnce("bad", trafficSees, "%s serves its first bad response (500) at %s", r.version(), clock(time.Unix(0, r.FirstBad)))
			}
		}
	}
}

// readyPods counts the ready pods by version: "v1 2, v2 1".
func readyPods(pods []served) string {
	ready := map[string]int{}
	for _, p := range pods {
		if p.Ready && p.Gone == 0 {
			ready[p.version()]++
		}
	}
	var out []string
	for v, n := range ready {
		out = append(out, fmt.Sprintf("%s %d", v, n))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func (d *demo) watchDeployment() func(context.Context) {
	image := ""
	short := false
	return func(ctx context.Context) {
		w, err := d.client.AppsV1().Deployments("shop").Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			return
		}
		if now := w.Spec.Template.Spec.Containers[0].Image; now != image {
			if image != "" {
				d.say(clusterSees, "the template of deployment web changes from %s to %s", tag(image), tag(now))
			}
			image = now
		}
		// The first version has to start first; afterwards users are to be served all the time.
		if few := w.Status.AvailableReplicas < *w.Spec.Replicas; w.Annotations[revisionKey] != "1" && few != short {
			d.say(clusterSees, "%d of %d pods of web are available", w.Status.AvailableReplicas, *w.Spec.Replicas)
			short = few
		}
	}
}

const revisionKey = "deployment.kubernetes.io/revision"

// narrateBake tells how far a bake has come, by what is on record.
func (d *demo) narrateBake(b bake) {
	say := func(step, format string, args ...any) { d.sayOnce(b.Name+step, bakewatch, format, args...) }
	st, to, from := b.Status, b.Spec.To, b.Spec.From
	if b.Spec.InPlace && from != nil {
		say("seen", "sees another configuration of %s, in place: rev %d goes from %s to %s; changed: %s; by %s", b.Spec.Ref, to.Number,
			from.Configuration, to.Configuration, shorten(strings.Join(b.Spec.Changes, ", "), 200), b.Spec.ChangedBy)
	} else if from == nil {
		say("seen", "sees the first rollout of %s: rev %d (%s); there is nothing to compare it with but the ceiling", b.Spec.Ref, to.Number, to.version())
	} else {
		say("seen", "sees a rollout of %s: rev %d (%s) over the known good rev %d (%s); changed: %s; by %s", b.Spec.Ref,
			to.Number, to.version(), from.Number, from.version(), shorten(strings.Join(b.Spec.Changes, ", "), 200), b.Spec.ChangedBy)
	}
	if st.FirstReadyAt != nil {
		say("baking", "Baking: the first pod of rev %d is ready; judging it every %s", to.Number, interval)
	}
	if st.CompletedAt != nil {
		say("complete", "the rollout of rev %d is complete; it is watched for %s more", to.Number, window)
	}
	if rb := st.Rollback; rb != nil {
		say("verdict", "verdict: %s", st.Why)
		say("intent", "RollingBack: the intent to go back to rev %d (%s) is on record, before the patch", rb.Target.Number, rb.Target.version())
		if rb.PatchedAt != nil && b.Spec.InPlace {
			say("patched", "the content %s is put back at %s", rb.Target.Configuration, clock(rb.PatchedAt.Time))
		} else if rb.PatchedAt != nil {
			say("patched", "the template of rev %d (%s) is put back at %s", rb.Target.Number, rb.Target.version(), clock(rb.PatchedAt.Time))
		}
		if rb.AvailableAt != nil {
			say("verifying", "Verifying: all pods of %s are available again; measuring for %s whether it helped", rb.Target.version(), verify)
		}
		if rb.Recovery != "" {
			say("recovery", "%s", rb.Recovery)
		}
	}
	if st.Outcome != "" {
		say("ended", "outcome of rev %d (%s): %s; %s", to.Number, to.version(), st.Outcome, st.Why)
	}
}

// watchRates tells what share of requests fails by version while a bake goes on.
func (d *demo) watchRates() func(context.Context) {
	last := ""
	return func(ctx context.Context) {
		bakes, err := d.bakes(ctx)
		if err != nil || len(bakes) == 0 || bakes[len(bakes)-1].Status.Outcome != "" {
			return
		}
		shares, now, err := d.rates(ctx)
		if err != nil || now == "" || shares == last {
			return
		}
		d.say(prometheus, "%s", now)
		last = shares
	}
}

// rates are the shares of failed requests by version over the last seconds, and a sentence about them.
func (d *demo) rates(ctx context.Context) (shares, sentence string, err error) {
	revisions, _, err := d.traffic(ctx)
	if err != nil {
		return "", "", err
	}
	all, err := d.query(ctx, `sum by (pod_template_hash) (rate(http_requests_total{namespace="shop"}[5s]))`)
	if err != nil {
		return "", "", err
	}
	bad, err := d.query(ctx, `sum by (pod_template_hash) (rate(http_requests_total{namespace="shop",code=~"5.."}[5s]))`)
	if err != nil {
		return "", "", err
	}
	var brief, out []string
	for _, a := range all {
		hash := a.Metric["pod_template_hash"]
		i := slices.IndexFunc(revisions, func(s served) bool { return s.Revision == hash })
		if i < 0 || a.number() < 0.5 {
			continue
		}
		errors := 0.0
		if j := slices.IndexFunc(bad, func(s sample) bool { return s.Metric["pod_template_hash"] == hash }); j >= 0 {
			errors = bad[j].number()
		}
		share := fmt.Sprintf("%.1f%%", 100*errors/a.number())
		brief = append(brief, revisions[i].version()+" "+share)
		out = append(out, fmt.Sprintf("%s: %s of %.0f requests/s fail", revisions[i].version(), share, a.number()))
	}
	slices.Sort(brief)
	slices.Sort(out)
	return strings.Join(brief, ", "), strings.Join(out, "; "), nil
}

func (d *demo) narrateAnnotation(a annotation) {
	kind := "a point at " + clock(time.UnixMilli(a.Time))
	if a.Time < a.TimeEnd {
		kind = "a region of " + seconds(time.Duration(a.TimeEnd-a.Time)*time.Millisecond)
	}
	if a.DashboardUID != "" {
		kind += " on the dashboard " + a.DashboardUID
	}
	d.sayOnce(fmt.Sprint("annotation", a.ID, kind, a.Tags), grafana, "annotation %d is %s, tagged %s", a.ID, kind, strings.Join(a.Tags, " "))
}

func (d *demo) narrateAlert(a alert) {
	d.sayOnce(fmt.Sprint("alert", a.Labels, a.Annotations["summary"]), alertmanager, "alert %s (%s): %s",
		a.Labels["alertname"], a.Labels["severity"], a.Annotations["summary"])
}

func (d *demo) narrateMessage(i int, m message) {
	for _, a := range m.JSON.Alerts {
		d.sayOnce(fmt.Sprint("message", i, a.Labels), webhook, "receives from Alertmanager: %s %s (%s)", a.Labels["alertname"], a.Status, a.Labels["severity"])
	}
	if m.JSON.Headline != "" {
		d.sayOnce(fmt.Sprint("message", i), webhook, "receives from Bakewatch: %s", m.JSON.Headline)
	}
}
