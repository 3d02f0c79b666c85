package promql

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxVarBytes is the longest value a variable may have: the longest name Kubernetes allows.
const maxVarBytes = 253

// Variables are what a query may use.
var Variables = []string{"namespace", "workload", "kind", "service", PodsCandidate, PodsBaseline, Window}

// The variables that are not names.
const (
	PodsCandidate = "pods_candidate" // a pattern of the candidate's pods, for =~ and !~ only
	PodsBaseline  = "pods_baseline"  // likewise of the baseline's
	Window        = "window"         // how long a tick is, such as 15s, for ranges: [$window]
)

// Render replaces the variables of a query ($name or ${name}) with their values. A variable stands inside a quoted
// label value; its value is escaped for the kind of quotes it stands in and, after =~ or !~, for a regular expression,
// so that it always matches itself and nothing else. Patterns of pods are put in as they are, where a regular expression
// stands; Window stands outside of quotes. $$ is a dollar sign; a dollar sign that begins no name stays one. A variable
// that has no value, or an empty one (which would match series that lack the label), is an error.
func Render(query string, vars map[string]string) (string, error) {
	var out strings.Builder
	var quote byte     // the quotes we are in; 0 outside of them
	var regex bool     // the next or current quoted text is a regular expression
	var inComment bool // from # to the end of the line
	for i := 0; i < len(query); {
		c := query[i]
		switch {
		case inComment:
			inComment = c != '\n'
		case quote == 0 && c == '#':
			inComment = true
		case c == '$':
			text, width, err := dollar(query[i:], vars, quote, regex)
			if err != nil {
				return "", err
			}
			out.WriteString(text)
			i += width
			continue
		case quote == 0 && (c == '"' || c == '\'' || c == '`'):
			quote = c
		case quote == 0 && c == '~':
			regex = i > 0 && (query[i-1] == '=' || query[i-1] == '!')
		case quote == 0:
			if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
				regex = false
			}
		case c == '\\' && quote != '`' && i+1 < len(query):
			out.WriteString(query[i : i+2]) // an escaped character ends nothing
			i += 2
			continue
		case c == quote:
			quote, regex = 0, false
		}
		out.WriteByte(c)
		i++
	}
	if quote != 0 {
		return "", fmt.Errorf("query %q: a quote (%c) is not closed", bounded(query), quote)
	}
	return out.String(), nil
}

// dollar gives what stands for the dollar sign that text begins with, and how many bytes of text that replaces.
func dollar(text string, vars map[string]string, quote byte, regex bool) (string, int, error) {
	name, width := varName(text)
	if name == "" {
		if strings.HasPrefix(text, "$$") {
			return "$", 2, nil
		}
		return "$", 1, nil
	}
	value, ok := vars[name]
	pattern := name == PodsCandidate || name == PodsBaseline
	switch {
	case !ok:
		return "", 0, fmt.Errorf("unknown variable $%s (write $$ for a dollar sign)", name)
	case name == Window && quote == 0:
		return value, width, nil
	case name == Window:
		return "", 0, fmt.Errorf("variable $%s stands outside of quotes, as a range: [$%s]", name, name)
	case quote == 0:
		return "", 0, fmt.Errorf("variable $%s stands outside of a quoted label value", name)
	case pattern && !regex:
		return "", 0, fmt.Errorf("variable $%s is a pattern: write pod=~\"$%s\"", name, name)
	}
	escaped, err := escape(value, quote, regex && !pattern)
	if err != nil {
		return "", 0, fmt.Errorf("variable $%s: %w", name, err)
	}
	return escaped, width, nil
}

// varName is the name of the variable that text begins with, and the bytes it takes; "" when it begins with none.
func varName(text string) (name string, width int) {
	rest := text[1:]
	braced := strings.HasPrefix(rest, "{")
	if braced {
		rest = rest[1:]
	}
	n := 0
	for n < len(rest) && (rest[n] == '_' || rest[n] >= 'a' && rest[n] <= 'z' || rest[n] >= 'A' && rest[n] <= 'Z' ||
		n > 0 && rest[n] >= '0' && rest[n] <= '9') {
		n++
	}
	switch {
	case n == 0 || braced && (n == len(rest) || rest[n] != '}'):
		return "", 0
	case braced:
		return rest[:n], n + len("${}")
	}
	return rest[:n], n + len("$")
}

// escape writes a value so that it means itself between the given quotes.
func escape(value string, quote byte, regex bool) (string, error) {
	switch {
	case value == "":
		return "", fmt.Errorf("its value is empty")
	case len(value) > 2*maxVarBytes:
		return "", fmt.Errorf("its value is longer than %d bytes", maxVarBytes)
	case !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl):
		return "", fmt.Errorf("its value %q has characters no name has", value)
	}
	if regex {
		value = regexp.QuoteMeta(value)
	}
	if quote == '`' {
		if strings.Contains(value, "`") {
			return "", fmt.Errorf("its value %q cannot stand in backquotes", value)
		}
		return value, nil
	}
	value = strings.ReplaceAll(value, `\`, `\\`)
	return strings.ReplaceAll(value, string(quote), `\`+string(quote)), nil
}
