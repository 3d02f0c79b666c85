package announce

// Interest is how much a Receiver wants a story.
type Interest int

// The interests.
const (
	Never   Interest = iota // it has no use for it
	IfAsked                 // only where a route names the receiver
	Usually                 // unless routes leave it out
	Closes                  // it may end what the receiver opened for an earlier bake: routes choose by namespace only
)

// Choosy is a Receiver that does not want every story.
type Choosy interface {
	Receiver
	Wants(s Story) Interest
}

// Route reports whether a receiver is to hear a story. With any, severity and outcome do not count.
type Route func(s Story, any bool) bool

// Hears reports whether the receiver hears the story. routes are those that name it; where there are none, it hears what it
// usually wants. Who heard that a regression was found also hears how that bake ended, whatever the end.
func Hears(r Receiver, s Story, routes []Route) bool {
	interest := Usually
	if choosy, ok := r.(Choosy); ok {
		interest = choosy.Wants(s)
	} else if s.Stage == Resolved {
		interest = Never
	}
	if len(routes) == 0 || interest == Never {
		return interest >= Usually
	}
	found := s
	found.Stage, found.Outcome, found.Severity = Deciding, "", found.foundSeverity()
	for _, route := range routes {
		if route(s, interest == Closes) || s.Decided && route(found, false) {
			return true
		}
	}
	return false
}

// foundSeverity is how much the story of the same bake mattered when its regression was found.
func (s Story) foundSeverity() string {
	if s.Observed {
		return Warning
	}
	return Critical
}

// WorthTelling is the interest of those who do not want to hear of rollouts that are as they should be.
func WorthTelling(s Story) Interest {
	switch {
	case s.Stage == Resolved:
		return Never
	case s.Severity == Info && !s.Decided:
		return IfAsked
	}
	return Usually
}
