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

// blind are the sources that have answered none of the signals for some ticks, by name.
func (v *evidence) blind(sigs []policy.Signal) []v1alpha1.BlindSource {
	sees := map[string]bool{}
	out := map[string]v1alpha1.BlindSource{}
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
			why := []rune(t.ticks[len(t.ticks)-1].Candidate.Detail)
			out[source] = v1alpha1.BlindSource{Source: source, Since: metav1.MicroTime{Time: since}, Why: string(why[:min(len(why), maxWhy)])}
		}
	}
	maps.DeleteFunc(out, func(source string, _ v1alpha1.BlindSource) bool { return sees[source] })
	all := make([]v1alpha1.BlindSource, 0, len(out))
	for _, source := range slices.Sorted(maps.Keys(out)) {
		all = append(all, out[source])
	}
	return all
}
