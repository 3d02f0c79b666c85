package prometheus

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/bakewatch/bakewatch/signals/prometheus/promql"
)

// Heard is what a server has for one of a query's selectors.
type Heard struct {
	Selector string // without the conditions that hold variables, which differ from one workload to the next
	Series   int    // that match it now
	Metric   bool   // there are series of that name at all
}

// stands is put in for a variable, so that the conditions that hold one are known.
const stands = "bakewatch0variable"

// Hear says which selectors of a query with variables have series now.
func (s *Source) Hear(ctx context.Context, query string) ([]Heard, error) {
	vars := map[string]string{}
	for _, name := range promql.Variables {
		vars[name] = stands
	}
	vars[promql.Window] = "5m"
	text, err := promql.Render(query, vars)
	if err != nil {
		return nil, err
	}
	selectors, err := promql.Selectors(text)
	if err != nil {
		return nil, err
	}
	var out []Heard
	for _, sel := range selectors {
		sel.Matchers = slices.DeleteFunc(slices.Clone(sel.Matchers), func(m *promql.Matcher) bool { return strings.Contains(m.Value, stands) })
		if sel.Name == "" && len(sel.Matchers) == 0 {
			continue // all that it says is variable
		}
		h := Heard{Selector: sel.String()}
		if h.Series, err = s.count(ctx, h.Selector); err != nil {
			return nil, err
		}
		h.Metric = h.Series > 0
		if !h.Metric && sel.Name != "" && len(sel.Matchers) > 0 {
			n, err := s.count(ctx, sel.Name)
			if err != nil {
				return nil, err
			}
			h.Metric = n > 0
		}
		out = append(out, h)
	}
	return out, nil
}

func (s *Source) count(ctx context.Context, selector string) (int, error) {
	answer, bad := s.query(ctx, "count("+selector+")", time.Time{})
	if bad != nil {
		return 0, fmt.Errorf("count the series of %s: %w; %s", selector, bad, advice(bad))
	}
	v, ok := answer.(model.Vector)
	if !ok {
		return 0, fmt.Errorf("count the series of %s: the server answered with a %s", selector, answer.Type())
	}
	if len(v) == 0 {
		return 0, nil
	}
	return int(v[0].Value), nil
}
