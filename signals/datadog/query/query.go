// Package query knows as much of the language of Datadog's metric queries as it takes to tell a plain query from others, to
// fill in variables, and to say in which spans of time the answer is to be. It asks no server.
package query

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// MaxLength is the most bytes a query may have: several go into one address.
const MaxLength = 2000

// Plain is a query for one metric: sum:trace.http.request.hits{service:web} by {version}.as_count().
type Plain struct {
	Aggregator string   // over the series of a group: sum, avg, min, max, count, p95, count(v: v>0.25), ...
	Metric     string   // its name
	Scope      string   // what is between the braces
	By         []string // tags by which series are told apart; none: all are one
	Functions  []string // what follows, such as .as_count()
}

var (
	head     = regexp.MustCompile(`^(sum|avg|min|max|count\(v: ?v ?(?:[<>]=?) ?\d+(?:\.\d+)?\)|count|p50|p75|p90|p95|p99)(?:by \([^)]*\))?:([a-zA-Z][a-zA-Z0-9_.]*)`)
	byTags   = regexp.MustCompile(`^\s*by\s*\{([^{}]*)\}`)
	function = regexp.MustCompile(`^\.[a-z_]+\([^()]*\)`)
)

// parse reads the plain query that text begins with, and says how long it is; 0 where it begins with none.
func parse(text string) (p Plain, length int, err error) {
	m := head.FindStringSubmatch(text)
	if m == nil {
		return p, 0, nil
	}
	p.Aggregator, p.Metric = m[1], strings.TrimRight(m[2], ".")
	rest := text[len(m[0])-(len(m[2])-len(p.Metric)):]
	if !strings.HasPrefix(rest, "{") {
		return p, 0, fmt.Errorf("needs a scope behind %s: {*}, or tags such as {kube_namespace:$namespace}", p.Metric)
	}
	end := closing(rest)
	if end < 0 {
		return p, 0, errors.New("the { is never closed; add a }")
	}
	p.Scope, rest = rest[1:end], rest[end+1:]
	if strings.TrimSpace(p.Scope) == "" {
		return p, 0, errors.New("the scope {} is empty; write {*} for all, or tags such as {kube_namespace:$namespace}")
	}
	if m := byTags.FindStringSubmatch(rest); m != nil {
		for _, tag := range strings.Split(m[1], ",") {
			if tag = strings.TrimSpace(tag); tag == "" {
				return p, 0, errors.New("by {…} has an empty tag; remove it")
			}
			p.By = append(p.By, strings.TrimSpace(tag))
		}
		rest = rest[len(m[0]):]
	}
	for f := function.FindString(rest); f != ""; f = function.FindString(rest) {
		p.Functions, rest = append(p.Functions, f), rest[len(f):]
	}
	return p, len(text) - len(rest), nil
}

