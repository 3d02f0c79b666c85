// Package behavior reads how a pod should behave from the annotations of its template, so that a story can be told
// with nothing but kubectl.
package behavior

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Prefix begins every annotation the playground reads.
const Prefix = "playground.bakewatch.dev/"

// The annotations, without their prefix.
const (
	ErrorRate = "error-rate"
	LatencyMs = "latency-ms"
	RPS       = "rps"
	ModeKey   = "mode"
	Log       = "log"
	After     = "after"
	Startup   = "startup"
)

// Defaults of what a pod does when its template says nothing.
const (
	DefaultRPS     = 20.0
	DefaultLatency = 5 * time.Millisecond
	DefaultStartup = time.Second
)

// Mode is how a pod lives.
type Mode string

// The modes a pod can have.
const (
	OK        Mode = "ok"
	Crash     Mode = "crash"
	OOM       Mode = "oom"
	ImagePull Mode = "imagepull" // the registry has no such image
	Registry  Mode = "registry"  // the registry does not answer
	Unready   Mode = "unready"
	Silent    Mode = "silent"
)

var modes = []Mode{OK, Crash, OOM, ImagePull, Registry, Unready, Silent}

// Behavior is what one pod does from its start on.
type Behavior struct {
	Mode      Mode
	ErrorRate float64       // share of requests answered with 500
	Latency   time.Duration // middle of the response time
	Log       []string      // lines the container prints
	After     time.Duration // behave well until this long after the container started
	Startup   time.Duration // from the container's start until it is ready
	RPS       float64       // what the whole workload receives, not this pod alone
	FailPaths []string      // on which it always fails
}

// Parse reads the annotations of a pod. An unknown key under the prefix is an error: a typing mistake in a story
// would otherwise look like a healthy release.
func Parse(annotations map[string]string) (Behavior, error) {
	b := Behavior{Mode: OK, Latency: DefaultLatency, Startup: DefaultStartup, RPS: DefaultRPS}
	for key, value := range annotations {
		name, ours := strings.CutPrefix(key, Prefix)
		if !ours {
			continue
		}
		if err := b.set(name, strings.TrimSpace(value)); err != nil {
			return Behavior{}, fmt.Errorf("annotation %s: %w", key, err)
		}
	}
	return b, nil
}

func (b *Behavior) set(name, value string) (err error) {
	switch name {
	case ErrorRate:
		b.ErrorRate, err = number(value, 0, 1)
	case LatencyMs:
		var ms float64
		ms, err = number(value, 0, 60_000)
		b.Latency = time.Duration(ms * float64(time.Millisecond))
	case RPS:
		b.RPS, err = number(value, 0, 10_000)
	case ModeKey:
		b.Mode = Mode(value)
		if !slices.Contains(modes, b.Mode) {
			return fmt.Errorf("mode %q is none of %v", value, modes)
		}
	case Log:
		b.Log = strings.Split(value, "\n")
	case After:
		b.After, err = duration(value)
	case Startup:
		b.Startup, err = duration(value)
	case FailPaths:
		b.FailPaths, err = failPaths(value)
	default:
		return fmt.Errorf("not known; the playground reads %s, %s, %s, %s, %s, %s, %s and %s",
			ErrorRate, LatencyMs, RPS, ModeKey, Log, After, Startup, FailPaths)
	}
	return err
}

func number(value string, least, most float64) (float64, error) {
	f, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(f) || f < least || f > most {
		return 0, fmt.Errorf("%q is not a number from %g to %g", value, least, most)
	}
	return f, nil
}

func duration(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 || d > 24*time.Hour {
		return 0, fmt.Errorf("%q is not a duration like 30s, from 0s to 24h", value)
	}
	return d, nil
}
