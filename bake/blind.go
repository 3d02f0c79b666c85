package bake

import (
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
)

// blindAfter is how many ticks in a row a source must not have answered to be called blind; one is often the next one's.
const blindAfter = 2

// maxWhy is how much is kept of why, in runes.
const maxWhy = 300

// unaskable are sources that cannot be asked what measures a workload.
type unaskable struct {
	since time.Time
	why   map[string]string // by source
}

// note takes note of how a search went.
func (u *unaskable) note(away map[string]string, now time.Time) {
	if u.why = away; len(away) == 0 {
		u.since = time.Time{}
	} else if u.since.IsZero() {
		u.since = now
	}
}

// blind are the sources that have answered none of the signals for some ticks, or could not be asked for as long what measures the
// workload, by name.
func (v *evidence) blind(sigs []policy.Signal, search unaskable) []v1alpha1.BlindSource {
	sees := map[string]bool{}
	out := map[string]v1alpha1.BlindSource{}
	if !search.since.IsZero() && v.judgedTo.Sub(search.since) > (blindAfter-1)*v.interval {
		for source, why := range search.why {
			out[source] = blindSource(source, search.since, why)
		}
	}
	for _, s := range sigs {
		t := v.signals[s.Key()]
		if !s.Known() || t == nil || len(t.ticks) == 0 {
			continue
		}
		source, answered := s.From(), t.answered()
		if len(t.ticks)-answered < blindAfter {
			sees[source] = true
			continue
		}
		since := v.anchor.Add(time.Duration(answered) * v.interval)
		if was, ok := out[source]; !ok || since.After(was.Since.Time) {
			out[source] = blindSource(source, since, t.ticks[len(t.ticks)-1].Candidate.Detail)
		}
	}
	maps.DeleteFunc(out, func(source string, _ v1alpha1.BlindSource) bool { return sees[source] })
	all := make([]v1alpha1.BlindSource, 0, len(out))
	for _, source := range slices.Sorted(maps.Keys(out)) {
		all = append(all, out[source])
	}
	return all
}

func blindSource(source string, since time.Time, why string) v1alpha1.BlindSource {
	text := []rune(why)
	return v1alpha1.BlindSource{Source: source, Since: metav1.MicroTime{Time: since}, Why: string(text[:min(len(text), maxWhy)])}
}
