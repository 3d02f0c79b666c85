package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/bakewatch/bakewatch/playground/child"
)

// keepUp keeps everything up until Enter or Ctrl-C.
func (d *demo) keepUp(ctx context.Context, err error) {
	how := "all facts hold so far"
	if err != nil || len(d.failed) > 0 {
		how = "not all facts hold"
	}
	d.chapter("Held, as DEMO_HOLD asks for; " + how + ". Enter or Ctrl-C ends it")
	a := d.addresses
	d.plain(fmt.Sprintf("  export KUBECONFIG=%s\n  %s get bakes -A", relative(a.Kubeconfig), relative(d.kubectl)))
	for _, row := range [][2]string{{"Prometheus", a.Prometheus}, {"Alertmanager", a.Alertmanager}, {"Grafana stand-in", a.Grafana + "/_sent"},
		{"webhook stand-in", a.Webhook + "/_sent"}, {"control", a.Control + "/state"}, {"bakewatch", "http://" + d.listen + "/metrics"}} {
		d.plain(fmt.Sprintf("  %-17s %s", row[0], row[1]))
	}
	d.plain("  The same rollouts once more, from what Prometheus remembers; edit the policy to see what would have come of it:")
	d.plain(fmt.Sprintf("  %s -n bakewatch get configmap bakewatch -o jsonpath='{.data.bakewatch\\.yaml}' > bakewatch.yaml", relative(d.kubectl)))
	d.plain(fmt.Sprintf("  %s backtest --config bakewatch.yaml --kubeconfig %s", relative(d.bakewatch), relative(a.Kubeconfig)))
	enter := make(chan struct{})
	go func() {
		if _, err := os.Stdin.Read(make([]byte, 1)); err == nil {
			close(enter)
		} // else there is nobody to press it
	}()
	select {
	case <-enter:
	case <-ctx.Done():
	case err := <-d.lost:
		d.say(story, "%v", err)
	}
}

// showLog prints the end of the daemon's log, for whoever has to find out what went wrong.
func (d *demo) showLog() {
	if d.daemon == nil {
		return
	}
	d.chapter("The end of " + relative(d.daemon.LogFile()))
	d.plain(child.Tail(d.daemon.LogFile(), 25))
}

func relatives(args []string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = relative(a)
	}
	return out
}

// relative shortens a path below the working directory.
func relative(path string) string {
	wd, err := os.Getwd()
	if err != nil || !filepath.IsAbs(path) {
		return path
	}
	rel, err := filepath.Rel(wd, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return path
	}
	return rel
}
