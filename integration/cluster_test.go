package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// cluster is a playground that runs.
type cluster struct {
	dir     string
	process *exec.Cmd
	ended   chan struct{}

	// Addresses, as the playground writes them.
	Kubeconfig   string `json:"kubeconfig"` // a cluster administrator's
	APIServer    string `json:"apiserver"`
	Prometheus   string `json:"prometheus"`
	Alertmanager string `json:"alertmanager"`
	Grafana      string `json:"grafana"`
	Webhook      string `json:"webhook"`
	Datadog      string `json:"datadog"`
	Loki         string `json:"loki"`
	Control      string `json:"control"`

	client          kubernetes.Interface // the administrator's
	config          *rest.Config         // likewise
	guardKubeconfig string               // with the rights of the ServiceAccount of deploy/, and no more
}

// alertRules have an alert fire for each workload called troubled, ailing or sickly that has errors at all. Where only one story has
// one of that name, the alert speaks of it alone.
const alertRules = `groups:
  - name: errors
    rules:
      - alert: Troubled
        expr: sum by (namespace) (increase(http_requests_total{pod=~"troubled-.*",code=~"5.."}[20s])) > 0
        labels: {severity: warning, deployment: troubled}
      - alert: Ailing
        expr: sum by (namespace) (increase(http_requests_total{pod=~"ailing-.*",code=~"5.."}[10s])) > 0
        labels: {service: ailing}
      - alert: Sickly
        expr: sum by (namespace) (increase(http_requests_total{pod=~"sickly-.*",code=~"5.."}[10s])) > 0
        labels: {service: sickly}
`

// startCluster starts a playground with its state in dir, and waits until it is ready.
func startCluster(dir string, flags ...string) (*cluster, error) {
	c := &cluster{dir: dir, ended: make(chan struct{})}
	out, err := os.Create(filepath.Join(dir, "playground.out"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	state := filepath.Join(dir, "playground")
	if err := os.MkdirAll(filepath.Join(state, "prometheus", "rules"), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(state, "prometheus", "rules", "alerts.yml"), []byte(alertRules), 0o600); err != nil {
		return nil, err
	}
	c.process = exec.Command(playgroundBinary, append([]string{"up", "--dir", state, "--ports", "free", "--pod-prefix", "auto"}, flags...)...)
	c.process.Stdout, c.process.Stderr = out, out
	c.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := c.process.Start(); err != nil {
		return nil, fmt.Errorf("start the playground: %w", err)
	}
	go func() {
		_ = c.process.Wait()
		close(c.ended)
	}()
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		raw, err := os.ReadFile(filepath.Join(state, "addresses.json"))
		if err == nil && json.Unmarshal(raw, c) == nil {
			break
		}
		select {
		case <-c.ended:
			return nil, fmt.Errorf("the playground ended: %s", tail(out.Name(), 20))
		default:
		}
		if time.Now().After(deadline) {
			c.stop()
			return nil, fmt.Errorf("the playground is not ready: %s", tail(out.Name(), 20))
		}
	}
	if err := c.connect(); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

func (c *cluster) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 200, 400
	c.config = config
	c.client, err = kubernetes.NewForConfig(config)
	return err
}

// stop ends the playground, and waits until it has ended.
func (c *cluster) stop() {
	_ = c.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(30 * time.Second):
		_ = c.process.Process.Kill()
		<-c.ended
	}
}

// install applies deploy/ as people do, and gives the tests the rights of its ServiceAccount. The daemon's own Deployment
// is scaled to nothing: the tests run the daemon themselves.
func (c *cluster) install() error {
	if out, err := c.kubectl(nil, "apply", "-k", "../deploy"); err != nil {
		return fmt.Errorf("apply deploy/: %w: %s", err, out)
	}
	if out, err := c.kubectl(nil, "--namespace", "bakewatch", "scale", "deployment/bakewatch", "--replicas=0"); err != nil {
		return fmt.Errorf("scale the daemon of deploy/ down: %w: %s", err, out)
	}
	if out, err := c.kubectl(nil, "wait", "--for=condition=Established", "--timeout=60s", "crd/bakes.bakewatch.dev"); err != nil {
		return fmt.Errorf("wait for the Bake resource: %w: %s", err, out)
	}
	path, err := c.kubeconfigOf("bakewatch", "bakewatch")
	c.guardKubeconfig = path
	return err
}

// kubeconfigOf writes a kubeconfig that carries a token of the ServiceAccount, and nothing else.
func (c *cluster) kubeconfigOf(namespace, account string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	token, err := c.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account, &authv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("ask for a token of %s/%s: %w", namespace, account, err)
	}
	admin, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		return "", err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["playground"] = &clientcmdapi.Cluster{Server: admin.Host, CertificateAuthorityData: caOf(admin)}
	config.AuthInfos["account"] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	config.Contexts["it"] = &clientcmdapi.Context{Cluster: "playground", AuthInfo: "account"}
	config.CurrentContext = "it"
	path := filepath.Join(c.dir, namespace+"-"+account+".kubeconfig")
	return path, clientcmd.WriteToFile(*config, path)
}

func caOf(c *rest.Config) []byte {
	if len(c.CAData) > 0 {
		return c.CAData
	}
	raw, _ := os.ReadFile(c.CAFile)
	return raw
}

// kubectl runs kubectl as the administrator, and returns what it printed on both outputs.
func (c *cluster) kubectl(stdin []byte, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, kubectlBinary, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig)
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// tail is the end of a file.
func tail(path string, lines int) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
