package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/bakewatch/bakewatch/signals/prometheus/promql"
)

// Variables are what a query may use.
var Variables = promql.Variables

// sample are values to try a query with.
var sample = map[string]string{"namespace": "n", "workload": "w", "kind": "Deployment", "service": "s",
	promql.PodsCandidate: "w-1-.*", promql.PodsBaseline: "w-0-.*", promql.Window: "15s"}

// checkExpression checks that q is PromQL.
func checkExpression(q string) error {
	text, err := promql.Render(q, sample)
	if err != nil {
		return err
	}
	_, err = promql.Selectors(text)
	return err
}

var (
	metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*`)
	aggregated = regexp.MustCompile(`^(\(|(by|without)\b)`)
	identifier = regexp.MustCompile(`^[a-zA-Z0-9_]*`)
)

// checkQuery is a light check that q is a plain selector of a counter: a metric name and label matchers, or one of
// both. Bakewatch reads counters raw, because it counts per window itself and must see resets and gaps.
func checkQuery(q string) error {
	rest := strings.TrimSpace(q)
	if rest == "" {
		return errors.New(`is missing; write the selector of a counter, such as http_requests_total{namespace="$namespace"}`)
	}
	name := metricName.FindString(rest)
	rest = strings.TrimSpace(rest[len(name):])
	if err := plainSelector(name, rest); err != nil {
		return err
	}
	text, err := promql.Render(q, sample)
	if err != nil {
		return err
	}
	_, err = promql.ParseSelector(text)
	return err
}

// plainSelector says of what is no plain selector what to do about it, better than a parser would.
func plainSelector(name, rest string) error {
	switch {
	case rest == "":
		return nil
	case aggregated.MatchString(rest):
		return fmt.Errorf("must be a plain selector of a counter; remove %s(…): Bakewatch reads the counter raw and computes rates and sums itself", name)
	case rest[0] == '$':
		return errors.New("a variable stands inside quotes only")
	case rest[0] != '{':
		return notPlain(rest)
	}
	body, rest, err := braces(rest)
	if err != nil {
		return err
	}
	if name == "" && strings.TrimSpace(body) == "" {
		return errors.New("{} selects everything; name a metric or a label")
	}
	if rest = strings.TrimSpace(rest); rest != "" {
		return notPlain(rest)
	}
	return nil
}

func notPlain(rest string) error {
	if rest[0] == '[' {
		return fmt.Errorf("must be a plain selector of a counter; remove the range %s: Bakewatch reads the counter raw", quote(rest))
	}
	return fmt.Errorf("must be a plain selector of a counter, a metric name and {…}; remove %s", quote(rest))
}

// braces splits s, which begins with {, behind the } that closes it.
func braces(s string) (body, rest string, err error) {
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '}':
			return s[1:i], s[i+1:], nil
		case '"', '\'', '`':
			n, err := quoted(s[i:])
			if err != nil {
				return "", "", err
			}
			i += n - 1
		case '{', '(', ')', '[', ']':
			return "", "", fmt.Errorf("must be a plain selector of a counter; remove the %q inside {…}", c)
		case '$':
			return "", "", errors.New("a variable stands inside quotes only")
		}
	}
	return "", "", errors.New("the { is never closed; add a }")
}

// quoted is the length of the quoted string s begins with.
func quoted(s string) (int, error) {
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == s[0]:
			return i + 1, nil
		case c == '\\' && s[0] != '`':
			i++
		case c == '$':
			if name := identifier.FindString(s[i+1:]); !slices.Contains(Variables, name) {
				return 0, fmt.Errorf("$%s is not a variable; known are $%s (a regexp needs no $ at its end)", name, strings.Join(Variables, ", $"))
			}
		}
	}
	return 0, fmt.Errorf("the quote %c is never closed; add one", s[0])
}
