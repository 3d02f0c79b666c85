package query

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// monitorTag is a tag that a monitor may have. Variables are filled in before.
var monitorTag = regexp.MustCompile(`^[\p{L}\p{N}_./:-]+$`)

// Monitors is the query for the monitors that have all of some tags: monitors{service:web,team:shop}.
func Monitors(tags string) string { return "monitors{" + tags + "}" }

// AboutMonitors reports whether a query is about monitors.
func AboutMonitors(text string) bool { return strings.HasPrefix(text, "monitors{") }

// ParseMonitors is what tags a query about monitors names; false where it is about something else.
func ParseMonitors(text string) (tags string, ok bool) {
	if !AboutMonitors(text) || !strings.HasSuffix(text, "}") {
		return "", false
	}
	return text[len("monitors{") : len(text)-1], true
}

// CheckMonitors checks the tags of a query about monitors.
func CheckMonitors(tags string) error {
	if strings.TrimSpace(tags) == "" {
		return errors.New("is missing; write the tags that the monitors have, such as service:$workload")
	}
	for _, tag := range strings.Split(tags, ",") {
		if !monitorTag.MatchString(tag) {
			return fmt.Errorf("must be tags such as service:$workload,team:shop, and not %q", bounded(tag))
		}
	}
	return nil
}
