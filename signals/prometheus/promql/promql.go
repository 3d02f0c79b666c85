// Package promql knows the language of Prometheus queries, by Prometheus' own parser: which are plain selectors of
// counters, what they select, and which variables they use. It asks no server.
package promql

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// language is PromQL as servers of the last years speak it.
var language = parser.NewParser(parser.Options{})

// Matcher is one condition on a label.
type Matcher = labels.Matcher

// Selector is a plain selector: a metric's name and conditions on labels.
type Selector struct {
	Name     string // of the metric; empty where conditions name it
	Matchers []*Matcher
}

// ParseSelector reads a plain selector whose variables are replaced.
func ParseSelector(query string) (Selector, error) {
	e, err := parse(query)
	if err != nil {
		return Selector{}, err
	}
	for {
		paren, ok := e.(*parser.ParenExpr)
		if !ok {
			break
		}
		e = paren.Expr
	}
	vs, ok := e.(*parser.VectorSelector)
	if !ok || vs.OriginalOffset != 0 || vs.OriginalOffsetExpr != nil || vs.Timestamp != nil || vs.StartOrEnd != 0 {
		return Selector{}, errors.New("is not a plain selector, a metric name and {…}")
	}
	s := Selector{Name: vs.Name}
	for _, m := range vs.LabelMatchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual && vs.Name != "" {
			continue
		}
		s.Matchers = append(s.Matchers, m)
	}
	return s, nil
}

// String is the selector as a query.
func (s Selector) String() string {
	if len(s.Matchers) == 0 {
		return s.Name
	}
	parts := make([]string, len(s.Matchers))
	for i, m := range s.Matchers {
		parts[i] = m.String()
	}
	return s.Name + "{" + strings.Join(parts, ",") + "}"
}

// With is the selector with one condition more.
func (s Selector) With(m *Matcher) Selector {
	s.Matchers = append(slices.Clone(s.Matchers), m)
	return s
}

// Equal is a condition that a label has a value.
func Equal(label, value string) *Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, label, value)
}

// OneOf is a condition that a label has one of some values.
func OneOf(label string, values ...string) *Matcher {
	if len(values) == 1 {
		return Equal(label, values[0])
	}
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = regexp.QuoteMeta(v)
	}
	return labels.MustNewMatcher(labels.MatchRegexp, label, strings.Join(quoted, "|"))
}

// Literals are the values that a condition allows, where it names them one by one; else nil.
func Literals(m *Matcher) []string {
	switch m.Type {
	case labels.MatchEqual:
		if m.Value != "" { // a label that is not there is another matter
			return []string{m.Value}
		}
	case labels.MatchRegexp:
		if set := m.SetMatches(); !slices.Contains(set, "") && !strings.Contains(m.Value, "(?i)") {
			return set
		}
	case labels.MatchNotEqual, labels.MatchNotRegexp:
	}
	return nil
}

// Alternation is a pattern that matches those values and no others, as it stands between double quotes in a query. Its
// dollar signs begin no variables.
func Alternation(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = regexp.QuoteMeta(v)
	}
	text := strings.ReplaceAll(strings.Join(quoted, "|"), `\`, `\\`)
	return strings.ReplaceAll(strings.ReplaceAll(text, `"`, `\"`), "$", "$$")
}

// Begins is a condition that a label's value begins with a text.
func Begins(label, prefix string) *Matcher {
	return labels.MustNewMatcher(labels.MatchRegexp, label, regexp.QuoteMeta(prefix)+".*")
}

// Bucket splits the selector of a classic histogram's buckets: requests counts all observations, within those that took at
// most so many seconds, which must be a bound of its buckets. ok is false where the selector names no buckets, as that of a
// native histogram does not.
func Bucket(query string, over float64) (requests, within string, ok bool, err error) {
	s, err := ParseSelector(query)
	if err != nil {
		return "", "", false, err
	}
	base, ok := strings.CutSuffix(s.Name, "_bucket")
	if !ok {
		return "", "", false, nil
	}
	within = s.With(labels.MustNewMatcher(labels.MatchRegexp, "le", bound(over))).String()
	s.Name = base + "_count"
	return s.String(), within, true, nil
}

// bound matches the ways in which client libraries and servers write a bucket's bound: 0.25 and 0.250, 1 and 1.0, 1e+06 and
// 1.0E6.
func bound(x float64) string {
	digits := func(text string) string {
		if strings.Contains(text, ".") {
			return regexp.QuoteMeta(text) + "0*"
		}
		return text + `(\.0*)?`
	}
	pattern := digits(strconv.FormatFloat(x, 'f', -1, 64))
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(x, 'e', -1, 64), "e")
	sign, exponent := exponent[:1], strings.TrimLeft(exponent[1:], "0")
	if n, err := strconv.Atoi(exponent); err == nil && (n >= 6 || sign == "-" && n >= 4) {
		if sign == "+" {
			sign = `\+?`
		}
		pattern += "|" + digits(mantissa) + "[eE]" + sign + "0*" + exponent
	}
	return pattern
}

// Selectors are the plain selectors that an expression whose variables are replaced is made from.
func Selectors(query string) ([]Selector, error) {
	e, err := parse(query)
	if err != nil {
		return nil, err
	}
	var out []Selector
	parser.Inspect(e, func(node parser.Node, _ []parser.Node) error {
		if vs, ok := node.(*parser.VectorSelector); ok {
			s := Selector{Name: vs.Name}
			for _, m := range vs.LabelMatchers {
				if m.Name != model.MetricNameLabel || vs.Name == "" {
					s.Matchers = append(s.Matchers, m)
				}
			}
			out = append(out, s)
		}
		return nil
	})
	return out, nil
}

func parse(query string) (parser.Expr, error) {
	e, err := language.ParseExpr(query)
	if err != nil {
		var all parser.ParseErrors
		if errors.As(err, &all) && len(all) > 0 {
			return nil, fmt.Errorf("is not PromQL: %w (at %q)", all[0].Err, bounded(at(query, int(all[0].PositionRange.Start))))
		}
		return nil, fmt.Errorf("is not PromQL: %w", err)
	}
	return e, nil
}

// at is the text from where an error was found.
func at(query string, i int) string {
	if i < 0 || i >= len(query) {
		return "the end"
	}
	return query[i:]
}
