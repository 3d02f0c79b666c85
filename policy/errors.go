package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing wrong in a configuration file.
type Error struct {
	File    string
	Line    int    // from 1
	Path    string // of the key, such as signals.http-errors.threshold.max or workloads[0].match; empty: the whole file
	Message string // what is wrong and what to write instead; never a secret's value
}

// Error is the error on one line, in the form editors jump to: file:line: path: message.
func (e Error) Error() string {
	s := fmt.Sprintf("%s:%d: ", e.File, e.Line)
	if e.Path != "" {
		s += e.Path + ": "
	}
	return s + e.Message
}

// Errors is everything wrong in a file, sorted by line.
type Errors []Error

// mostShown bounds the text of Errors; a file that is wrong throughout is not fixed from one message.
const mostShown = 50

// Error is one line for each error.
func (es Errors) Error() string {
	var lines []string
	for i, e := range es {
		if i == mostShown {
			lines = append(lines, fmt.Sprintf("and %d more errors", len(es)-mostShown))
			break
		}
		lines = append(lines, e.Error())
	}
	return strings.Join(lines, "\n")
}

func (es Errors) sort() {
	slices.SortStableFunc(es, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
}
