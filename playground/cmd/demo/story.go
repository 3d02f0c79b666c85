package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"time"
)

// chapter is a part of a story.
type chapter struct {
	title string
	tell  func(context.Context) error
}

// story is what happens, in order. Its error ends it early; facts that do not hold are remembered beside.
func (d *demo) story(ctx context.Context) error {
	chapters := []chapter{
		{"A Kubernetes cluster, and Bakewatch in it", d.install},
		{"v1, a healthy first version", d.healthyFirst},
		{"v2 fails 8% of its requests", d.badVersion},
		{"What is on record of it", d.record},
		{d.fixing(), d.fixes},
		{"What is on record in the end", d.inTheEnd},
		{"What people see", d.show},
	}
	if d.options.story == byConfig {
		chapters = d.aboutConfig()
	}
	for _, chapter := range chapters {
		d.chapter(chapter.title)
		if err := chapter.tell(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

func (d *demo) install(ctx context.Context) error {
	d.say(story, "starting a playground in %s; what an earlier one left there is forgotten", relative(d.runDir))
	if err := d.raise(ctx); err != nil {
		return err
	}
	d.say(kubectl, "%s", d.paint("1", "$ export KUBECONFIG="+relative(d.addresses.Kubeconfig)))
	if err := d.run(ctx, "apply", "-k", d.deploy); err != nil {
		return err
	}
	if err := d.run(ctx, "wait", "--for=condition=Established", "crd/bakes.bakewatch.dev", "--timeout=30s"); err != nil {
		return err
	}
	d.say(story, "the playground's pods only play their programs, so the real bakewatch runs outside and its Deployment gets no pods")
	if err := d.run(ctx, "scale", "deployment/bakewatch", "-n", "bakewatch", "--replicas=0"); err != nil {
		return err
	}
	policy, err := d.policy()
	if err != nil {
		return err
	}
	path, err := d.write("policy.yaml", "policy.yaml", policy)
	if err != nil {
		return err
	}
	if d.source == "datadog" {
		d.say(story, "signals are read from Datadog alone: a stand-in that answers as Datadog's API does, from the samples Prometheus has; what it is asked is at %s/_sent", d.addresses.Datadog)
	}
	if err := d.allowConfigMaps(ctx); err != nil {
		return err
	}
	d.say(story, "the policy gets the playground's addresses and short times: a tick every %s, a bake of %s", interval, window)
	if err := d.run(ctx, "apply", "-f", path); err != nil {
		return err
	}
	kubeconfig, err := d.becomeBakewatch(ctx)
	if err != nil {
		return err
	}
	d.verify(ctx, fact{bakewatch, "it is not an administrator", soon, func(ctx context.Context) (string, error) { return rightsOf(ctx, kubeconfig) }})
	if err := d.guard(kubeconfig); err != nil {
		return err
	}
	return d.need(ctx, fact{bakewatch, "it is ready, leads, and has its policy", 30 * time.Second, d.guarding})
}

func (d *demo) healthyFirst(ctx context.Context) error {
	d.watch(ctx)
	if err := d.run(ctx, "create", "namespace", "shop"); err != nil {
		return err
	}
	if d.options.story == byHelm {
		if err := d.run(ctx, "apply", "-f", filepath.Join(d.deploy, "helm-rollback.yaml")); err != nil {
			return err
		}
	}
	if err := d.apply(ctx, v1); err != nil {
		return err
	}
	if err := d.run(ctx, "rollout", "status", "deployment/web", "-n", "shop", "--timeout=60s"); err != nil {
		return err
	}
	if err := d.keepTemplate(ctx); err != nil {
		return err
	}
	if err := d.need(ctx, d.passes(1, v1, "")); err != nil {
		return err
	}
	return d.need(ctx, fact{prometheus, "it has at least 20 s of v1's past", 40 * time.Second, d.past})
}

func (d *demo) badVersion(ctx context.Context) error {
	d.say(story, "v2 also takes %s to start: Prometheus looks for new pods every 5 s, and so knows v2 before its first bad response", v2.Startup)
	if err := d.apply(ctx, v2); err != nil {
		return err
	}
	if err := d.need(ctx, fact{bakewatch, "it rolls v2 back by itself", 60 * time.Second, d.patched}); err != nil {
		return err
	}
	d.verify(ctx, fact{story, "it is quick", 0, d.latency})
	return d.need(ctx, fact{bakewatch, "the bake of v2 ends RolledBack, and web recovered", 60 * time.Second, d.rolledBack})
}

func (d *demo) record(ctx context.Context) error {
	d.verify(ctx,
		fact{clusterSees, "web's template is v1's again, and available", soon, d.restored},
		fact{clusterSees, "there was exactly one rollback", soon, d.revisions(3)},
		fact{clusterSees, "no field of web belongs to bakewatch", soon, d.noOwnership},
		fact{bakewatch, "the reason is the threshold, with its numbers", soon, d.reasoned},
		fact{grafana, "there is one annotation of the bake, a region", soon, d.annotated("")},
		fact{grafana, "the dashboard with the tag services shows it, too", soon, d.annotated("services")},
		fact{alertmanager, "there is one alert BakewatchRolledBack for shop/web", soon, d.alerted},
		fact{webhook, "the alert came through Alertmanager", soon, d.paged},
		fact{webhook, "Bakewatch told the story, each stage once", soon, d.told},
		fact{clusterSees, "Events on deployment web tell it", soon, d.events},
		fact{bakewatch, "its metrics count one rollback", soon, d.counted},
	)
	if d.options.story == byHelm {
		d.verify(ctx, fact{clusterSees, "helm history tells of the rollback", 0, d.historyTells})
	}
	if bad, err := d.servedBy(ctx, v2); err == nil {
		d.say(trafficSees, "users met %d errors in %d requests to v2, before it was gone", bad.Errors, bad.Requests)
	}
	return nil
}

func (d *demo) fixes(ctx context.Context) error {
	applied := func(v version, args ...string) fact {
		return fact{kubectl, v.Version + " is applied without a conflict", 0, func(ctx context.Context) (string, error) {
			return "no --force-conflicts needed", d.apply(ctx, v, args...)
		}}
	}
	if err := d.need(ctx, applied(v3)); err != nil {
		return err
	}
	d.verify(ctx, d.passes(4, v3, v1.Version))
	if err := d.need(ctx, applied(v4, "--server-side")); err != nil {
		return err
	}
	d.verify(ctx, d.passes(5, v4, v3.Version))
	return nil
}

func (d *demo) inTheEnd(ctx context.Context) error {
	d.verify(ctx,
		fact{clusterSees, "web runs v4, which " + d.applier() + " owns by server-side apply", soon, d.ownedByApply},
		fact{bakewatch, "there is one bake a rollout, and none of its own rollback", soon, d.allBakes},
		fact{grafana, "there is one annotation a bake, and one on the dashboard", soon, d.allAnnotations},
		fact{alertmanager, "the alert is over since v3 took its place", 30 * time.Second, d.resolved},
		fact{clusterSees, "no further rollback came", soon, d.revisions(5)},
		fact{bakewatch, "its metrics still count one rollback", soon, d.counted},
		fact{bakewatch, "it asked " + d.source + ", and nothing else", soon, d.askedOnly},
	)
	return nil
}

// passes is the fact that a version's bake ends well; from is the version it is compared with.
func (d *demo) passes(number int64, v version, from string) fact {
	name := v.Version + " passes its bake"
	if from != "" {
		name += ", compared with " + from
	}
	return fact{bakewatch, name, 2*window + 50*time.Second, func(ctx context.Context) (string, error) {
		b, err := d.bakeOf(ctx, number)
		if err != nil {
			return "", err
		}
		compared := ""
		if b.Spec.From != nil {
			compared = b.Spec.From.version()
		}
		switch st := b.Status; {
		case st.Outcome == "":
			return wrong("rev %d has no outcome yet, its phase is %s", number, strconv.Quote(st.Phase))
		case st.Outcome != "Passed" || b.Spec.To.version() != v.Version:
			return "", never{fmt.Errorf("the outcome of rev %d (%s) is %s: %s", number, b.Spec.To.version(), st.Outcome, st.Why)}
		case compared != from:
			return wrong("it was compared with %q", compared)
		default:
			return b.id(), nil
		}
	}}
}
