package announce

import "testing"

type choosy struct {
	*mailbox
	interest Interest
}

func (c choosy) Wants(Story) Interest { return c.interest }

func TestHears(t *testing.T) {
	critical := func(s Story, any bool) bool { return any || s.Severity == Critical }
	held := func(s Story, any bool) bool { return any || s.Outcome == "Held" }
	nowhere := func(Story, bool) bool { return false }
	info := Story{Stage: Started, Severity: Info}
	passed := Story{Stage: Ended, Severity: Info, Outcome: "Passed"}
	superseded := Story{Stage: Ended, Severity: Info, Outcome: "Superseded", Decided: true}
	decided := Story{Stage: Deciding, Severity: Critical, Decided: true}
	resolved := Story{Stage: Resolved, Severity: Critical, Decided: true}
	plain := newMailbox("plain", nil)
	of := func(i Interest) Receiver { return choosy{plain, i} }
	for name, c := range map[string]struct {
		receiver Receiver
		story    Story
		routes   []Route
		want     bool
	}{
		"all without routes":                      {plain, info, nil, true},
		"but not that it is over":                 {plain, resolved, nil, false},
		"never":                                   {of(Never), decided, nil, false},
		"never, though asked":                     {of(Never), decided, []Route{critical}, false},
		"if asked, not asked":                     {of(IfAsked), passed, nil, false},
		"if asked, asked":                         {of(IfAsked), decided, []Route{critical}, true},
		"usually":                                 {of(Usually), passed, nil, true},
		"left out by its severity":                {of(Usually), passed, []Route{critical}, false},
		"one of several routes":                   {of(Usually), decided, []Route{held, critical}, true},
		"none of several routes":                  {of(Usually), decided, []Route{held, nowhere}, false},
		"the end of what was told":                {plain, superseded, []Route{critical}, true},
		"the end of what was not told":            {plain, superseded, []Route{held}, false},
		"what closes, whatever its severity":      {of(Closes), passed, []Route{critical}, true},
		"what closes, but in another namespace":   {of(Closes), passed, []Route{nowhere}, false},
		"what closes, without routes":             {of(Closes), passed, nil, true},
		"the end of an observed one, by severity": {plain, Story{Stage: Ended, Severity: Info, Decided: true, Observed: true}, []Route{critical}, false},
	} {
		if got := Hears(c.receiver, c.story, c.routes); got != c.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}
