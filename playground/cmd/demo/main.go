// Command demo shows what Bakewatch does, on a playground of its own, and verifies it: a bad version is rolled out and
// comes back by itself. Its last line is "demo: ok …" or "demo: FAILED: …", and so is its exit status.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

type options struct {
	bakewatch string
	deploy    string
	runDir    string
	ports     string
	listen    string
	source    string
	story     string
	helm      string
	timeout   time.Duration
	hold      bool
}

func main() {
	var o options
	flag.StringVar(&o.bakewatch, "bakewatch", ".bin/bakewatch", "the daemon's binary")
	flag.StringVar(&o.deploy, "deploy", "deploy", "directory with the manifests to install it")
	flag.StringVar(&o.runDir, "dir", "playground/.run", "directory of the playground that is started; what an earlier one left there is forgotten")
	flag.StringVar(&o.ports, "ports", "default", `ports of the playground: "default", "free", or a list as of "playground up"`)
	flag.StringVar(&o.listen, "listen", "", "address of the daemon's metrics (default 127.0.0.1:18081, or a free port with --ports free)")
	flag.StringVar(&o.source, "source", "prometheus", `where signals are read: "prometheus", or "datadog" for Datadog alone, as a stand-in plays it`)
	flag.StringVar(&o.story, "story", byApply, `what is told: "apply", a bad version; "helm", likewise in a Helm release that goes back as a whole; or "config", a ConfigMap that goes bad`)
	flag.StringVar(&o.helm, "helm", ".bin/helm", "the program helm, for --story helm")
	flag.DurationVar(&o.timeout, "timeout", 5*time.Minute, "give up after this long")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "demo: %q is not understood; -h shows the flags\n", flag.Arg(0))
		os.Exit(2)
	}
	if o.source != "prometheus" && o.source != "datadog" {
		fmt.Fprintf(os.Stderr, "demo: --source %q: use prometheus or datadog\n", o.source)
		os.Exit(2)
	}
	if o.story != byApply && o.story != byHelm && o.story != byConfig {
		fmt.Fprintf(os.Stderr, "demo: --story %q: use apply, helm or config\n", o.story)
		os.Exit(2)
	}
	hold := os.Getenv("DEMO_HOLD")
	o.hold = hold != "" && hold != "0"
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends at once, and the kernel ends the children
	os.Exit(run(ctx, o))
}

// run is the demo from its first line to its last.
func run(ctx context.Context, o options) int {
	n := newNarrator(os.Stdout)
	d, err := newDemo(o, n)
	if err == nil {
		err = d.perform(ctx)
	}
	took := time.Since(n.began)
	if d != nil {
		if (err != nil || len(d.failed) > 0) && ctx.Err() == nil {
			d.showLog()
		}
		if o.hold && d.addresses.Kubeconfig != "" && ctx.Err() == nil {
			d.keepUp(ctx, err)
		}
		if stopErr := d.stop(); stopErr != nil {
			err = errors.Join(err, stopErr)
		}
	}
	return n.lastLine(d, err, took)
}

// lastLine says how it went, in one line, and returns the exit status.
func (n *narrator) lastLine(d *demo, err error, took time.Duration) int {
	var wrong []string
	if d != nil {
		wrong = append(wrong, d.failed...)
	}
	if err != nil {
		wrong = append(wrong, strings.Join(strings.Fields(err.Error()), " "))
	}
	if len(wrong) > 0 {
		n.plain("\n" + n.paint("1;31", "demo: FAILED: "+strings.Join(wrong, "; ")))
		return 1
	}
	n.plain("\n" + n.paint("1;32", fmt.Sprintf("demo: ok (%d facts verified in %.0fs)", d.held, took.Seconds())))
	return 0
}

// beside finds a program of the playground: they are built into one directory.
func beside(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is missing: playground/build.sh builds it", path)
	}
	return path, nil
}
