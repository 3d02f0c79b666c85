package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/bakewatch/bakewatch/signals"
)

// latest is the largest t: the end of the year 9999. What is beyond is not in seconds.
const latest = 253402300799

// parse reads one line. It is strict: an error names the key.
func parse(raw []byte) (Line, error) {
	var whole json.RawMessage
	if err := json.Unmarshal(raw, &whole); err != nil {
		return Line{}, fmt.Errorf("is not valid JSON: %w", err)
	}
	l := Line{T: math.NaN()}
	err := object(whole, "", keys{
		"t":         func(v json.RawMessage, at string) (err error) { l.T, err = epoch(v, at); return err },
		"namespace": func(v json.RawMessage, at string) error { return text(v, at, &l.Namespace) },
		"kind":      func(v json.RawMessage, at string) error { return text(v, at, &l.Kind) },
		"name":      func(v json.RawMessage, at string) error { return text(v, at, &l.Name) },
		"to":        func(v json.RawMessage, at string) error { return text(v, at, &l.To) },
		"from": func(v json.RawMessage, at string) error {
			l.From = new(string)
			return text(v, at, l.From)
		},
		"signals": func(v json.RawMessage, at string) (err error) { l.Signals, err = parseSignals(v, at); return err },
	})
	switch {
	case err != nil:
		return Line{}, err
	case math.IsNaN(l.T):
		return Line{}, errors.New("t: is missing; write the end of the tick in seconds since the epoch")
	case l.Signals == nil:
		return Line{}, errors.New("signals: is missing")
	}
	return l, nil
}

// keys are the keys an object may have, and what reads the value of each.
type keys map[string]func(v json.RawMessage, at string) error

// object reads an object whose keys are known.
func object(raw json.RawMessage, path string, known keys) error {
	return members(raw, path, func(key string, v json.RawMessage, at string) error {
		read, ok := known[key]
		if !ok {
			return fmt.Errorf("%s: unknown key (known: %s)", at, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		return read(v, at)
	})
}

// members calls each for every key of an object, in order.
func members(raw json.RawMessage, path string, each func(key string, v json.RawMessage, at string) error) error {
	if !opens(raw, '{') {
		return misfit(path, "must be an object, not %s", shown(raw))
	}
	seen := map[string]bool{}
	d := json.NewDecoder(bytes.NewReader(raw))
	if _, err := d.Token(); err != nil {
		return misfit(path, "cannot be read: %v", err)
	}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return misfit(path, "cannot be read: %v", err)
		}
		key, _ := token.(string) // the keys of valid JSON are strings
		at := join(path, key)
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return misfit(at, "cannot be read: %v", err)
		}
		if seen[key] {
			return misfit(at, "is there twice; remove one")
		}
		seen[key] = true
		if err := each(key, v, at); err != nil {
			return err
		}
	}
	return nil
}

// list reads each item of a list.
func list(raw json.RawMessage, path string, each func(v json.RawMessage, at string) error) error {
	if !opens(raw, '[') {
		return misfit(path, "must be a list, not %s", shown(raw))
	}
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return misfit(path, "cannot be read: %v", err)
	}
	for i, v := range items {
		if err := each(v, path+"["+strconv.Itoa(i)+"]"); err != nil {
			return err
		}
	}
	return nil
}

func parseSignals(raw json.RawMessage, path string) (map[string]Signal, error) {
	out := map[string]Signal{}
	err := members(raw, path, func(name string, v json.RawMessage, at string) error {
		s := Signal{Candidate: signals.Side{Missing: signals.NoSeries}, Baseline: signals.Side{Missing: signals.NoSeries}}
		if null(v) {
			out[name] = s
			return nil
		}
		err := object(v, at, keys{
			"candidate": func(v json.RawMessage, at string) error { return parseSide(v, at, &s.Candidate, nil) },
			"baseline":  func(v json.RawMessage, at string) error { return parseSide(v, at, &s.Baseline, nil) },
			"history": func(v json.RawMessage, at string) error {
				s.History = &History{}
				return parseSide(v, at, &s.History.Side, &s.History.Blocks)
			},
			"query": func(v json.RawMessage, at string) error {
				s.Query = &signals.Query{}
				return parseQuery(v, at, s.Query)
			},
			"lead":       func(v json.RawMessage, at string) (err error) { s.Lead, err = share(v, at); return err },
			"days":       func(v json.RawMessage, at string) (err error) { s.Days, err = parseSides(v, at); return err },
			"neighbours": func(v json.RawMessage, at string) (err error) { s.Neighbours, err = parseNeighbours(v, at); return err },
		})
		out[name] = s
		return err
	})
	return out, err
}

