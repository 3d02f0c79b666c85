package watcher

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
)

func TestDifferences(t *testing.T) {
	type change = func(*corev1.PodTemplateSpec)
	app := func(f func(*corev1.Container)) change {
		return func(t *corev1.PodTemplateSpec) { f(&t.Spec.Containers[0]) }
	}
	for _, c := range []struct {
		name   string
		before change // nil: nothing
		after  change
		want   []string
	}{
		{"nothing", nil, func(*corev1.PodTemplateSpec) {}, nil},
		{"image", nil, app(func(c *corev1.Container) { c.Image = "app:2" }), []string{"image of app: app:1 → app:2"}},
		{"env", app(func(c *corev1.Container) {
			c.Env = []corev1.EnvVar{{Name: "KEPT", Value: "1"}, {Name: "CHANGED", Value: "1"}, {Name: "GONE", Value: "1"}}
		}),
			app(func(c *corev1.Container) {
				c.Env = []corev1.EnvVar{{Name: "KEPT", Value: "1"}, {Name: "CHANGED", Value: "2"}, {Name: "NEW", Value: "1"}}
			}),
			[]string{"env app CHANGED changed", "env app GONE removed", "env app NEW added"}},
		{"args and command", nil, app(func(c *corev1.Container) { c.Command, c.Args = []string{"/app"}, []string{"--x"} }), []string{"command of app changed", "args of app changed"}},
		{"resources", nil, app(func(c *corev1.Container) { c.Resources.Limits = corev1.ResourceList{"cpu": resource.MustParse("1")} }), []string{"resources of app changed"}},
		{"the same resources, written otherwise", app(func(c *corev1.Container) {
			c.Resources.Limits = corev1.ResourceList{"cpu": resource.MustParse("1000m")}
		}),
			app(func(c *corev1.Container) { c.Resources.Limits = corev1.ResourceList{"cpu": resource.MustParse("1")} }), nil},
		{"probes and ports", nil, app(func(c *corev1.Container) {
			c.LivenessProbe, c.Ports = &corev1.Probe{}, []corev1.ContainerPort{{ContainerPort: 80}}
		}), []string{"ports of app changed", "probes of app changed"}},
		{"containers", func(t *corev1.PodTemplateSpec) {
			t.Spec.Containers = append(t.Spec.Containers, corev1.Container{Name: "old", Image: "o:1"})
		},
			func(t *corev1.PodTemplateSpec) {
				t.Spec.InitContainers = []corev1.Container{{Name: "setup", Image: "s:1"}}
			}, []string{"container setup added (s:1)", "container old removed"}},
		{"labels, annotations, volumes, account", nil, func(t *corev1.PodTemplateSpec) {
			t.Labels["tier"], t.Annotations, t.Spec.ServiceAccountName, t.Spec.Volumes = "x", map[string]string{"note": "x"}, "me", []corev1.Volume{{Name: "v"}}
		}, []string{"label tier added", "annotation note added", "volumes changed", "service account  → me"}},
		{"the controller's label", nil, func(t *corev1.PodTemplateSpec) { t.Labels[appsv1.DefaultDeploymentUniqueLabelKey] = "x" }, nil},
		{"anything else", nil, func(t *corev1.PodTemplateSpec) { t.Spec.HostNetwork = true }, []string{"pod settings changed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := template("app:1"), template("app:1")
			if c.before != nil {
				c.before(&a)
			}
			c.after(&b)
			if diff := cmp.Diff(c.want, differences(&a, &b)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDifferencesAreBounded(t *testing.T) {
	a, b := template("app:1"), template("app:1")
	b.Annotations = map[string]string{}
	for i := range 100 {
		b.Annotations[strings.Repeat("a", i+1)] = ""
	}
	got := differences(&a, &b)
	if len(got) != maxChanges+1 || got[maxChanges] != "and 80 more" {
		t.Errorf("%d lines, the last is %q", len(got), got[len(got)-1])
	}
}

// secret is a value that occurs nowhere but where it is put.
func secret() *rapid.Generator[string] { return rapid.StringMatching(`S3CR3T[a-z0-9]{6}`) }

func anyTemplate() *rapid.Generator[corev1.PodTemplateSpec] {
	env := rapid.Custom(func(t *rapid.T) corev1.EnvVar {
		return corev1.EnvVar{Name: rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "name"), Value: secret().Draw(t, "value")}
	})
	container := func(name string) *rapid.Generator[corev1.Container] {
		return rapid.Custom(func(t *rapid.T) corev1.Container {
			return corev1.Container{
				Name: name, Image: rapid.SampledFrom([]string{"app:1", "app:2"}).Draw(t, "image"), Env: rapid.SliceOfN(env, 0, 4).Draw(t, "env"),
				Command: rapid.SliceOfN(secret(), 0, 2).Draw(t, "command"), Args: rapid.SliceOfN(secret(), 0, 2).Draw(t, "args"),
				LivenessProbe: rapid.Ptr(rapid.Custom(func(t *rapid.T) corev1.Probe {
					return corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{secret().Draw(t, "probe")}}}}
				}), true).Draw(t, "liveness"),
			}
		})
	}
	return rapid.Custom(func(t *rapid.T) corev1.PodTemplateSpec {
		p := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{
			Labels:      rapid.MapOfN(rapid.SampledFrom([]string{"app", "tier"}), secret(), 0, 2).Draw(t, "labels"),
			Annotations: rapid.MapOfN(rapid.SampledFrom([]string{"note", "sum"}), secret(), 0, 2).Draw(t, "annotations"),
		}}
		p.Spec.Containers = append(p.Spec.Containers, container("app").Draw(t, "app"))
		if rapid.Bool().Draw(t, "sidecar") {
			p.Spec.Containers = append(p.Spec.Containers, container("side").Draw(t, "side"))
		}
		if rapid.Bool().Draw(t, "init") {
			p.Spec.InitContainers = append(p.Spec.InitContainers, container("init").Draw(t, "init"))
		}
		p.Spec.Hostname = rapid.OneOf(rapid.Just(""), secret()).Draw(t, "hostname")
		return p
	})
}

