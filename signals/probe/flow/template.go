package flow

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// template is text in which ${name} stands for a value. $${ stands for ${ itself; any other $ is one.
type template []piece

// piece is text, or the name of a value.
type piece struct{ text, name string }

var (
	variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)
	opening  = "${"
)

func parseTemplate(s string) (template, error) {
	var t template
	var text strings.Builder
	for {
		before, rest, found := strings.Cut(s, opening)
		text.WriteString(before)
		if !found {
			if text.Len() > 0 {
				t = append(t, piece{text: text.String()})
			}
			return t, nil
		}
		if strings.HasSuffix(before, "$") { // the $ before is there already; the rest of ${ follows it
			text.WriteString("{")
			s = rest
			continue
		}
		name, after, closed := strings.Cut(rest, "}")
		switch {
		case !closed:
			return nil, fmt.Errorf("the ${ is never closed; add a }, or write $${ for ${ itself")
		case !variable.MatchString(name):
			return nil, fmt.Errorf("${%s} is not a name of letters, digits and _; write $${ for ${ itself", cut(name, 30))
		}
		if text.Len() > 0 {
			t = append(t, piece{text: text.String()})
			text.Reset()
		}
		t = append(t, piece{name: name})
		s = after
	}
}

// names are those of the values it uses.
func (t template) names() []string {
	var out []string
	for _, p := range t {
		if p.name != "" {
			out = append(out, p.name)
		}
	}
	return out
}

// verbatim puts the values in as they are.
func (t template) verbatim(values map[string]string) string {
	var b strings.Builder
	for _, p := range t {
		if p.name == "" {
			b.WriteString(p.text)
		} else {
			b.WriteString(values[p.name])
		}
	}
	return b.String()
}

// escaped puts the values in as they must be written in a URL: in the path until there is a ?, and in the query after it.
func (t template) escaped(values map[string]string) string {
	var b strings.Builder
	escape := url.PathEscape
	for _, p := range t {
		if p.name != "" {
			b.WriteString(escape(values[p.name]))
			continue
		}
		if strings.Contains(p.text, "?") {
			escape = url.QueryEscape
		}
		b.WriteString(p.text)
	}
	return b.String()
}