// parseQuery reads how a signal was measured. What it asks makes no difference here; what it counts is in the sentences.
func parseQuery(raw json.RawMessage, path string, into *signals.Query) error {
	word := func(to *string) func(json.RawMessage, string) error {
		return func(v json.RawMessage, at string) error { return text(v, at, to) }
	}
	return object(raw, path, keys{
		"source": word(&into.Source), "preset": word(&into.Preset), "by": word((*string)(&into.By)),
		"errors": word(&into.Errors), "good": word(&into.Good), "requests": word(&into.Requests), "histogram": word(&into.Histogram),
		"over":   func(v json.RawMessage, at string) (err error) { into.Over, err = number(v, at); return err },
		"milli":  func(v json.RawMessage, at string) error { into.Milli = string(v) == "true"; return nil },
		"events": word(&into.Events), "value": word(&into.Value), "baselineValue": word(&into.BaselineValue),
		"flow": word(&into.Flow),
	})
}

// missing are the ways in which a side may be missing.
var missing = []signals.Missing{signals.NoSeries, signals.Late, signals.NotNumber, signals.Failed}

// parseSide reads a side; blocks, where the side may have them, are read too. What is null is missing, never zero.
func parseSide(raw json.RawMessage, path string, into *signals.Side, blocks *[]signals.Side) error {
	*into = signals.Side{Missing: signals.NoSeries}
	if null(raw) {
		return nil
	}
	var s signals.Side
	var requests, errs, value count
	var pods bool
	known := keys{
		"value":    func(v json.RawMessage, at string) error { return value.read(v, at) },
		"requests": func(v json.RawMessage, at string) error { return requests.read(v, at) },
		"errors":   func(v json.RawMessage, at string) error { return errs.read(v, at) },
		"detail":   func(v json.RawMessage, at string) error { return text(v, at, &s.Detail) },
		"missing": func(v json.RawMessage, at string) error {
			var why string
			if err := text(v, at, &why); err != nil {
				return err
			}
			if s.Missing = signals.Missing(why); !slices.Contains(missing, s.Missing) {
				return misfit(at, "must be one of %v, not %q", missing, clip(why))
			}
			return nil
		},
		"pods": func(v json.RawMessage, at string) (err error) {
			if null(v) {
				return nil
			}
			pods = true
			s.Pods, err = parsePods(v, at)
			return err
		},
	}
	if blocks != nil {
		known["blocks"] = func(v json.RawMessage, at string) (err error) { *blocks, err = parseSides(v, at); return err }
	}
	if err := object(raw, path, known); err != nil {
		return err
	}
	var sum signals.Counts
	for _, pod := range slices.Sorted(maps.Keys(s.Pods)) { // in order, so that the sum is the same each time
		sum = sum.Add(s.Pods[pod])
	}
	if pods && len(s.Pods) > 0 {
		requests.orElse(sum.Requests)
		errs.orElse(sum.Errors)
	}
	s.Requests, s.Errors, s.Value = requests.value, errs.value, value.value
	if s.Missing == signals.Present && !value.known && (!requests.known || !errs.known) {
		s = signals.Side{Missing: signals.NoSeries, Detail: s.Detail}
		if requests.given || errs.given {
			s.Missing = signals.NotNumber
		}
	}
	*into = s
	return nil
}

func parseSides(raw json.RawMessage, path string) ([]signals.Side, error) {
	sides := []signals.Side{}
	if null(raw) {
		return sides, nil
	}
	err := list(raw, path, func(v json.RawMessage, at string) error {
		var s signals.Side
		err := parseSide(v, at, &s, nil)
		sides = append(sides, s)
		return err
	})
	return sides, err
}

