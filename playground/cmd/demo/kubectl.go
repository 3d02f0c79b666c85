package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// ask runs the real kubectl as a person would, and returns what it prints.
func (d *demo) ask(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.kubectl, args...)
	// What it remembers of a server belongs to this one only.
	cmd.Env = append(os.Environ(), "KUBECONFIG="+d.addresses.Kubeconfig, "KUBECACHEDIR="+filepath.Join(d.dir, "kubectl-cache"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C ends it through ctx, in order
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(relatives(args), " "), err, strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}

// run runs kubectl and shows the command and what it prints.
func (d *demo) run(ctx context.Context, args ...string) error {
	d.say(kubectl, "%s", d.paint("1", "$ kubectl "+strings.Join(relatives(args), " ")))
	out, err := d.ask(ctx, args...)
	d.say(kubectl, "%s", out)
	return err
}

// apply applies a version of web, with further arguments for kubectl; or has Helm do it, which takes none.
func (d *demo) apply(ctx context.Context, v version, args ...string) error {
	if d.options.story == byHelm {
		return d.upgrade(ctx, v)
	}
	path, err := d.write("web.yaml", "web-"+v.Version+".yaml", v)
	if err != nil {
		return err
	}
	return d.run(ctx, append([]string{"apply", "-f", path}, args...)...)
}

// becomeBakewatch writes a kubeconfig with a token of the daemon's own service account, and nothing of the
// administrator's but the server's address and certificate.
func (d *demo) becomeBakewatch(ctx context.Context) (path string, err error) {
	d.say(kubectl, "%s", d.paint("1", "$ kubectl create token bakewatch -n bakewatch --duration 1h"))
	token, err := d.ask(ctx, "create", "token", "bakewatch", "-n", "bakewatch", "--duration", "1h")
	if err != nil {
		return "", err
	}
	admin, err := clientcmd.LoadFromFile(d.addresses.Kubeconfig)
	if err != nil {
		return "", err
	}
	current := admin.Contexts[admin.CurrentContext]
	if current == nil || admin.Clusters[current.Cluster] == nil {
		return "", fmt.Errorf("%s names no cluster", d.addresses.Kubeconfig)
	}
	own := api.NewConfig()
	own.Clusters["playground"] = admin.Clusters[current.Cluster]
	own.AuthInfos["bakewatch"] = &api.AuthInfo{Token: strings.TrimSpace(token)}
	own.Contexts["bakewatch"] = &api.Context{Cluster: "playground", AuthInfo: "bakewatch"}
	own.CurrentContext = "bakewatch"
	path = filepath.Join(d.dir, "bakewatch.kubeconfig")
	return path, clientcmd.WriteToFile(*own, path) // for its owner only
}

// may is a question about rights, and the answer that is right.
type may struct {
	verb, group, resource, subresource string
	allowed                            bool
}

var rights = []may{
	{"patch", "apps", "deployments", "", true},
	{"update", "bakewatch.dev", "bakes", "status", true},
	{"*", "*", "*", "", false},
	{"get", "", "secrets", "", false},
	{"delete", "apps", "deployments", "", false},
	{"create", "", "pods", "", false},
	{"escalate", "rbac.authorization.k8s.io", "clusterroles", "", false},
}

// rightsOf asks the API server who the holder of a kubeconfig is, and what he may do.
func rightsOf(ctx context.Context, kubeconfig string) (string, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return "", err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", err
	}
	who, err := client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	user := who.Status.UserInfo
	if user.Username != "system:serviceaccount:bakewatch:bakewatch" {
		return wrong("the API server takes the daemon for %s", user.Username)
	}
	for _, r := range rights {
		ask := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: r.verb, Group: r.group, Resource: r.resource, Subresource: r.subresource,
		}}}
		answer, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, ask, metav1.CreateOptions{})
		if err != nil {
			return "", err
		}
		if answer.Status.Allowed != r.allowed {
			return wrong("may %s %s: %t, want %t", r.verb, r.resource, answer.Status.Allowed, r.allowed)
		}
	}
	return user.Username + " may patch deployments and write bakes; it may not delete deployments, create pods, read secrets or extend its rights", nil
}
