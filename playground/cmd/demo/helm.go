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
)

// By what web is rolled out.
const (
	byApply = "apply" // kubectl apply
	byHelm  = "helm"  // helm upgrade
)

// upgrade rolls a version of web out with the real Helm, as a chart of the very objects that kubectl would apply.
func (d *demo) upgrade(ctx context.Context, v version) error {
	chart := "chart-" + v.Version
	if err := os.MkdirAll(filepath.Join(d.dir, chart, "templates"), 0o700); err != nil {
		return err
	}
	about := fmt.Sprintf("apiVersion: v2\nname: web\nversion: %s.0.0\nappVersion: %s\n", strings.TrimPrefix(v.Version, "v"), v.Version)
	if err := os.WriteFile(filepath.Join(d.dir, chart, "Chart.yaml"), []byte(about), 0o600); err != nil {
		return err
	}
	if _, err := d.write("web.yaml", filepath.Join(chart, "templates", "web.yaml"), v); err != nil {
		return err
	}
	_, err := d.askHelm(ctx, "upgrade", "--install", "web", filepath.Join(d.dir, chart), "-n", "shop")
	return err
}

// askHelm runs Helm as a person would, shows the command and what it prints, and returns that.
func (d *demo) askHelm(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	d.say(kubectl, "%s", d.paint("1", "$ helm "+strings.Join(relatives(args), " ")))
	cmd := exec.CommandContext(ctx, d.helm, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+d.addresses.Kubeconfig)
	for _, home := range []string{"HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"} { // nothing of the person's own
		cmd.Env = append(cmd.Env, home+"="+filepath.Join(d.dir, "helm"))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", fmt.Errorf("helm %s: %w: %s", strings.Join(relatives(args), " "), err, strings.TrimSpace(complaint.String()))
	}
	d.say(kubectl, "%s", out.String())
	return out.String(), nil
}

// historyTells holds if helm history tells of the rollback, by whom, and of nothing else.
func (d *demo) historyTells(ctx context.Context) (string, error) {
	out, err := d.askHelm(ctx, "history", "web", "-n", "shop")
	if err != nil {
		return "", err
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	last := strings.Join(strings.Fields(lines[len(lines)-1]), " ")
	if len(lines) != 4 || !strings.Contains(last, " deployed ") || !strings.Contains(last, "Rollback to 1 by Bakewatch, bake shop/deployment-web-") {
		return wrong("it ends in %q", last)
	}
	return "revision 3 is deployed, by a rollback to 1 that names the bake", nil
}

// fixing is what the chapter with the fix is called.
func (d *demo) fixing() string {
	if d.options.story == byHelm {
		return "The fix meets no obstacle: v3 and v4 by helm upgrade"
	}
	return "The fix meets no obstacle: v3 by kubectl apply, v4 by kubectl apply --server-side"
}

// applier is the field manager that owns web in the end.
func (d *demo) applier() string {
	if d.options.story == byHelm {
		return "helm"
	}
	return "kubectl"
}
