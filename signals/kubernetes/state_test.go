package kubernetes

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/signals"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

// podWith is a pod of one container, app, in that status.
func podWith(ready bool, status corev1.ContainerStatus, more ...func(*corev1.Pod)) *corev1.Pod {
	status.Name, status.Image = "app", "registry.example.com/web:v2"
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-1", UID: "u1", CreationTimestamp: ago(time.Minute)},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "app", Image: status.Image,
			Env:       []corev1.EnvVar{{Name: "DSN", Value: "postgres://web:hunter2hunter2@db/web"}, {Name: "TOKEN", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "web"}, Key: "token"}}}},
			EnvFrom:   []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "web"}}}},
			Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}},
		}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{status},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}},
	}
	if ready {
		p.Status.Conditions[0].Status, p.Status.ContainerStatuses[0].Ready = corev1.ConditionTrue, true
	}
	for _, f := range more {
		f(p)
	}
	return p
}

func waits(reason, message string, restarts int32) corev1.ContainerStatus {
	return corev1.ContainerStatus{RestartCount: restarts, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
}

// after is a container in that state after runs of 2 s that ended so.
func after(s corev1.ContainerStatus, reason string, code int32) corev1.ContainerStatus {
	s.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{Reason: reason, ExitCode: code, StartedAt: ago(32 * time.Second), FinishedAt: ago(30 * time.Second)}
	return s
}

func runs(since time.Duration, restarts int32) corev1.ContainerStatus {
	return corev1.ContainerStatus{RestartCount: restarts, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: ago(since)}}}
}

func TestState(t *testing.T) {
	event := func(reason, message string) []corev1.Event {
		return []corev1.Event{{Type: corev1.EventTypeWarning, Reason: reason, Message: message, InvolvedObject: corev1.ObjectReference{UID: "u1"}, LastTimestamp: ago(time.Second)}}
	}
	for name, c := range map[string]struct {
		pod    *corev1.Pod
		events []corev1.Event
		want   signals.Trouble // Cause empty: none
		ends   int
		ready  bool
	}{
		"well":                  {pod: podWith(true, runs(time.Minute, 0)), ready: true},
		"not ready yet":         {pod: podWith(false, runs(time.Second, 0))},
		"crash loop":            {pod: podWith(false, after(waits("CrashLoopBackOff", "back-off 20s restarting failed container", 2), "Error", 3)), ends: 3, want: signals.Trouble{Cause: signals.CrashLoop, ExitCode: 3}},
		"between two crashes":   {pod: podWith(true, after(runs(time.Second, 3), "Error", 1)), ready: true, ends: 3, want: signals.Trouble{Cause: signals.CrashLoop, ExitCode: 1}},
		"it recovered long ago": {pod: podWith(true, after(runs(time.Minute, 3), "Error", 1)), ready: true, ends: 3},
		"killed for memory":     {pod: podWith(false, after(waits("CrashLoopBackOff", "", 4), "OOMKilled", 137)), ends: 5, want: signals.Trouble{Cause: signals.OOMKilled, Limit: "64Mi", ExitCode: 137}},
		"no such image":         {pod: podWith(false, waits("ImagePullBackOff", `Back-off pulling image "registry.example.com/web:v2": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image: registry.example.com/web:v2: not found`, 0)), want: signals.Trouble{Cause: signals.ImagePull, Pull: signals.NotFound}},
		"docker: no such image": {pod: podWith(false, waits("ErrImagePull", "manifest for web:v2 not found: manifest unknown: manifest unknown", 0)), want: signals.Trouble{Cause: signals.ImagePull, Pull: signals.NotFound}},
		"denied":                {pod: podWith(false, waits("ErrImagePull", "failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized", 0)), want: signals.Trouble{Cause: signals.ImagePull, Pull: signals.Denied}},
		"the registry is away":  {pod: podWith(false, waits("ErrImagePull", `dial tcp: lookup registry.example.com: no such host`, 0)), want: signals.Trouble{Cause: signals.ImagePull, Pull: signals.Unreachable}},
		"the registry is ill":   {pod: podWith(false, waits("ErrImagePull", `unexpected status from HEAD request: 503 Service Unavailable`, 0)), want: signals.Trouble{Cause: signals.ImagePull, Pull: signals.Unreachable}},
		"no image's name":       {pod: podWith(false, waits("InvalidImageName", "", 0)), want: signals.Trouble{Cause: signals.ImagePull, Pull: signals.NotFound}},
		"no ConfigMap":          {pod: podWith(false, waits("CreateContainerConfigError", `configmap "web" not found`, 0)), want: signals.Trouble{Cause: signals.ConfigError, Missing: "configmap/web"}},
		"no key":                {pod: podWith(false, waits("CreateContainerConfigError", `couldn't find key token in Secret shop/web`, 0)), want: signals.Trouble{Cause: signals.ConfigError, Missing: "key token of secret/web"}},
		"no volume's ConfigMap": {pod: podWith(false, waits("ContainerCreating", "", 0)), events: event("FailedMount", `MountVolume.SetUp failed for volume "etc" : configmap "etc" not found`), want: signals.Trouble{Cause: signals.ConfigError, Missing: "configmap/etc"}},
		"a volume that is slow": {pod: podWith(false, waits("ContainerCreating", "", 0)), events: event("FailedMount", `timed out waiting for the condition`)},
		"no such program":       {pod: podWith(false, waits("RunContainerError", `exec: "gunicorn": executable file not found in $PATH`, 0)), want: signals.Trouble{Cause: signals.RunError, OwnFault: true}},
		"a node that cannot":    {pod: podWith(false, waits("CreateContainerError", `context deadline exceeded`, 0)), want: signals.Trouble{Cause: signals.RunError}},
		"its probe fails":       {pod: podWith(false, runs(time.Minute, 0)), events: event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 500"), want: signals.Trouble{Cause: signals.ProbeFailed}},
		"its probe failed once": {pod: podWith(true, runs(time.Minute, 0)), ready: true, events: event("Unhealthy", "Readiness probe failed")},
		"an event of another":   {pod: podWith(false, runs(time.Minute, 0)), events: []corev1.Event{{Type: corev1.EventTypeWarning, Reason: "Unhealthy", InvolvedObject: corev1.ObjectReference{UID: "u2"}}}},
		"no node": {pod: podWith(false, corev1.ContainerStatus{}, func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodPending
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/1 nodes are available"}}
		}), want: signals.Trouble{Cause: signals.Unschedulable}},
		"evicted": {pod: podWith(false, corev1.ContainerStatus{}, func(p *corev1.Pod) { p.Status.Phase, p.Status.Reason = corev1.PodFailed, "Evicted" }), want: signals.Trouble{Cause: signals.Evicted}},
		"its init container fails": {pod: podWith(false, waits("PodInitializing", "", 0), func(p *corev1.Pod) {
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{after(waits("CrashLoopBackOff", "", 2), "Error", 7)}
			p.Status.InitContainerStatuses[0].Name = "migrate"
		}), ends: 3, want: signals.Trouble{Cause: signals.CrashLoop, Container: "migrate", ExitCode: 7}},
		"its init container is done": {pod: podWith(true, runs(time.Minute, 0), func(p *corev1.Pod) {
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "migrate", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed"}}}}
		}), ready: true},
	} {
		t.Run(name, func(t *testing.T) {
			got := State(c.pod, c.events, now)
			if got.Ready != c.ready || got.Ends != c.ends {
				t.Errorf("ready %v, ends %d; want %v, %d", got.Ready, got.Ends, c.ready, c.ends)
			}
			if got.Trouble == nil {
				if c.want.Cause != "" {
					t.Errorf("no trouble, want %+v", c.want)
				}
				return
			}
			tr := *got.Trouble
			if c.want.Container == "" {
				tr.Container = ""
			}
			tr.Message, tr.Image = "", ""
			if tr != c.want {
				t.Errorf("%+v, want %+v", tr, c.want)
			}
		})
	}
}

