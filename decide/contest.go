package decide

import "strings"

// CodeDisagree is the code of a regression that another source of the same signal denies.
const CodeDisagree = "disagree"

// contest takes back what one source calls regressed while another one, which saw about as much in the same ticks, finds
// nothing: which of them is right, a person must say. A source that is late or saw little denies nothing: what is clear before it can
// know is not waited for, and says that it has not reported.
func (b *bench) contest(signals []Evidence, findings []finding) {
	contested := map[int]finding{}
	for i, f := range findings {
		if f.result != Regressed {
			continue
		}
		for j, g := range findings {
			if g.result == Healthy && signals[i].Signal == signals[j].Signal && signals[i].Source != signals[j].Source {
				if reason, denied := b.denies(signals[j], signals[i], f); denied {
					contested[i] = finding{result: Undecided, reason: reason}
					break
				}
			}
		}
	}
	for i, f := range contested {
		findings[i] = f
	}
	for i, f := range findings {
		if f.result != Regressed {
			continue
		}
		var awaited []string
		for j, g := range findings {
			if g.result != Regressed && signals[i].Signal == signals[j].Signal && signals[i].Source != signals[j].Source && signals[j].awaited(signals[i], f.since) {
				awaited = append(awaited, signals[j].Source)
			}
		}
		if len(awaited) > 0 {
			verb := " has"
			if len(awaited) > 1 {
				verb = " have"
			}
			findings[i].reason.Sentence += "; " + strings.Join(awaited, " and ") + verb + " not reported for this time yet"
		}
	}
}

// awaited reports whether a signal's source has yet to tell of most of what another's tells of since a tick: it knows late. Both are
// read from the same tick on, one reading a tick.
func (e Evidence) awaited(of Evidence, since int) bool {
	if len(e.Ticks) >= len(of.Ticks) {
		return false
	}
	return e.since(since).total().candidate.Requests < of.since(since).total().candidate.Requests/2
}

// since is the evidence without the ticks before one.
func (e Evidence) since(tick int) Evidence {
	e.Ticks = e.Ticks[min(tick, len(e.Ticks)):]
	return e
}

// denies reports whether what other saw since a finding contradicts it.
func (b *bench) denies(other, e Evidence, f finding) (Reason, bool) {
	theirs, ours := other.since(f.since).total(), e.since(f.since).total()
	base := theirs.baseline
	if other.History.Spoke() {
		base = base.Add(other.History.Counts)
	}
	if theirs.candidate.Requests < other.Threshold.MinRequests || theirs.candidate.Requests < ours.candidate.Requests/2 ||
		other.Threshold.beyond(theirs.candidate.Rate(), base.Rate()) {
		return Reason{}, false
	}
	reason := f.reason
	reason.Code = CodeDisagree
	reason.Sentence += "; but " + other.rate(theirs.candidate) + " in the same ticks: one of the two sources is wrong"
	return reason, true
}
