// Package up assembles a playground from its parts, and starts and stops it from the command line.
package up

import (
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// Options of a playground.
type Options struct {
	Dir              string
	Ports            string // see ports.Resolve
	PodPrefix        string // "auto" for one no other playground uses
	Nodes            int
	ControlPlaneOnly bool
	Fresh            bool // begin without the state of an earlier start
	ScrapeInterval   time.Duration
	MaxRPS           float64
	BakewatchMetrics string
	GrafanaToken     string
	Tools            string // directory with prometheus and alertmanager
	Version          string // of Kubernetes
	Out              io.Writer
}

func (o *Options) check() error {
	abs, err := filepath.Abs(o.Dir)
	if err != nil {
		return err
	}
	o.Dir = abs
	if o.ScrapeInterval < 100*time.Millisecond || o.ScrapeInterval > 10*time.Minute {
		return fmt.Errorf("--scrape-interval %s: choose one from 100ms to 10m", o.ScrapeInterval)
	}
	if o.MaxRPS < 0 {
		return fmt.Errorf("--max-rps %g: choose 0 (no traffic) or more", o.MaxRPS)
	}
	return nil
}

func (o *Options) path(elem ...string) string {
	return filepath.Join(append([]string{o.Dir}, elem...)...)
}
