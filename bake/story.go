package bake

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
)

// story is what there is to tell of a bake at a stage.
func story(b *v1alpha1.Bake, stage announce.Stage) announce.Story {
	sp, st := b.Spec, b.Status
	s := announce.Story{
		Bake: id(b), Namespace: b.Namespace, Kind: sp.Workload.Kind, Workload: sp.Workload.Name, UID: sp.Workload.UID,
		Labels: sp.Labels, Stage: stage, Outcome: string(st.Outcome), Observed: st.Observed, Headline: headline(b, stage), Why: st.Why,
		To: long(sp.To), Version: cmp.Or(sp.To.Version, imageTag(sp)), ImageTag: imageTag(sp), Changes: sp.Changes, ChangedBy: sp.ChangedBy, StartedAt: sp.StartedAt.Time,
		Severity: matters(b, stage), Decided: st.Rollback != nil || writtenBack(sp), Earlier: earlier(b, stage),
	}
	if sp.From != nil {
		s.From = long(*sp.From)
	}
	for _, r := range st.Reasons {
		s.Reasons = append(s.Reasons, r.Sentence)
	}
	for _, m := range st.Signals {
		s.Measured = append(s.Measured, announce.Measure{Signal: m.Name, Candidate: m.Candidate, Baseline: m.Baseline, History: m.History})
	}
	for _, p := range st.Evidence {
		s.Pods = append(s.Pods, announce.Pod{Name: p.Name, State: p.State, Restarts: p.Restarts, Events: p.Events, Lines: p.Lines})
	}
	if st.Rollback != nil {
		s.Recovery, s.Recovered = st.Rollback.Recovery, st.Rollback.Recovered
		if next := st.Rollback.Aftermath; next != "" {
			s.Reasons = append(s.Reasons, next)
		}
	}
	if st.EndedAt != nil {
		s.EndedAt = st.EndedAt.Time
	}
	if early(stage) {
		s.Outcome, s.Why, s.Reasons, s.Recovery, s.Recovered, s.EndedAt, s.Decided, s.Measured, s.Pods = "", "", nil, "", "", time.Time{}, false, nil, nil
	} else {
		s.Links = proposalLink(b)
	}
	if stage == announce.Suspicion {
		suspicion(&s, b)
	}
	return s
}

// withReport is the story with the report, where one is wanted.
func (l *Loop) withReport(b *v1alpha1.Bake, stage announce.Stage) announce.Story {
	s := story(b, stage)
	if o := b.Status.Outcome; l.Report != nil && stage == announce.Ended && (o == v1alpha1.OutcomeRolledBack || o == v1alpha1.OutcomeHeld) {
		s.Report = l.Report(b)
	}
	return s
}

// early reports whether nothing was decided yet at a stage, whatever has come since.
func early(stage announce.Stage) bool {
	return stage == announce.Started || stage == announce.Suspicion
}

// matters is how much a story matters. What raises an alert matters as much as the alert.
func matters(b *v1alpha1.Bake, stage announce.Stage) string {
	st := b.Status
	switch {
	case early(stage):
		return announce.Info
	case st.Outcome == v1alpha1.OutcomePassed, st.Outcome == v1alpha1.OutcomeSuperseded, st.Outcome == v1alpha1.OutcomeAbandoned,
		st.Outcome == v1alpha1.OutcomeInconclusive && st.Alert == nil: // as where too few requests came
		return announce.Info
	}
	return severity(b)
}

// earlier is what receivers called the messages of the stages before.
func earlier(b *v1alpha1.Bake, stage announce.Stage) map[string]string {
	var ids map[string]string
	for _, before := range order[:slices.Index(order, stage)] {
		for _, r := range b.Status.Announced {
			if announce.Stage(r.Stage) == before && r.ID != "" {
				if ids == nil {
					ids = map[string]string{}
				}
				ids[r.Receiver] = r.ID
			}
		}
	}
	return ids
}