func TestStateKnowsWhatAPodUses(t *testing.T) {
	got := State(podWith(true, runs(time.Minute, 0)), nil, now)
	if s := strings.Join(got.Uses, ", "); s != "configmap/web, secret/web, key token of secret/web" {
		t.Errorf("uses %s", s)
	}
}

// TestStateSaysNothingSecret: the kubelet repeats commands, and programs their surroundings.
func TestStateSaysNothingSecret(t *testing.T) {
	p := podWith(false, after(waits("CrashLoopBackOff", "", 4), "Error", 1))
	p.Status.ContainerStatuses[0].LastTerminationState.Terminated.Message = "cannot connect to postgres://web:hunter2hunter2@db/web\npassword=swordfish\n" + strings.Repeat("x", 5000)
	raw, err := json.Marshal(State(p, nil, now))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hunter2", "swordfish"} {
		if strings.Contains(string(raw), secret) {
			t.Errorf("%q is in %s", secret, raw)
		}
	}
	if len(raw) > 1500 {
		t.Errorf("%d bytes", len(raw))
	}
}

func TestShort(t *testing.T) {
	p := podWith(true, runs(time.Minute, 0))
	got := Short(p, []string{"connected to postgres://web:hunter2hunter2@db/web", "", "Authorization: Bearer abcdefghijklmnop", strings.Repeat("é", 500)}, 240)
	if all := strings.Join(got, "|"); len(got) != 3 || strings.Contains(all, "hunter2") || strings.Contains(all, "abcdefghijklmnop") || utf8.RuneCountInString(got[2]) > 240 {
		t.Errorf("%q", got)
	}
}

// FuzzState: whatever a pod's status says, its state is bounded and can be written down.
func FuzzState(f *testing.F) {
	for _, p := range []*corev1.Pod{podWith(true, runs(time.Minute, 0)), podWith(false, after(waits("CrashLoopBackOff", "", 4), "OOMKilled", 137)), podWith(false, waits("ErrImagePull", "manifest unknown", 0))} {
		raw, err := json.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, "Unhealthy", "Readiness probe failed")
	}
	f.Fuzz(func(t *testing.T, raw []byte, reason, message string) {
		var p corev1.Pod
		if json.Unmarshal(raw, &p) != nil {
			return
		}
		s := State(&p, []corev1.Event{{Type: corev1.EventTypeWarning, Reason: reason, Message: message}}, now)
		if s.Ends < 0 || s.Ends > 1<<31 || s.Ran < 0 {
			t.Errorf("ends %d, ran %s", s.Ends, s.Ran)
		}
		if tr := s.Trouble; tr != nil && (tr.Cause == "" || utf8.RuneCountInString(tr.Message) > maxMessage || !utf8.ValidString(tr.Message)) {
			t.Errorf("%+v", tr)
		}
		if len(s.Uses) > maxNamed || len(s.Images) > maxNamed {
			t.Errorf("%d uses, %d images", len(s.Uses), len(s.Images))
		}
		if _, err := json.Marshal(s); err != nil {
			t.Error(err)
		}
	})
}
