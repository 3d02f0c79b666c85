package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The story of a ConfigMap that goes bad: first alone, and then with a restart.

// byConfig is the story of a ConfigMap, as byApply and byHelm are those of a version.
const byConfig = "config"

// configSync is within what time the playground's pods have surely read a ConfigMap that they have mounted.
const configSync = 6 * time.Second

// settings are one content of the ConfigMap that web reads.
type settings struct{ Color, ErrorRate string }

var (
	blue    = settings{"blue", "0"}
	crimson = settings{"crimson", "0.08"}
	green   = settings{"green", "0"}
	purple  = settings{"purple", "0.08"}
)

func (d *demo) aboutConfig() []chapter {
	return []chapter{
		{"A Kubernetes cluster, and Bakewatch in it", d.install},
		{"web, which has its settings from a ConfigMap", d.configured},
		{"The settings go bad, and nothing else changes", d.badSettings},
		{"What is on record of it", d.configRecord},
		{"The fix meets no obstacle", d.goodSettings},
		{"Bad settings again, with kubectl rollout restart", d.badRestart},
		{"What people see", d.show},
	}
}

// allowConfigMaps gives the daemon the rights that following ConfigMaps takes.
func (d *demo) allowConfigMaps(ctx context.Context) error {
	if d.options.story != byConfig {
		return nil
	}
	path, err := d.write("config-rights.yaml", "config-rights.yaml", nil)
	if err != nil {
		return err
	}
	return d.run(ctx, "apply", "-f", path)
}

func (d *demo) applySettings(ctx context.Context, s settings) error {
	path, err := d.write("settings.yaml", "settings-"+s.Color+".yaml", s)
	if err != nil {
		return err
	}
	return d.run(ctx, "apply", "-f", path)
}

func (d *demo) configured(ctx context.Context) error {
	d.watch(ctx)
	if err := d.run(ctx, "create", "namespace", "shop"); err != nil {
		return err
	}
	if err := d.applySettings(ctx, blue); err != nil {
		return err
	}
	path, err := d.write("web-settings.yaml", "web-settings.yaml", nil)
	if err != nil {
		return err
	}
	if err := d.run(ctx, "apply", "-f", path); err != nil {
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
	if err := d.need(ctx, fact{clusterSees, "the good settings are kept beside the ConfigMap", soon, d.kept(blue)}); err != nil {
		return err
	}
	return d.need(ctx, fact{prometheus, "it has at least 20 s of v1's past", 40 * time.Second, d.past})
}

func (d *demo) badSettings(ctx context.Context) error {
	d.say(story, "pods read what they have mounted %s at most after it changed, as a kubelet would bring it", configSync)
	if err := d.applySettings(ctx, crimson); err != nil {
		return err
	}
	if err := d.need(ctx, fact{bakewatch, "it puts the settings back by itself", 60 * time.Second, d.patched}); err != nil {
		return err
	}
	d.verify(ctx, fact{story, "it is quick", 0, d.latency})
	return d.need(ctx, fact{bakewatch, "the bake of the settings ends RolledBack, and web recovered", 60 * time.Second, d.rolledBack})
}

func (d *demo) configRecord(ctx context.Context) error {
	d.verify(ctx,
		fact{clusterSees, "the settings are the good ones, and marked", soon, d.settingsAre(blue)},
		fact{clusterSees, "no pod was replaced", soon, d.samePods},
		fact{clusterSees, "no field of the settings belongs to bakewatch", soon, d.settingsNotOwned},
		fact{bakewatch, "it names the keys that changed, and no values", soon, d.keysOnly},
		fact{bakewatch, "the reason is the threshold, with its numbers", soon, d.reasoned},
		fact{grafana, "there is one annotation of the bake, a region", soon, d.annotated("")},
		fact{alertmanager, "there is one alert BakewatchRolledBack for shop/web", soon, d.alerted},
		fact{webhook, "Bakewatch told the story, each stage once", soon, d.told},
		fact{bakewatch, "its metrics count one rollback", soon, d.counted},
	)
	return nil
}

func (d *demo) goodSettings(ctx context.Context) error {
	if err := d.applySettings(ctx, green); err != nil {
		return err
	}
	if err := d.need(ctx, fact{bakewatch, "the fixed settings pass, compared with the good ones", 2*window + 50*time.Second, d.fixPasses}); err != nil {
		return err
	}
	return d.need(ctx, fact{clusterSees, "now they are kept, too", soon, d.kept(green)})
}

func (d *demo) badRestart(ctx context.Context) error {
	if err := d.applySettings(ctx, purple); err != nil {
		return err
	}
	if err := d.run(ctx, "rollout", "restart", "deployment/web", "-n", "shop"); err != nil {
		return err
	}
	d.verify(ctx,
		fact{bakewatch, "settings and restart are one rollout, which is rolled back, and web recovered", 90 * time.Second, d.restartUndone},
		fact{clusterSees, "the settings are the fixed ones", soon, d.settingsAre(green)},
		fact{clusterSees, "web's template is the one before the restart, and available", soon, d.restored},
	)
	return nil
}

// inPlace is one of the bakes in place, in their order.
func (d *demo) inPlace(ctx context.Context, i int) (bake, error) {
	all, err := d.bakes(ctx)
	if err != nil {
		return bake{}, err
	}
	all = slices.DeleteFunc(all, func(b bake) bool { return !b.Spec.InPlace })
	slices.SortFunc(all, func(a, b bake) int { return a.Spec.StartedAt.Compare(b.Spec.StartedAt.Time) })
	if len(all) <= i {
		return bake{}, fmt.Errorf("there are %d bakes of settings", len(all))
	}
	return all[i], nil
}

// bad is the bake that is to be rolled back.
func (d *demo) bad(ctx context.Context) (bake, error) {
	if d.options.story == byConfig {
		return d.inPlace(ctx, 0)
	}
	return d.bakeOf(ctx, 2)
}

// badOne is the version whose pods serve bad responses.
func (d *demo) badOne() version {
	if d.options.story == byConfig {
		return v1
	}
	return v2
}

func (d *demo) settings(ctx context.Context) (*corev1.ConfigMap, error) {
	return d.client.CoreV1().ConfigMaps("shop").Get(ctx, "settings", metav1.GetOptions{})
}

func (d *demo) settingsAre(s settings) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		m, err := d.settings(ctx)
		if err != nil {
			return "", err
		}
		mark := m.Annotations["bakewatch.dev/rolled-back-from"]
		if m.Data["color"] != s.Color || m.Data["playground.error-rate"] != s.ErrorRate || mark == "" {
			return wrong("they are %v, marked %q", m.Data, mark)
		}
		return "color " + s.Color + "; bakewatch.dev/rolled-back-from: " + mark, nil
	}
}

