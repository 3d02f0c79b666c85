package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/signals"
)

// Codes of the reasons that the pods themselves give.
const (
	CodeCrashLoop     = "crash-loop"    // a container ends again and again
	CodeOOMKilled     = "oom-killed"    // likewise, for want of memory
	CodeImagePull     = "image-pull"    // an image cannot be pulled
	CodeConfigError   = "config-error"  // a ConfigMap or Secret, or a key of one, is not there
	CodeRunError      = "run-error"     // a container cannot be made or started
	CodeUnschedulable = "unschedulable" // no node takes the pods
	CodeEvicted       = "evicted"       // their node, or a limit, puts them out
	CodeUnhealthy     = "unhealthy"     // they run, and their probes fail
)

// Fault is whose fault it is that pods cannot run.
type Fault string

// The faults.
const (
	FaultOwn    Fault = "own"    // the new version's: conclusive in itself
	FaultShared Fault = "shared" // not the new version's: others, or the old version's pods, fare alike
	FaultUnsure Fault = "unsure" // not known: it may yet pass, and is the new version's only if it does not
)

// PodFinding is what the states of the new pods amount to.
type PodFinding struct {
	Code     string // one of the codes above
	Fault    Fault
	Sentence string
}

const (
	// deadFor is how old the oldest of the new pods must be until it is the new version's fault that none runs. A registry
	// or a ConfigMap that comes a moment late is tried again by the kubelet in that time.
	deadFor = 20 * time.Second
	// crashes is how often a container must have ended to be said to end again and again: once or twice may be a start
	// before what it waits for. A container that is killed for want of memory gains nothing by waiting.
	crashes, kills = 3, 2
	// likewise is the share of the new pods' rate of crashes from which the old pods' rate is as bad.
	likewise = 1.0 / 3
)

// JudgePods says why none of the new pods can run, and whose fault that is; nil where one of them runs or may still become
// ready, and where there are none. It needs no traffic and no statistics: what cannot run serves nobody. Old pods are the
// control, and so are other workloads where images cannot be pulled. Where the rollout was given up, by its controller's own
// deadline, pods are not too young to be judged.
func JudgePods(l signals.PodLook, to, from string, givenUp bool) *PodFinding {
	var oldest time.Time
	var all []signals.PodState
	for _, p := range l.Candidate {
		if p.Going {
			continue
		}
		if !stuck(p) {
			return nil
		}
		if oldest.IsZero() || p.Born.Before(oldest) {
			oldest = p.Born
		}
		all = append(all, p)
	}
	if len(all) == 0 || !givenUp && l.At.Sub(oldest) < deadFor {
		return nil
	}
	// Of several troubles the one that most pods have is told; of as many, the one that was met first.
	count := map[signals.Cause]int{}
	worst := all[0]
	for _, p := range all {
		if count[p.Trouble.Cause]++; count[p.Trouble.Cause] > count[worst.Trouble.Cause] {
			worst = p
		}
	}
	alike := slices.DeleteFunc(all, func(p signals.PodState) bool { return p.Trouble.Cause != worst.Trouble.Cause })
	baseline := slices.DeleteFunc(slices.Clone(l.Baseline), func(p signals.PodState) bool { return p.Going })

	f := &PodFinding{Code: codes[worst.Trouble.Cause]}
	var because string
	f.Fault, because = blame(alike, worst, baseline, l.Elsewhere, from)
	f.Sentence = fmt.Sprintf("%s: no pod of %s can run: %s", f.Code, to, describe(worst, len(alike)))
	if because != "" {
		f.Sentence += "; " + because
	}
	return f
}

var codes = map[signals.Cause]string{
	signals.CrashLoop: CodeCrashLoop, signals.OOMKilled: CodeOOMKilled, signals.ImagePull: CodeImagePull, signals.ConfigError: CodeConfigError,
	signals.RunError: CodeRunError, signals.Unschedulable: CodeUnschedulable, signals.Evicted: CodeEvicted, signals.ProbeFailed: CodeUnhealthy,
}

// stuck reports whether a pod cannot run as it is. One that is ready between two crashes cannot.
func stuck(p signals.PodState) bool {
	if p.Trouble == nil {
		return false
	}
	switch p.Trouble.Cause {
	case signals.CrashLoop:
		return p.Ends >= crashes
	case signals.OOMKilled:
		return p.Ends >= kills
	case signals.RunError:
		return !p.Ready
	case signals.ImagePull, signals.ConfigError, signals.Unschedulable, signals.Evicted, signals.ProbeFailed:
		return !p.Ready
	}
	return false
}

