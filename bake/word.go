package bake

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
)

// word is what a person wrote into an annotation of a workload: 7, or 7 ann@example.com, or 7 to 5 ann@example.com.
type word struct {
	number int64  // of the revision that is meant; it only grows, so that no word is taken for one about a later revision
	to     int64  // of the revision to go back to; 0: the known good one
	by     string // who wrote it, as they say
}

// mostOf is how many runes of a person's name are kept.
const mostOf = 200

// parseWord reads an annotation's value; false when it names no revision.
func parseWord(value string) (w word, ok bool) {
	fields := strings.Fields(value)
	if len(fields) == 0 {
		return w, false
	}
	var err error
	if w.number, err = strconv.ParseInt(fields[0], 10, 64); err != nil || w.number <= 0 {
		return word{}, false
	}
	fields = fields[1:]
	if len(fields) > 1 && fields[0] == "to" {
		if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil && n > 0 {
			w.to, fields = n, fields[2:]
		}
	}
	if n := len(fields); n > 0 && strings.HasPrefix(fields[n-1], "#") {
		fields = fields[:n-1] // it sets the same words apart that are said again
	}
	name := []rune(strings.Join(fields, " "))
	w.by = string(name[:min(len(name), mostOf)])
	return w, true
}

// clipped is an annotation's value as it is kept.
func clipped(value string) string {
	const most = 500
	text := []rune(value)
	return string(text[:min(len(text), most)])
}

// who is who wrote it, for people.
func (w word) who() string { return cmp.Or(w.by, "somebody") }

// said is what an annotation says of the revision that is judged.
func (s State) said(annotation string) (word, bool) {
	w, ok := parseWord(s.Sight.Annotations[annotation])
	if !ok || w.number != s.Bake.Spec.To.Number {
		return word{}, false
	}
	return w, true
}

// somebody is who wrote an annotation, for people.
func somebody(by string) string { return cmp.Or(by, "somebody") }

// abandoned is why the bake is given up, if a person wants that; else nil.
func (s State) abandoned() *v1alpha1.Reason {
	w, said := s.said(policy.AnnotationAbort)
	if !said {
		return nil
	}
	return &v1alpha1.Reason{Code: CodeAborted, Sentence: fmt.Sprintf("%s: %s said to leave %s of %s alone", CodeAborted, w.who(), rev(s.Bake.Spec.To), s.Bake.Spec.Ref)}
}

// asked reports whether a person asks for the rollback.
func (s State) asked() bool {
	_, said := s.said(policy.AnnotationUndo)
	return said
}

// byHand is a rollback that a person asks for. It needs neither ground nor approval; of the guards, those hold that say that
// it would not work, and not those that leave the decision to a person.
func (s State) byHand() (Step, bool) {
	w, said := s.said(policy.AnnotationUndo)
	spec := s.Bake.Spec
	switch {
	case !said && spec.ByHand != nil:
		return end(v1alpha1.OutcomeAbandoned, CodeAborted, fmt.Sprintf("%s: the annotation that asked to roll %s back was taken away", CodeAborted, spec.Ref)), true
	case !said:
		return Step{}, false
	case spec.ByHand == nil && w.to != 0 && (spec.From == nil || w.to != spec.From.Number):
		// This bake knows of another revision to go back to. It makes room for one that is about what the person asks.
		return end(v1alpha1.OutcomeAbandoned, CodeByHand, fmt.Sprintf("%s: %s asked to roll %s back from %s to rev %d", CodeByHand, w.who(), spec.Ref, rev(spec.To), w.to)), true
	}
	to := ""
	if spec.From != nil {
		to = " to " + rev(*spec.From)
	}
	why := []v1alpha1.Reason{{Code: CodeByHand, Sentence: fmt.Sprintf("%s: %s asked to roll %s back from %s%s", CodeByHand, w.who(), spec.Ref, rev(spec.To), to)}}
	heeded := &v1alpha1.ByHand{Word: clipped(s.Sight.Annotations[policy.AnnotationUndo]), By: w.by}
	if held := s.hold(); held != nil {
		return Step{Do: End, Outcome: v1alpha1.OutcomeHeld, Reasons: append(why, *held), ByHand: heeded, Observed: s.observed()}, true
	}
	return Step{Do: Intend, Reasons: why, ByHand: heeded}, true
}
