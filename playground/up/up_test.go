package up

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bakewatch/bakewatch/playground/agent"
	"github.com/bakewatch/bakewatch/playground/behavior"
)

const (
	asPlayground = "PLAYGROUND_TEST_DIR"   // in this process, run a playground instead of the tests
	withPorts    = "PLAYGROUND_TEST_PORTS" // with these ports
	patience     = 4 * time.Minute         // a deadline, not an expectation: the machine may be busy
)

func TestMain(m *testing.M) {
	dir := os.Getenv(asPlayground)
	if dir == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := Run(ctx, Options{Dir: dir, Ports: os.Getenv(withPorts), PodPrefix: "auto", Nodes: 2, ControlPlaneOnly: true,
		ScrapeInterval: time.Second, MaxRPS: 500, Version: "v1.37.2", Out: os.Stdout})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// start runs a playground in a process of its own, so that it can be killed.
func start(t *testing.T, dir, ports string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asPlayground+"="+dir, withPorts+"="+ports)
	out := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, out
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

func ready(t *testing.T, dir string, pid int) (Addresses, *kubernetes.Clientset) {
	t.Helper()
	var a Addresses
	eventually(t, "ready", func() (err error) {
		if a, err = ReadAddresses(dir); err == nil && a.PID != pid {
			err = fmt.Errorf("the addresses are those of process %d", a.PID)
		}
		return err
	})
	cfg, err := clientcmd.BuildConfigFromFlags("", a.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Timeout = 10 * time.Second
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a, client
}

func deploy(t *testing.T, client kubernetes.Interface, name string, annotations map[string]string) {
	t.Helper()
	two, labels, full := int32(2), map[string]string{"app": name}, map[string]string{}
	for k, v := range annotations {
		full[behavior.Prefix+k] = v
	}
	_, err := client.AppsV1().Deployments("default").Create(t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{Replicas: &two, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: full},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: name + ":1"}}}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func available(t *testing.T, client kubernetes.Interface, name string, want int32) {
	t.Helper()
	eventually(t, name+" is available", func() error {
		d, err := client.AppsV1().Deployments("default").Get(t.Context(), name, metav1.GetOptions{})
		if err == nil && (d.Status.AvailableReplicas != want || d.Status.Replicas != want) {
			err = fmt.Errorf("status %+v", d.Status)
		}
		return err
	})
}

// container returns the status of the first container of any pod of an app.
func container(ctx context.Context, client kubernetes.Interface, app string) (corev1.ContainerStatus, error) {
	pods, err := client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=" + app})
	if err != nil {
		return corev1.ContainerStatus{}, err
	}
	for _, p := range pods.Items {
		if len(p.Status.ContainerStatuses) > 0 {
			return p.Status.ContainerStatuses[0], nil
		}
	}
	return corev1.ContainerStatus{}, fmt.Errorf("no status yet")
}

func revision(t *testing.T, dir, name string) agent.RevisionState {
	var s State
	if err := call(t.Context(), dir, http.MethodGet, "/state", &s); err != nil {
		return agent.RevisionState{}
	}
	for _, r := range s.Revisions {
		if r.Name == name {
			return r
		}
	}
	return agent.RevisionState{}
}

func TestPlayground(t *testing.T) {
	dir := t.TempDir()
	first, out := start(t, dir, "free")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("it printed:\n%s", out)
		}
	})
	a, client := ready(t, dir, first.Process.Pid)

	deploy(t, client, "web", map[string]string{"error-rate": "0.5", "rps": "50", "log": "hello from web"})
	for mode := range map[string]bool{"crash": true, "oom": true, "imagepull": true, "unready": true, "silent": true} {
		deploy(t, client, mode, map[string]string{"mode": mode, "rps": "5"})
	}
	available(t, client, "web", 2)
	eventually(t, "web serves and fails", func() error {
		r := revision(t, dir, "web")
		if r.Kind != "Deployment" || r.Requests < 50 || r.Errors == 0 || r.Errors == r.Requests || r.FirstBad == 0 || r.Pods != 2 {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	modes(t, client)
	available(t, client, "silent", 2)
	ingress(t, a)
	logs(t, client)

	t.Run("outage", func(t *testing.T) { outageOf(t, dir, client) })
	t.Run("start after a kill", func(t *testing.T) { killed(t, dir, first) })
}

func modes(t *testing.T, client kubernetes.Interface) {
	for app, is := range map[string]func(corev1.ContainerStatus) bool{
		"crash": func(c corev1.ContainerStatus) bool {
			return c.RestartCount > 0 && c.State.Waiting != nil && c.State.Waiting.Reason == "CrashLoopBackOff" && c.LastTerminationState.Terminated.ExitCode == 1
		},
		"oom": func(c corev1.ContainerStatus) bool {
			end := c.LastTerminationState.Terminated
			return end != nil && end.Reason == "OOMKilled" && end.ExitCode == 137
		},
		"imagepull": func(c corev1.ContainerStatus) bool {
			return c.State.Waiting != nil && c.State.Waiting.Reason == "ImagePullBackOff"
		},
		"unready": func(c corev1.ContainerStatus) bool { return c.State.Running != nil && !c.Ready },
	} {
		eventually(t, app+" shows it", func() error {
			c, err := container(t.Context(), client, app)
			if err == nil && !is(c) {
				err = fmt.Errorf("%+v", c)
			}
			return err
		})
	}
}

func ingress(t *testing.T, a Addresses) {
	for _, series := range []string{
		`traefik_service_requests_total{code="500",method="GET",protocol="http",service="default-web-80@kubernetes"}`,
		`traefik_service_requests_total{code="502",method="GET",protocol="http",service="default-silent-80@kubernetes"}`,
	} {
		eventually(t, "the ingress counts", func() error {
			resp, err := http.Get(a.Control + "/metrics")
			if err != nil {
				return err
			}
			defer func() { _ = resp.Body.Close() }()
			raw, err := io.ReadAll(resp.Body)
			if err == nil && !strings.Contains(string(raw), series) {
				err = fmt.Errorf("no %s in:\n%s", series, raw)
			}
			return err
		})
	}
}

func logs(t *testing.T, client kubernetes.Interface) {
	eventually(t, "the API server shows the pods' logs", func() error {
		pods, err := client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
		if err != nil || len(pods.Items) == 0 {
			return fmt.Errorf("no pods: %w", err)
		}
		raw, err := client.CoreV1().Pods("default").GetLogs(pods.Items[0].Name, &corev1.PodLogOptions{}).DoRaw(t.Context())
		if err == nil && !strings.Contains(string(raw), "hello from web") {
			err = fmt.Errorf("log: %s", raw)
		}
		return err
	})
}

func outageOf(t *testing.T, dir string, client kubernetes.Interface) {
	var answered map[string]any
	if err := call(t.Context(), dir, http.MethodPost, "/outage/apiserver?for=3s", &answered); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err == nil {
		t.Error("the API server answers during its outage")
	}
	if err := call(t.Context(), dir, http.MethodPost, "/outage/apiserver?for=3s", &answered); err == nil {
		t.Error("an outage within an outage was taken")
	}
	served := revision(t, dir, "web").Requests
	eventually(t, "the API server is back", func() error {
		_, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		return err
	})
	eventually(t, "traffic went on", func() error {
		if now := revision(t, dir, "web").Requests; now <= served {
			return fmt.Errorf("%d requests before, %d after", served, now)
		}
		return nil
	})
	if _, err := client.AppsV1().Deployments("default").Patch(t.Context(), "web", "application/merge-patch+json", []byte(`{"spec":{"replicas":3}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	available(t, client, "web", 3)
}

func killed(t *testing.T, dir string, first *exec.Cmd) {
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	second, _ := start(t, dir, "free")
	_, client := ready(t, dir, second.Process.Pid)
	available(t, client, "web", 3)
	eventually(t, "web serves again", func() error {
		if r := revision(t, dir, "web"); r.Requests == 0 {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	if err := Run(t.Context(), Options{Dir: dir, ScrapeInterval: time.Second, Out: io.Discard}); err == nil || !strings.Contains(err.Error(), "already runs") {
		t.Errorf("a second playground in the same directory: %v", err)
	}
	if err := Down(dir, io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := second.Wait(); err != nil {
		t.Errorf("asked to stop, it ended with %v", err)
	}
	if _, err := ReadAddresses(dir); err == nil {
		t.Error("the addresses are still there")
	}
	if err := Down(dir, io.Discard); err != nil {
		t.Errorf("stopped twice: %v", err)
	}
}

func TestTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	port := l.Addr().(*net.TCPAddr).Port
	dir := t.TempDir()
	cmd, out := start(t, dir, fmt.Sprintf("apiserver=%d,control=0", port))
	if err := cmd.Wait(); err == nil {
		t.Fatal("it started")
	}
	if want := fmt.Sprintf("port %d, for the Kubernetes API server, cannot be used", port); !strings.Contains(out.String(), want) || !strings.Contains(out.String(), "--ports apiserver=") {
		t.Fatalf("it printed: %s", out)
	}
	if _, err := os.Stat(filepath.Join(dir, "etcd")); err == nil {
		t.Fatal("something was started")
	}
}
