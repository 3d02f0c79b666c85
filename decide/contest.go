package decide

// CodeDisagree is the code of a regression that another source of the same signal denies.
const CodeDisagree = "disagree"

// contest takes back what one source calls regressed while another one, which saw about as much in the same ticks, finds
// nothing: which of them is right, a person must say. A source that is late or saw little denies nothing.
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
}

// denies reports whether what other saw since a finding contradicts it.
func (b *bench) denies(other, e Evidence, f finding) (Reason, bool) {
	since := func(e Evidence) Evidence {
		e.Ticks = e.Ticks[min(f.since, len(e.Ticks)):]
		return e
	}
	theirs, ours := since(other).total(), since(e).total()
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