// headline is one line that says what happened to whom.
func headline(b *v1alpha1.Bake, stage announce.Stage) string {
	sp, st := b.Spec, b.Status
	who := b.Namespace + " " + sp.Ref
	if st.Observed {
		who = "[observe] " + who
	}
	to := rev(sp.To)
	switch {
	case stage == announce.Started:
		switch {
		case sp.ByHand != nil && sp.From == nil:
			return fmt.Sprintf("%s: %s asks to roll %s back", who, somebody(sp.ByHand.By), to)
		case sp.ByHand != nil:
			return fmt.Sprintf("%s: %s asks to roll %s back to %s", who, somebody(sp.ByHand.By), to, rev(*sp.From))
		case sp.From == nil:
			return fmt.Sprintf("%s: watching %s, its first revision", who, to)
		case sp.Again != nil:
			return fmt.Sprintf("%s: watching the rollout of %s over %s; %s", who, to, rev(*sp.From), itIs(sp, sp.StartedAt.Time))
		}
		return fmt.Sprintf("%s: watching the rollout of %s over %s", who, to, rev(*sp.From))
	case stage == announce.Suspicion:
		return suspected(who, b)
	case st.Outcome == "" && st.Rollback == nil && st.Approval == nil && writtenBack(sp):
		return fmt.Sprintf("%s: %s wrote rev %d back after it was rolled back; it runs again, as %s, and is NOT rolled back once more", who, writer(sp.ChangedBy), sp.Again.Number, to)
	case st.Outcome == "" && st.Rollback == nil && st.Approval != nil:
		return fmt.Sprintf("%s: %s regressed, and waits until %s for approval to be rolled back to %s (annotations %s, %s: %d)", who, to, clock(st.Approval.Until.Time), rev(*sp.From),
			policy.AnnotationApprove, policy.AnnotationReject, sp.To.Number)
	case st.Outcome == "" && st.Rollback != nil:
		return fmt.Sprintf("%s: rolling back from %s to %s", who, to, rev(st.Rollback.Target))
	}
	switch st.Outcome {
	case v1alpha1.OutcomePassed:
		return fmt.Sprintf("%s: %s passed", who, to)
	case v1alpha1.OutcomeRolledBack:
		h := fmt.Sprintf("%s: rolled back from %s to %s", who, to, rev(st.Rollback.Target))
		if has(st.Reasons, CodeWrittenBack) {
			return h + ", and " + to + " was WRITTEN BACK"
		}
		switch st.Rollback.Recovered {
		case "Yes":
			return h + ", recovered"
		case "No":
			return h + ", NOT recovered"
		}
		return h
	case v1alpha1.OutcomeHeld:
		h := fmt.Sprintf("%s: %s regressed and was NOT rolled back", who, to)
		if n := len(st.Reasons); n > 0 {
			h += " (" + st.Reasons[n-1].Code + ")"
		}
		if p := openPause(b); p != nil && p.PausedAt != nil {
			h += "; its rollout stays paused"
		}
		if d := st.ScaleDown; d != nil && d.DoneAt != nil {
			h += fmt.Sprintf(", replicas lowered from %d to %d", d.From, d.To)
		}
		return h
	case v1alpha1.OutcomeSuperseded:
		return fmt.Sprintf("%s: %s was superseded by a newer rollout", who, to)
	case v1alpha1.OutcomeAbandoned:
		return fmt.Sprintf("%s: no longer watching %s", who, to)
	case v1alpha1.OutcomeInconclusive:
		return fmt.Sprintf("%s: %s could not be judged", who, to)
	}
	return who + ": watching " + to
}

// long is a revision with what is in it: "rev 7 (web-5d9f, app:v2)".
func long(r v1alpha1.Revision) string {
	s := rev(r)
	if r.Name == "" {
		return s
	}
	s += " (" + r.Name
	for _, i := range r.Images {
		s += ", " + i
	}
	return s + ")"
}

// imageTag is the tag of the images that the rollout changed, or of all if it changed none; empty if they have none or several,
// or one that names no version.
func imageTag(sp v1alpha1.BakeSpec) string {
	var changed []string
	for _, image := range sp.To.Images {
		if sp.From == nil || !slices.Contains(sp.From.Images, image) {
			changed = append(changed, image)
		}
	}
	if len(changed) == 0 {
		changed = sp.To.Images
	}
	tag := ""
	for i, image := range changed {
		image, _, _ = strings.Cut(image, "@") // a digest
		_, mine, _ := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
		if mine == "" || mine == "latest" || i > 0 && mine != tag {
			return ""
		}
		tag = mine
	}
	return tag
}
