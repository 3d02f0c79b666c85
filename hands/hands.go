// Package hands is what a person asks at the keyboard: how workloads stand, which of their revisions are known good, what
// measures them, and what happened. It reads Bakes and writes text.
package hands

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// kinds are the names under which kubectl knows the kinds.
var kinds = map[string]string{
	"deployment": "Deployment", "deployments": "Deployment", "deploy": "Deployment", "deployments.apps": "Deployment", "deployment.apps": "Deployment",
	"statefulset": "StatefulSet", "statefulsets": "StatefulSet", "sts": "StatefulSet", "statefulsets.apps": "StatefulSet", "statefulset.apps": "StatefulSet",
	"daemonset": "DaemonSet", "daemonsets": "DaemonSet", "ds": "DaemonSet", "daemonsets.apps": "DaemonSet", "daemonset.apps": "DaemonSet",
}

// Workload names one workload of a namespace. An empty Kind means whichever there is.
type Workload struct{ Kind, Name string }

// ParseWorkload reads a workload as kubectl does: deployment/web, sts/web, or web alone.
func ParseWorkload(text string) (Workload, error) {
	kind, name, ok := strings.Cut(text, "/")
	if !ok {
		kind, name = "", text
	}
	w := Workload{Kind: kinds[strings.ToLower(kind)], Name: name}
	switch {
	case ok && w.Kind == "":
		return w, fmt.Errorf("%q is not the kind of a workload; write deployment/%s, statefulset/%s or daemonset/%s", kind, name, name, name)
	case name == "" || strings.Contains(name, "/"):
		return w, fmt.Errorf("%q names no workload; write it like deployment/web", text)
	}
	return w, nil
}

// String is the workload as people write it.
func (w Workload) String() string {
	if w.Kind == "" {
		return w.Name
	}
	return strings.ToLower(w.Kind) + "/" + w.Name
}

// ErrUnknown is why there is nothing to say of a workload.
var ErrUnknown = errors.New("no bake is on record")

// Of are the bakes of one workload, newest first.
func Of(bakes []*v1alpha1.Bake, w Workload) ([]*v1alpha1.Bake, error) {
	var out []*v1alpha1.Bake
	refs := map[string]bool{}
	for _, b := range bakes {
		if b.Spec.Workload.Name == w.Name && (w.Kind == "" || b.Spec.Workload.Kind == w.Kind) {
			out, refs[b.Spec.Ref] = append(out, b), true
		}
	}
	switch {
	case len(out) == 0:
		return nil, fmt.Errorf("%s: %w: it was not rolled out since bakewatch watches it, or it is in another namespace", w, ErrUnknown)
	case len(refs) > 1:
		var names []string
		for ref := range refs {
			names = append(names, ref)
		}
		slices.Sort(names)
		return nil, fmt.Errorf("%s may be %s; write which", w, strings.Join(names, " or "))
	}
	newestFirst(out)
	return out, nil
}

func newestFirst(bakes []*v1alpha1.Bake) {
	slices.SortFunc(bakes, func(a, b *v1alpha1.Bake) int {
		return cmp.Or(b.Spec.StartedAt.Compare(a.Spec.StartedAt.Time), cmp.Compare(b.Spec.To.Number, a.Spec.To.Number))
	})
}

// Newest is the newest bake of each workload, those that are under way first, and then by namespace and name.
func Newest(bakes []*v1alpha1.Bake) []*v1alpha1.Bake {
	newest := map[string]*v1alpha1.Bake{}
	for _, b := range bakes {
		key := b.Namespace + "/" + b.Spec.Ref
		if other := newest[key]; other == nil || b.Spec.StartedAt.After(other.Spec.StartedAt.Time) {
			newest[key] = b
		}
	}
	out := []*v1alpha1.Bake{} // in JSON, nothing is a list, too
	for _, b := range newest {
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b *v1alpha1.Bake) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Spec.Ref, b.Spec.Ref))
	})
	return out
}

func rank(b *v1alpha1.Bake) int {
	if b.Status.EndedAt == nil {
		return 0
	}
	return 1
}

// Standing is the phase of a bake that is under way, or the outcome of one that has ended.
func Standing(b *v1alpha1.Bake) string {
	switch {
	case b.Status.Outcome == v1alpha1.OutcomeHeld && pausedNow(b) != nil:
		return string(b.Status.Outcome) + " (paused)"
	case b.Status.EndedAt == nil && pausedNow(b) != nil:
		return string(b.Status.Phase) + " (paused)"
	case b.Status.EndedAt == nil:
		return cmp.Or(string(b.Status.Phase), "Seen")
	case b.Status.Observed && b.Status.Outcome == v1alpha1.OutcomeHeld:
		return string(b.Status.Outcome) + " (observed)"
	}
	return string(b.Status.Outcome)
}