// closing is where the brace is closed that text begins with; -1 if it is not. ${name} is a variable.
func closing(text string) int {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// String is the query as Datadog reads it.
func (p Plain) String() string {
	var b strings.Builder
	b.WriteString(p.Aggregator + ":" + p.Metric + "{" + p.Scope + "}")
	if len(p.By) > 0 {
		b.WriteString(" by {" + strings.Join(p.By, ",") + "}")
	}
	b.WriteString(strings.Join(p.Functions, ""))
	return b.String()
}

// counted reports whether the query is for how many there were in each span, and not for a rate.
func (p Plain) counted() bool { return slices.Contains(p.Functions, ".as_count()") }

// ParsePlain reads a query that is plain from its first to its last character.
func ParsePlain(text string) (Plain, error) {
	text = strings.TrimSpace(text)
	switch {
	case len(text) > MaxLength:
		return Plain{}, fmt.Errorf("is longer than %d characters", MaxLength)
	case text == "":
		return Plain{}, errors.New("is missing; write a query such as sum:trace.http.request.hits{service:$workload} by {version}.as_count()")
	}
	p, n, err := parse(text)
	switch {
	case err != nil:
		return p, err
	case n == 0:
		return p, errors.New("must be one plain query, such as sum:trace.http.request.hits{service:$workload} by {version}.as_count(), without functions around it or operators")
	case n < len(text):
		return p, fmt.Errorf("must be one plain query; remove %q", bounded(text[n:]))
	}
	return p, nil
}

// ParseCount reads a query for how many of something there were.
func ParseCount(text string) (Plain, error) {
	p, err := ParsePlain(text)
	switch {
	case err != nil:
		return p, err
	case p.Aggregator != "sum" && !strings.HasPrefix(p.Aggregator, "count("):
		return p, fmt.Errorf("must count all there is: in place of %s: write sum: at its beginning, or count(v: v>1): for the values of a distribution above 1", p.Aggregator)
	case !p.counted():
		return p, errors.New("must count, and not be a rate; add .as_count() at its end")
	case len(p.Functions) > 1:
		return p, fmt.Errorf("must not be changed before it is counted; keep .as_count() alone of %s", strings.Join(p.Functions, ""))
	}
	return p, nil
}

// ParseEvents reads a query for events: how many there were, or the value of something that goes up with each of them.
func ParseEvents(text string) (Plain, error) {
	p, err := ParsePlain(text)
	if err != nil || p.counted() {
		if err == nil {
			p, err = ParseCount(text)
		}
		return p, err
	}
	if len(p.Functions) > 0 {
		return p, fmt.Errorf("must not be changed before it is looked at; remove %s", strings.Join(p.Functions, ""))
	}
	return p, nil
}

// Value is an expression, and the plain queries in it.
type Value struct {
	text  string
	terms []term
}

type term struct {
	Plain
	from, to int
}

// ParseValue reads an expression.
func ParseValue(text string) (Value, error) {
	v := Value{text: strings.TrimSpace(text)}
	switch {
	case len(v.text) > MaxLength:
		return v, fmt.Errorf("is longer than %d characters", MaxLength)
	case v.text == "":
		return v, errors.New("is missing; write a query such as avg:jvm.heap_memory{kube_deployment:$workload} by {pod_name}")
	}
	for _, zero := range []string{"default_zero(", ".fill(zero", "fill(null, 0"} {
		if strings.Contains(v.text, zero) {
			return v, fmt.Errorf("must not take what is missing for zero; remove %s…)", zero)
		}
	}
	if strings.Contains(v.text, ".rollup(") {
		return v, errors.New("must not have .rollup(…): Bakewatch adds it, to fit the interval of the bake")
	}
	for i := 0; i < len(v.text); {
		p, n, err := parse(v.text[i:])
		switch {
		case n == 0 && err == nil || i > 0 && ofWord(v.text[i-1]):
			i++
		case err != nil:
			return v, err
		default:
			v.terms = append(v.terms, term{p, i, i + n})
			i += n
		}
	}
	if len(v.terms) == 0 {
		return v, errors.New("asks for no metric; write a query such as avg:jvm.heap_memory{kube_deployment:$workload} by {pod_name}")
	}
	if depth := strings.Count(v.text, "(") - strings.Count(v.text, ")"); depth != 0 {
		return v, errors.New("has parentheses that are not closed, or never opened")
	}
	return v, topComma(v.text)
}

// ofWord reports whether a character is one of a word, so that what follows it begins none.
func ofWord(c byte) bool {
	return c == '_' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// topComma refuses what would be several queries.
func topComma(text string) error {
	depth := 0
	for _, c := range text {
		switch c {
		case '(', '{':
			depth++
		case ')', '}':
			depth--
		case ',':
			if depth == 0 {
				return errors.New("must be one query; a comma separates several")
			}
		}
	}
	return nil
}

// Every is the plain query with an answer in spans of so many seconds, as how is to make one of all there is in a span.
func (p Plain) Every(how string, seconds int64) string {
	return p.String() + ".rollup(" + how + ", " + strconv.FormatInt(seconds, 10) + ")"
}

// Every is the expression with an answer in spans of so many seconds. Of percentiles Datadog itself makes them.
func (v Value) Every(seconds int64) string {
	var b strings.Builder
	at := 0
	for _, t := range v.terms {
		b.WriteString(v.text[at:t.from])
		at = t.to
		how := "avg"
		switch {
		case t.counted():
			how = "sum"
		case t.Aggregator == "min" || t.Aggregator == "max":
			how = t.Aggregator
		case strings.HasPrefix(t.Aggregator, "p"):
			b.WriteString(v.text[t.from:t.to])
			continue
		}
		b.WriteString(t.Every(how, seconds))
	}
	b.WriteString(v.text[at:])
	return b.String()
}

// By are the tags by which all series of the expression are told apart.
func (v Value) By() []string {
	by := v.terms[0].By
	for _, t := range v.terms[1:] {
		by = slices.DeleteFunc(slices.Clone(by), func(tag string) bool { return !slices.Contains(t.By, tag) })
	}
	return by
}

// bounded makes foreign text fit to quote.
func bounded(text string) string {
	const most = 80
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}
