// Package upstream is what all sources have in common when they ask a server: why an answer may fail and how that is said, when a
// server is left alone, how much of an answer is read, and the metrics of how it went.
package upstream

import (
	"fmt"
	"strings"
	"unicode"
)

// Class sorts a query's failure by who can do something about it. It is the value of the metric label "result".
type Class string

// The classes.
const (
	Unavailable  Class = "unavailable"   // the source did not answer, or not in full: look at the source, or the way to it
	Rejected     Class = "rejected"      // the source will not run this query: look at the query
	TooExpensive Class = "too_expensive" // the query asks for more than the source or we can carry: narrow it
)

// Failure is why a query gave no answer that may be believed. Its text is one clause for people.
type Failure struct {
	Class  Class
	Status int // of HTTP, where it is known; 0: none was received
	Text   string
	Cause  error
}

func (e *Failure) Error() string { return e.Text }

// Unwrap is the cause.
func (e *Failure) Unwrap() error { return e.Cause }

// Failed is a Failure with a text as fmt.Sprintf makes it.
func Failed(c Class, cause error, format string, args ...any) *Failure {
	return &Failure{Class: c, Text: fmt.Sprintf(format, args...), Cause: cause}
}

// class is that of a failure; empty: there is none.
func (e *Failure) class() Class {
	if e == nil {
		return ""
	}
	return e.Class
}

// boundedRunes is how much of foreign text is quoted.
const boundedRunes = 200

// Bounded makes foreign text fit to quote: one line, printable, not long.
func Bounded(text string) string {
	const enough = 4 * boundedRunes // bytes that are looked at
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text[:min(len(text), enough)], "?")), " ")
	out := make([]rune, 0, boundedRunes)
	for _, r := range text {
		if len(out) == boundedRunes {
			return string(out) + "…"
		}
		if !unicode.IsPrint(r) {
			r = '?'
		}
		out = append(out, r)
	}
	return string(out)
}