// kept holds if the settings are kept as a ConfigMap that nobody can change.
func (d *demo) kept(s settings) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		list, err := d.client.CoreV1().ConfigMaps("shop").List(ctx, metav1.ListOptions{LabelSelector: "bakewatch.dev/kept=settings"})
		if err != nil {
			return "", err
		}
		for _, m := range list.Items {
			if m.Data["color"] == s.Color && m.Immutable != nil && *m.Immutable {
				return "configmap " + m.Name + ", immutable", nil
			}
		}
		return wrong("%d are kept", len(list.Items))
	}
}

func (d *demo) samePods(ctx context.Context) (string, error) {
	w, err := d.web(ctx)
	if err != nil {
		return "", err
	}
	_, pods, err := d.traffic(ctx)
	if err != nil {
		return "", err
	}
	if w.Annotations[revisionKey] != "1" || len(pods) != 3 {
		return wrong("the deployment is at revision %s, and there were %d pods", w.Annotations[revisionKey], len(pods))
	}
	return "the deployment is at revision 1, with its first 3 pods", nil
}

func (d *demo) settingsNotOwned(ctx context.Context) (string, error) {
	m, err := d.settings(ctx)
	if err != nil {
		return "", err
	}
	var managers []string
	for _, f := range m.ManagedFields {
		if strings.HasPrefix(f.Manager, "bakewatch") {
			return wrong("the field manager %s (%s) is still there", f.Manager, f.Operation)
		}
		managers = append(managers, f.Manager)
	}
	return "their field managers are " + strings.Join(managers, ", "), nil
}

func (d *demo) keysOnly(ctx context.Context) (string, error) {
	b, err := d.bad(ctx)
	if err != nil {
		return "", err
	}
	raw, err := json.Marshal(b)
	if err != nil {
		return "", err
	}
	want := []string{"ConfigMap settings: key color changed", "ConfigMap settings: key playground.error-rate changed"}
	if !slices.Equal(b.Spec.Changes, want) || strings.Contains(string(raw), crimson.Color) {
		return wrong("changes are %q", b.Spec.Changes)
	}
	return strings.Join(b.Spec.Changes, "; "), nil
}

func (d *demo) fixPasses(ctx context.Context) (string, error) {
	b, err := d.inPlace(ctx, 1)
	switch {
	case err != nil:
		return "", err
	case b.Status.Outcome == "":
		return wrong("no outcome yet, its phase is %q", b.Status.Phase)
	case b.Status.Outcome != "Passed" || b.Spec.From == nil:
		return "", never{fmt.Errorf("the outcome is %s: %s", b.Status.Outcome, b.Status.Why)}
	}
	return b.Status.Why, nil
}

func (d *demo) restartUndone(ctx context.Context) (string, error) {
	b, err := d.bakeOf(ctx, 2)
	if err != nil {
		return "", err
	}
	st := b.Status
	switch {
	case st.Outcome == "":
		return wrong("no outcome yet, its phase is %q", st.Phase)
	case st.Outcome != "RolledBack" || st.Rollback == nil || st.Rollback.Recovered != "Yes" || !slices.Contains(b.Spec.Changes, "ConfigMap settings: key color changed"):
		return "", never{fmt.Errorf("the outcome is %s, changes %q: %s", st.Outcome, b.Spec.Changes, st.Why)}
	}
	if _, err := d.inPlace(ctx, 2); err == nil {
		return "", never{fmt.Errorf("the settings have a bake of their own")}
	}
	return st.Rollback.Recovery, nil
}
