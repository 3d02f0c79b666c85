package flow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/cel-go/cel"
)

// Answer is what came back from an HTTP call.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte        // its first MaxBody bytes
	Cut    bool          // there was more of it
	Took   time.Duration // from opening the connection to the end of the body
}

// answer is an Answer while it is judged, with the values known so far. It is what expressions see.
type answer struct {
	Answer
	values  map[string]string
	text    *string
	headers map[string]string
	json    any
	tried   bool
	err     error
}

var _ cel.Activation = (*answer)(nil)

// ResolveName implements cel.Activation.
func (a *answer) ResolveName(name string) (any, bool) {
	switch name {
	case nameJSON:
		return a.json, a.tried && a.err == nil
	case nameStatus:
		return a.Status, true
	case nameBody:
		if a.text == nil {
			text := strings.ToValidUTF8(string(a.Body), "\uFFFD")
			a.text = &text
		}
		return *a.text, true
	case nameHeaders:
		if a.headers == nil {
			a.headers = make(map[string]string, len(a.Header))
			for name, values := range a.Header {
				a.headers[strings.ToLower(name)] = strings.ToValidUTF8(strings.Join(values, ", "), "\uFFFD")
			}
		}
		return a.headers, true
	}
	value, ok := a.values[name]
	return value, ok
}

// Parent implements cel.Activation.
func (a *answer) Parent() cel.Activation { return nil }

// decode reads the body as JSON, once.
func (a *answer) decode() error {
	if !a.tried {
		a.tried = true
		a.json, a.err = decodeJSON(a.Body)
		if a.err != nil {
			a.err = errNotJSON
			if a.Cut {
				a.err = fmt.Errorf("%w: it is larger than %d KiB, and not read to its end", errNotJSON, MaxBody>>10)
			}
		}
	}
	return a.err
}

// decodeJSON reads one JSON value. Whole numbers stay whole, so that an id comes out as it went in.
func decodeJSON(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("something follows the value")
	}
	return numbers(v), nil
}

// numbers replaces the numbers as they were written by numbers as expressions know them.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, _ := v.Float64() // beyond its range it is an infinity
		return f
	case map[string]any:
		for k, x := range v {
			v[k] = numbers(x)
		}
	case []any:
		for i, x := range v {
			v[i] = numbers(x)
		}
	}
	return v
}
