package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// MaxSize is the most bytes a configuration may have: what a ConfigMap can hold.
const MaxSize = 1 << 20

// Parse reads a bakewatch.yaml. It is strict: whatever it does not understand is an error, and the error is an Errors
// that names all that is wrong, by line. name is what the errors call the file.
func Parse(name string, data []byte) (*Config, error) {
	root, fail := document(data)
	if fail != nil {
		fail.File = name
		return nil, Errors{*fail}
	}
	c := Default()
	d := decoder{lines: map[string]int{"": root.Line}}
	d.decode(root, "", c)
	c.fill()

	errs := d.errs
	for _, v := range c.validate() {
		// What could not be read was reported already; its absence is not news.
		if !slices.ContainsFunc(d.errs, func(e Error) bool { return within(v.Path, e.Path) || within(e.Path, v.Path) }) {
			v.Line = d.line(v.Path)
			errs = append(errs, v)
		}
	}
	if len(errs) > 0 {
		for i := range errs {
			errs[i].File = name
		}
		errs.sort()
		return nil, errs
	}
	return c, nil
}

// fill sets what the file left out in places Default cannot foresee: signals by name, and receivers.
func (c *Config) fill() {
	if c.Signals == nil {
		c.Signals = map[string]SignalRule{}
	}
	for name, given := range c.Signals {
		c.Signals[name] = defaultRule(name).with(given)
	}
	for name := range presets { // those that are not named apply all the same
		if _, named := c.Signals[name]; !named {
			c.Signals[name] = defaultRule(name)
		}
	}
	for i := range c.Flows {
		c.Flows[i].fill()
	}
	if c.Sources.Datadog != nil {
		c.Sources.Datadog.fill()
	}
	if c.Git != nil {
		c.Git.fill()
	}
	if c.Sources.Loki != nil {
		c.Sources.Loki.fill()
	}
	a := &c.Announce
	if a.Grafana != nil {
		a.Grafana.fill()
	}
	if a.Alertmanager != nil {
		a.Alertmanager.fill()
	}
	a.fill()
	for _, one := range a.Receivers {
		one.fill()
	}
}

func (h *HTTP) fill() {
	if h.Timeout == 0 { // cannot be written: durations are above 0
		h.Timeout = defaultTimeout
	}
}

// document returns the root of the one YAML document in data.
func document(data []byte) (*yaml.Node, *Error) {
	if len(data) > MaxSize {
		return nil, &Error{Line: 1, Message: fmt.Sprintf("is %d bytes; at most %d are read", len(data), MaxSize)}
	}
	if at, bad := unreadable(data); bad {
		return nil, &Error{Line: lineAt(data, at), Message: "holds a byte that is not text; save the file as UTF-8"}
	}
	docs, err := load(data)
	switch {
	case err != nil:
		return nil, syntaxError(data, err)
	case len(docs) > 1:
		return nil, &Error{Line: docs[1].Line, Message: "only one YAML document is read; remove what follows the ---"}
	case len(docs) == 0 || docs[0].Content[0].Tag == "!!null" && docs[0].Content[0].Anchor == "":
		return nil, &Error{Line: 1, Message: "is empty; it needs at least sources.prometheus.url, the address of Prometheus"}
	}
	return docs[0].Content[0], nil
}

// load parses data into its first two documents.
func load(data []byte) (docs []*yaml.Node, err error) {
	// A bad edit must never stop the guard, so a parser that panics on it counts as one that refuses it.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: cannot be parsed: %v", r)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for len(docs) < 2 {
		var doc yaml.Node
		if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
			return docs, nil
		} else if err != nil {
			return nil, err
		}
		docs = append(docs, &doc)
	}
	return docs, nil
}

var yamlPrefix = regexp.MustCompile(`^yaml: (line [0-9]+: )?`)

// syntaxError puts a YAML error in our form. The library names the line where the enclosing block began, or none at
// all. The line where it stopped is the first one with which the text fails the same way, however it goes on.
func syntaxError(data []byte, err error) *Error {
	var ends []int // of each line
	for i, b := range data {
		if b == '\n' {
			ends = append(ends, i+1)
		}
	}
	if len(data) == 0 || data[len(data)-1] != '\n' {
		ends = append(ends, len(data))
	}
	line := 1 + sort.Search(len(ends)-1, func(i int) bool {
		_, e := load(data[:ends[i]])
		return e != nil && e.Error() == err.Error()
	})
	msg := "is not valid YAML: " + yamlPrefix.ReplaceAllString(err.Error(), "")
	if text := bytes.Split(data, []byte("\n"))[line-1]; bytes.Contains(text[:len(text)-len(bytes.TrimLeft(text, " \t"))], []byte("\t")) {
		msg = "is not valid YAML: the line is indented with a tab; use spaces"
	}
	return &Error{Line: line, Message: msg}
}

// unreadable finds the first byte that YAML does not allow: what is not UTF-8, and control characters.
func unreadable(data []byte) (at int, found bool) {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 || r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f {
			return i, true
		}
		i += n
	}
	return 0, false
}

func lineAt(data []byte, at int) int { return 1 + bytes.Count(data[:at], []byte("\n")) }

// within reports whether path is parent or something below it.
func within(path, parent string) bool {
	rest, ok := strings.CutPrefix(path, parent)
	return ok && (parent == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}