func TestNoValueIsEverShown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyTemplate().Draw(t, "from"), anyTemplate().Draw(t, "to")
		for _, line := range differences(&a, &b) {
			if strings.Contains(line, "S3CR3T") {
				t.Fatalf("shown: %s", line)
			}
		}
	})
}

// Whatever differs is told in some words, and what does not is not; told twice, it is told the same.
func TestDifferencesAreComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyTemplate().Draw(t, "from"), anyTemplate().Draw(t, "to")
		if rapid.Bool().Draw(t, "same") {
			b = *a.DeepCopy()
		}
		told := differences(&a, &b)
		if same := SameTemplate(&a, &b); same && len(told) != 0 {
			t.Fatalf("the same, and told: %v", told)
		} else if !same && len(told) == 0 && !onlyTheOrder(&a, &b) {
			t.Fatal("it differs, and nothing is told")
		}
		if diff := cmp.Diff(told, differences(&a, &b)); diff != "" {
			t.Fatalf("told otherwise the second time:\n%s", diff)
		}
	})
}

// onlyTheOrder reports whether the same variables, by their last value, stand in another order or more than once.
func onlyTheOrder(a, b *corev1.PodTemplateSpec) bool {
	tidy := func(t *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
		t = t.DeepCopy()
		for i := range t.Spec.Containers {
			t.Spec.Containers[i].Env = lastOf(t.Spec.Containers[i].Env)
		}
		for i := range t.Spec.InitContainers {
			t.Spec.InitContainers[i].Env = lastOf(t.Spec.InitContainers[i].Env)
		}
		return t
	}
	return SameTemplate(tidy(a), tidy(b))
}

func lastOf(env []corev1.EnvVar) []corev1.EnvVar {
	m := map[string]corev1.EnvVar{}
	for _, v := range env {
		m[v.Name] = v
	}
	var out []corev1.EnvVar
	for _, name := range sortedKeys(m) {
		out = append(out, m[name])
	}
	return out
}

// A digest is the same for the same template, also after a journey over the wire, and another for another.
func TestDigest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyTemplate().Draw(t, "a"), anyTemplate().Draw(t, "b")
		raw, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var again corev1.PodTemplateSpec
		if err := json.Unmarshal(raw, &again); err != nil {
			t.Fatal(err)
		}
		da, _ := Digest(&a)
		if dagain, _ := Digest(&again); da != dagain {
			t.Fatal("not the same after a journey")
		}
		if db, _ := Digest(&b); (da == db) != (cmp.Diff(again, b) == "" || sameJSON(a, b)) {
			t.Fatalf("digests %s and %s", da, db)
		}
	})
}

func sameJSON(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

func TestTrim(t *testing.T) {
	d := deployment(template("app:a"), writtenBy("helm", metav1.ManagedFieldsOperationUpdate, at(1), ownsTemplate))
	d.Annotations = map[string]string{revisionKey: "4", "bakewatch.dev/mode": "observe", "bakewatch.dev/": "x", "bakewatch.development": "x", corev1.LastAppliedConfigAnnotation: "secret"}
	d.Labels = map[string]string{"app": "web"}
	want, _ := Digest(&d.Spec.Template)
	out, err := trim(d)
	if err != nil {
		t.Fatal(err)
	}
	cut := out.(*appsv1.Deployment)
	if diff := cmp.Diff(map[string]string{revisionKey: "4", "bakewatch.dev/mode": "observe", digestKey: want}, cut.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if len(cut.ManagedFields) != 0 || len(cut.Spec.Template.Spec.Containers) != 0 || cut.Labels["app"] != "web" || cut.UID != "u1" {
		t.Errorf("kept: %+v", cut)
	}
	// The informer may pass the same object through twice.
	again, err := trim(cut.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(cut, again); diff != "" {
		t.Errorf("trimmed twice:\n%s", diff)
	}
	if got, err := trim("not a deployment"); got != "not a deployment" || err != nil {
		t.Errorf("%v %v", got, err)
	}
}

// Whoever writes our own annotation on the workload does not blind the watch.
func TestTrimDoesNotTrustTheAnnotation(t *testing.T) {
	a, b := deployment(template("app:a")), deployment(template("app:b"))
	for _, d := range []*appsv1.Deployment{a, b} {
		d.Annotations = map[string]string{digestKey: "forged"}
		if _, err := trim(d); err != nil {
			t.Fatal(err)
		}
	}
	if a.Annotations[digestKey] == b.Annotations[digestKey] {
		t.Error("two templates have one digest")
	}
	if len(a.Spec.Template.Spec.Containers) != 0 {
		t.Error("it is not trimmed")
	}
}
