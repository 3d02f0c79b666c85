package decide

import (
	"math"
	"strconv"
	"strings"

	"github.com/bakewatch/bakewatch/signals"
)

// sides name the candidate and the baseline in sentences: "rev 7" and "rev 6".
type sides struct {
	to, from string // from is empty for a first revision
}

func (s sides) fromOr(other string) string {
	if s.from == "" {
		return other
	}
	return s.from
}

// compare is the sentence that holds the candidate's counts against the baseline's.
func (s sides) compare(e Evidence, l look) string {
	var b strings.Builder
	b.WriteString(e.rate(l.candidate) + " on " + s.to + podCount(e.Ticks))
	if s.from == "" {
		b.WriteString("; the ceiling is " + percent(e.Threshold.Max) + ", and there is no earlier revision to compare with")
		return b.String()
	}
	b.WriteString(" against " + percent(l.baseline.Rate()) + " of " + number(l.baseline.Requests) + " on " + s.from)
	base, rate := l.baseline.Rate(), l.candidate.Rate()
	if base > 0 && rate >= 1.5*base {
		b.WriteString("; " + times(rate/base) + " worse")
	}
	if rate > e.Threshold.Max && base <= e.Threshold.Max && rate < e.Threshold.Increase*base {
		b.WriteString("; over the ceiling of " + percent(e.Threshold.Max))
	}
	return b.String()
}

// title begins a sentence: the signal's name, and its source where more than one measures it.
func (e Evidence) title() string { return title(e.Signal, e.Source) }

func title(signal, source string) string {
	if source == "" {
		return signal
	}
	return signal + " (" + source + ")"
}

// Words are how sentences speak of the counts.
func (e Evidence) Words() Wording {
	switch {
	case e.Wording.Counted != "":
		return e.Wording
	case e.Query.Histogram != "" || e.Query.Over > 0:
		return Wording{Counted: "requests", Bad: "took over " + e.limit()}
	case e.Query.Events != "":
		return Wording{Counted: "looks at pods", Bad: "found such an event"}
	case e.Query.Flow != "":
		return Wording{Counted: "runs", Bad: "failed"}
	}
	return Wording{Counted: "requests", Bad: "failed"}
}

// limit is the duration above which a request is slow.
func (e Evidence) limit() string {
	if e.Query.Milli {
		return duration(e.Query.Over / 1000)
	}
	return duration(e.Query.Over)
}

// rate is "http-errors: 8.1% of 1,240 requests failed", of the candidate's counts.
func (e Evidence) rate(c signals.Counts) string {
	w := e.Words()
	s := e.title() + ": " + percent(c.Rate()) + " of " + number(c.Requests) + " " + w.Counted + " " + w.Bad
	if how := e.how(); c.Errors > 0 && how != "" {
		s += " (" + how + ")"
	}
	return s
}

// how is what most of the candidate's newest errors were, where the source says.
func (e Evidence) how() string {
	for i := len(e.Ticks) - 1; i >= 0; i-- {
		if c := e.Ticks[i].Candidate; c.Spoke() && c.Errors > 0 && c.Detail != "" {
			return c.Detail
		}
	}
	return ""
}

// none says that nothing was counted.
func (e Evidence) none() string {
	if w := e.Words(); w.Counted != "requests" {
		return "had no " + w.Counted
	}
	return "served no request"
}

// duration prints seconds as people say them: 250ms, 2.5s.
func duration(seconds float64) string {
	if seconds < 1 {
		return strconv.FormatFloat(seconds*1000, 'g', 4, 64) + "ms"
	}
	return strconv.FormatFloat(seconds, 'g', 4, 64) + "s"
}

func (e Evidence) reason(code string, l look, sentence string) Reason {
	return Reason{Code: code, Signal: e.Signal, Sentence: sentence, Numbers: Numbers{Candidate: l.candidate, Baseline: l.baseline}}
}

// why says in a clause why a side is missing.
func why(s signals.Side) string {
	switch {
	case s.Detail != "":
		return s.Detail
	case s.Missing != signals.Present:
		return string(s.Missing)
	case !s.Spoke():
		return string(signals.NotNumber)
	}
	return "it served no requests"
}

// podCount is " (2 pods)": how many pods served, by the newest tick that tells pods apart.
func podCount(rs []signals.Reading) string {
	for i := len(rs) - 1; i >= 0; i-- {
		n := 0
		for _, c := range rs[i].Candidate.Pods {
			if c.Requests > 0 {
				n++
			}
		}
		switch {
		case n == 1:
			return " (1 pod)"
		case n > 1:
			return " (" + strconv.Itoa(n) + " pods)"
		}
	}
	return ""
}

// control says what a stretch was compared with.
func (s *stretch) control(names sides) string {
	old := "pods of " + names.fromOr("the version before") + " beside it"
	switch {
	case s.after.Requests == 0:
		return old
	case s.beside == 0:
		return "the past"
	}
	return old + ", and the past"
}

// clause says how the neighbours moved.
func (l lift) clause() string {
	if l.count == 1 {
		return "a neighbour that did not deploy got " + times(l.ratio) + " worse, too"
	}
	return strconv.Itoa(l.count) + " neighbours that did not deploy got " + times(l.ratio) + " worse, too"
}

// oneIn is a chance as people say it: 1 in 1,240. What is rarer than one in a billion is said so.
func oneIn(odds float64) string {
	const most = 1e9
	if odds > most {
		return "under 1 in " + number(most)
	}
	return "1 in " + number(odds)
}

// percent prints a share with the digits that matter: 8.1%, 0.3%, 0.04%, 100%.
func percent(share float64) string {
	p := share * 100
	switch {
	case p == 0:
		return "0%"
	case p < 0.01:
		return "under 0.01%"
	case p < 0.1:
		return trim(strconv.FormatFloat(p, 'f', 2, 64)) + "%"
	}
	return trim(strconv.FormatFloat(p, 'f', 1, 64)) + "%"
}

func times(x float64) string {
	if x < 10 {
		return trim(strconv.FormatFloat(x, 'f', 1, 64)) + "x"
	}
	return number(x) + "x"
}

func trim(s string) string {
	return strings.TrimSuffix(s, ".0")
}

func ticks(n int) string {
	if n == 1 {
		return "1 tick"
	}
	return strconv.Itoa(n) + " ticks"
}

// number prints a count with commas between thousands: 1,240.
func number(x float64) string {
	s := strconv.FormatFloat(math.Round(x), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