// blame says whose fault it is, and the clause that tells by what.
func blame(candidate []signals.PodState, worst signals.PodState, baseline []signals.PodState, elsewhere []signals.Pulling, from string) (Fault, string) {
	t := worst.Trouble
	switch t.Cause {
	case signals.ImagePull:
		return blameImage(t, baseline, elsewhere, from)
	case signals.ConfigError:
		if i := slices.IndexFunc(baseline, func(p signals.PodState) bool { return t.Missing != "" && slices.Contains(p.Uses, t.Missing) }); i >= 0 {
			return FaultShared, fmt.Sprintf("%s needs %s, too: going back would not bring it back", from, t.Missing)
		}
		return FaultOwn, running(baseline, from)
	case signals.CrashLoop, signals.OOMKilled, signals.RunError:
		if old := crashRate(baseline); old > 0 && old >= likewise*crashRate(candidate) {
			return FaultShared, fmt.Sprintf("the pods of %s end as often", from)
		}
		if i := slices.IndexFunc(baseline, func(p signals.PodState) bool { return !p.Ready && p.Trouble != nil && p.Trouble.Cause == t.Cause }); i >= 0 {
			return FaultShared, fmt.Sprintf("%s of %s fares alike", baseline[i].Name, from)
		}
		if t.Cause == signals.RunError && !t.OwnFault {
			return FaultUnsure, ""
		}
		return FaultOwn, running(baseline, from)
	case signals.Unschedulable:
		if len(baseline) > 0 && worst.Asks != "" && slices.ContainsFunc(baseline, func(p signals.PodState) bool { return p.Asks == worst.Asks }) {
			return FaultShared, fmt.Sprintf("the pods of %s ask for the same: the cluster lacks room", from)
		}
	case signals.Evicted, signals.ProbeFailed:
	}
	return FaultUnsure, ""
}

func blameImage(t *signals.Trouble, baseline []signals.PodState, elsewhere []signals.Pulling, from string) (Fault, string) {
	if slices.ContainsFunc(baseline, func(p signals.PodState) bool { return slices.Contains(p.Images, t.Image) }) {
		return FaultShared, fmt.Sprintf("%s runs the same image: going back would not bring it back", from)
	}
	var names []string
	for _, e := range elsewhere {
		// An image that is not there says nothing of the registry, unless it is this very image.
		if (e.Pull != signals.NotFound || t.Pull != signals.NotFound) && !slices.Contains(names, e.Workload) {
			names = append(names, e.Workload)
		}
	}
	if len(names) > 0 && t.Pull != signals.NotFound {
		return FaultShared, "nor can " + few(names) + " pull theirs: it is the registry, or the way to it"
	}
	if t.Pull == signals.Unreachable {
		return FaultUnsure, ""
	}
	return FaultOwn, running(baseline, from)
}

// few names three at most.
func few(names []string) string {
	slices.Sort(names)
	if more := len(names) - 3; more > 0 {
		return strings.Join(names[:3], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(names, ", ")
}

// crashRate is how often containers end, per second.
func crashRate(pods []signals.PodState) float64 {
	var ends int
	var ran time.Duration
	for _, p := range pods {
		ends += p.Ends
		ran += p.Ran
	}
	if ends == 0 {
		return 0
	}
	return float64(ends) / max(ran, time.Second).Seconds()
}

// running is the clause of the old pods that do run.
func running(baseline []signals.PodState, from string) string {
	ready := 0
	for _, p := range baseline {
		if p.Ready {
			ready++
		}
	}
	switch ready {
	case 0:
		return ""
	case 1:
		return "1 pod of " + from + " runs"
	}
	return fmt.Sprintf("%s pods of %s run", number(float64(ready)), from)
}

// describe is what is wrong with a pod, which of as many pods have.
func describe(p signals.PodState, pods int) string {
	t := p.Trouble
	what := "container " + t.Container
	if t.Container == "" {
		what = "pod"
	}
	of := " of " + p.Name
	if t.Container == "" {
		what, of = p.Name, ""
	}
	if pods > 1 {
		of += fmt.Sprintf(" and of %s more", number(float64(pods-1)))
	}
	said := ""
	if t.Message != "" {
		said = ": " + t.Message
	}
	switch t.Cause {
	case signals.CrashLoop:
		return what + of + " " + ended(p) + ", the last time with exit code " + fmt.Sprint(t.ExitCode)
	case signals.OOMKilled:
		limit := "it has no memory limit"
		switch {
		case t.Limit != "" && t.Used != "":
			limit = "it was seen to use " + t.Used + " of its memory limit of " + t.Limit
		case t.Limit != "":
			limit = "its memory limit is " + t.Limit
		case t.Used != "":
			limit = "it was seen to use " + t.Used + ", and has no memory limit"
		}
		return what + of + " was OOMKilled, " + ended(p) + "; " + limit
	case signals.ImagePull:
		why := map[signals.PullFail]string{
			signals.NotFound: "the registry does not have it", signals.Denied: "the registry denies it", signals.Unreachable: "the registry does not answer as it should",
		}[t.Pull]
		return "image " + t.Image + " of " + what + of + " cannot be pulled, " + why
	case signals.ConfigError:
		if t.Missing != "" {
			return what + of + " cannot start without " + t.Missing + ", which is not there"
		}
		return what + of + " cannot start for its configuration" + said
	case signals.RunError:
		return what + of + " cannot be started" + said
	case signals.Unschedulable:
		return "no node takes " + p.Name + said
	case signals.Evicted:
		return p.Name + " was evicted" + said
	case signals.ProbeFailed:
		return "the probes of " + p.Name + " fail" + said
	}
	return what + of + said
}

func ended(p signals.PodState) string {
	if p.Ends == 1 {
		return "ended once"
	}
	return fmt.Sprintf("ended %d times", p.Ends)
}
