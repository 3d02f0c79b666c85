package query

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The variables that are not names.
const (
	PodsCandidate    = "pods_candidate"    // a pattern of the candidate's pods: web-7d9f6c5b4-*
	PodsBaseline     = "pods_baseline"     // likewise of the baseline's
	VersionCandidate = "version_candidate" // what the candidate's pods call their version
	VersionBaseline  = "version_baseline"  // likewise the baseline's
)

// Variables are what a query may use.
var Variables = []string{"namespace", "workload", "kind", "service", PodsCandidate, PodsBaseline, VersionCandidate, VersionBaseline}

var (
	variable = regexp.MustCompile(`\$(?:([a-zA-Z_][a-zA-Z0-9_]*)|\{([a-zA-Z_][a-zA-Z0-9_]*)\})?`)
	tagValue = regexp.MustCompile(`^[\p{L}\p{N}_./:-]+\*?$`)
)

// maxValue is the longest a tag's value may be.
const maxValue = 200

// Render replaces the variables of a query, $name or ${name}, with their values, as Datadog writes the values of tags. A
// variable that has no value, or one that could be more than a value, is an error.
func Render(text string, vars map[string]string) (string, error) {
	var failure error
	out := variable.ReplaceAllStringFunc(text, func(found string) string {
		name := strings.Trim(found, "${}")
		value, err := valueOf(name, vars)
		if err != nil && failure == nil {
			failure = err
		}
		return value
	})
	return out, failure
}

func valueOf(name string, vars map[string]string) (string, error) {
	switch value := vars[name]; {
	case name == "":
		return "", fmt.Errorf("has a $ that begins no variable (known: $%s)", strings.Join(Variables, ", $"))
	case !slices.Contains(Variables, name):
		return "", fmt.Errorf("$%s is not a variable; known are $%s", name, strings.Join(Variables, ", $"))
	case value == "":
		return "", fmt.Errorf("variable $%s has no value here", name)
	case len(value) > maxValue || !tagValue.MatchString(value):
		return "", fmt.Errorf("variable $%s has the value %q, which no tag can have", name, bounded(value))
	default:
		return Tag(value), nil
	}
}

// Tag is a value as Datadog writes that of a tag: in small letters.
func Tag(value string) string { return strings.ToLower(value) }

// Normal is any text as Datadog writes it as the value of a tag: what a value cannot have is an underscore.
func Normal(text string) string { return strange.ReplaceAllString(Tag(text), "_") }

var strange = regexp.MustCompile(`[^\p{L}\p{N}_./:-]`)