// parsePods reads counts by pod. A pod whose counts are missing is left out.
func parsePods(raw json.RawMessage, path string) (map[string]signals.Counts, error) {
	pods := map[string]signals.Counts{}
	err := members(raw, path, func(pod string, v json.RawMessage, at string) error {
		c, ok, err := parseCounts(v, at)
		if ok {
			pods[pod] = c
		}
		return err
	})
	return pods, err
}

// parseCounts reads counts; ok is false where they are missing.
func parseCounts(raw json.RawMessage, path string) (c signals.Counts, ok bool, err error) {
	if null(raw) {
		return c, false, nil
	}
	var requests, errs count
	err = object(raw, path, keys{"requests": requests.read, "errors": errs.read})
	return signals.Counts{Requests: requests.value, Errors: errs.value}, requests.known && errs.known, err
}

// parseNeighbours reads neighbours. One whose counts are missing says nothing, and is left out.
func parseNeighbours(raw json.RawMessage, path string) ([]Neighbour, error) {
	out := []Neighbour{}
	if null(raw) {
		return out, nil
	}
	err := list(raw, path, func(v json.RawMessage, at string) error {
		var n Neighbour
		var before, after bool
		err := object(v, at, keys{
			"name":   func(v json.RawMessage, at string) error { return text(v, at, &n.Name) },
			"before": func(v json.RawMessage, at string) (err error) { n.Before, before, err = parseCounts(v, at); return err },
			"after":  func(v json.RawMessage, at string) (err error) { n.After, after, err = parseCounts(v, at); return err },
		})
		if before && after {
			out = append(out, n)
		}
		return err
	})
	return out, err
}

// count is a number of requests that may not be there.
type count struct {
	value        float64
	given, known bool // given: the key is there; known: with a number
}

func (c *count) read(raw json.RawMessage, path string) (err error) {
	c.given = true
	if null(raw) {
		return nil
	}
	c.known = true
	if c.value, err = number(raw, path); err == nil && c.value < 0 {
		return misfit(path, "must be 0 or more, not %s", shown(raw))
	}
	return err
}

// orElse sets a count that is not given.
func (c *count) orElse(v float64) {
	if !c.given {
		c.value, c.known = v, true
	}
}

// number reads a number. One that is too large for a float is infinite: the judge believes neither.
func number(raw json.RawMessage, path string) (float64, error) {
	if c := raw[0]; c != '-' && (c < '0' || c > '9') {
		return 0, misfit(path, "must be a number, not %s", shown(raw))
	}
	v, err := strconv.ParseFloat(string(raw), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, misfit(path, "must be a number, not %s", shown(raw))
	}
	return v, nil
}

// share reads a number from 0 to 1.
func share(raw json.RawMessage, path string) (float64, error) {
	v, err := number(raw, path)
	if err == nil && !(v >= 0 && v <= 1) {
		err = misfit(path, "must be from 0 to 1, not %s", shown(raw))
	}
	return v, err
}

func epoch(raw json.RawMessage, path string) (float64, error) {
	t, err := number(raw, path)
	if err == nil && !(t >= 0 && t <= latest) {
		err = misfit(path, "must be seconds since the epoch, not %s", shown(raw))
	}
	return t, err
}

func text(raw json.RawMessage, path string, into *string) error {
	if raw[0] != '"' {
		return misfit(path, "must be text, not %s", shown(raw))
	}
	return json.Unmarshal(raw, into)
}

func null(raw json.RawMessage) bool { return string(raw) == "null" }

func opens(raw json.RawMessage, with byte) bool { return len(raw) > 0 && raw[0] == with }

// misfit says what is wrong with what stands at a path; the path of a whole line is empty.
func misfit(path, format string, args ...any) error {
	if path != "" {
		path += ": "
	}
	return errors.New(path + fmt.Sprintf(format, args...))
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_-]{1,253}$`)

// join is the path of key below path. A key that would break the path or the line is quoted.
func join(path, key string) string {
	if !plain.MatchString(key) {
		key = strconv.Quote(clip(key))
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// shown is a value as a message shows it.
func shown(raw json.RawMessage) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	}
	return clip(string(raw))
}

func clip(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
