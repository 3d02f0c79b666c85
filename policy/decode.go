package policy

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// decoder fills plain structs from YAML nodes, reports whatever does not fit, and remembers where each key stood.
type decoder struct {
	lines map[string]int // by path
	errs  Errors
}

func (d *decoder) errorf(line int, path, format string, args ...any) {
	d.errs = append(d.errs, Error{Line: line, Path: path, Message: fmt.Sprintf(format, args...)})
}

// misfit reports the value at path, where its key stands: a value that is missing or spans lines stands elsewhere.
func (d *decoder) misfit(path, format string, args ...any) {
	d.errorf(d.line(path), path, format, args...)
}

// line is where path stands, or the nearest thing around it.
func (d *decoder) line(path string) int {
	for {
		if l, ok := d.lines[path]; ok {
			return l
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
}

func (d *decoder) decode(n *yaml.Node, path string, into any) {
	d.value(n, path, reflect.ValueOf(into).Elem())
}

// value fills v from n. Where n does not fit, v keeps what it had.
func (d *decoder) value(n *yaml.Node, path string, v reflect.Value) {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		d.misfit(path, "YAML anchors and aliases are not read; write the value out")
		return
	case n.Style&yaml.TaggedStyle != 0:
		d.misfit(path, "YAML tags such as %s are not read; remove it", quote(n.Tag))
		return
	case n.Tag == "!!null":
		d.misfit(path, "has no value; write one, or remove the key")
		return
	}
	if v.Kind() == reflect.Pointer {
		elem := reflect.New(v.Type().Elem())
		d.value(n, path, elem.Elem())
		v.Set(elem)
		return
	}
	if want, ok := scalar(v); ok {
		if n.Kind != yaml.ScalarNode {
			d.misfit(path, "must be %s, not %s", want, kind(n))
		} else if err := setScalar(v, n.Value, n.Tag); err != nil {
			d.misfit(path, "%v", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, path, v)
	case reflect.Map:
		if n.Kind != yaml.MappingNode {
			d.misfit(path, "must be a map, not %s", kind(n))
			return
		}
		m := reflect.MakeMap(v.Type())
		d.entries(n, path, func(key string, _, val *yaml.Node) {
			elem := reflect.New(v.Type().Elem()).Elem()
			d.value(val, join(path, key), elem)
			m.SetMapIndex(reflect.ValueOf(key), elem)
		})
		v.Set(m)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.misfit(path, "must be a list, not %s", kind(n))
			return
		}
		s := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, item := range n.Content {
			at := fmt.Sprintf("%s[%d]", path, i)
			d.lines[at] = item.Line
			d.value(item, at, s.Index(i))
		}
		v.Set(s)
	default:
		panic("policy: no way to decode " + v.Type().String())
	}
}

func (d *decoder) structure(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.misfit(path, "must be a map with %s, not %s", strings.Join(keys(v.Type()), ", "), kind(n))
		return
	}
	fields := fields(v.Type())
	d.entries(n, path, func(key string, k, val *yaml.Node) {
		if index, ok := fields[key]; ok {
			d.value(val, join(path, key), v.FieldByIndex(index))
			return
		}
		known := keys(v.Type())
		switch near := nearest(key, known); {
		case near != "":
			d.errorf(k.Line, join(path, key), "unknown key; did you mean %q? (known: %s)", near, strings.Join(known, ", "))
		default:
			d.errorf(k.Line, join(path, key), "unknown key (known: %s)", strings.Join(known, ", "))
		}
	})
}

// entries calls f for each key of a mapping, once.
func (d *decoder) entries(n *yaml.Node, path string, f func(key string, k, v *yaml.Node)) {
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode || k.Anchor != "" || k.Style&yaml.TaggedStyle != 0 {
			d.errorf(k.Line, path, "a key must be plain text, not %s", kind(k))
			continue
		}
		at := join(path, k.Value)
		if line, ok := first[k.Value]; ok {
			d.errorf(k.Line, at, "is there twice, first in line %d; remove one", line)
			continue
		}
		first[k.Value] = k.Line
		d.lines[at] = k.Line
		f(k.Value, k, v)
	}
}

// scalar reports whether v is written as one scalar, and what to call it.
func scalar(v reflect.Value) (want string, ok bool) {
	switch v.Addr().Interface().(type) {
	case *Share:
		return "a share such as 5% or 0.05", true
	case *Ratio:
		return "a ratio such as 2x or 1.5", true
	case *time.Duration, *Span:
		return "a duration above 0 such as 30s, 15m or 1d", true
	case *Limit:
		return "a duration above 0 such as 30s, 15m or 1d, or off", true
	case *Portion:
		return "a share above 0% and below 100% such as 20%, or off", true
	case *Replicas:
		return "a whole number from 1 to 1000, or off", true
	case encoding.TextUnmarshaler:
		return "a single value", true
	}
	switch v.Kind() {
	case reflect.String:
		return "text", true
	case reflect.Bool:
		return "true or false", true
	case reflect.Int:
		return "a whole number", true
	}
	return "", false
}

// setScalar sets v from text; tag is what YAML took the text for.
func setScalar(v reflect.Value, text, tag string) error {
	switch p := v.Addr().Interface().(type) {
	case encoding.TextUnmarshaler:
		return p.UnmarshalText([]byte(text))
	case *time.Duration:
		t, err := parseDuration(text)
		if err == nil {
			*p = t
		}
		return err
	}
	switch v.Kind() {
	case reflect.String:
		if tag != "!!str" {
			return fmt.Errorf("must be text; put it in quotes") // the value stays out: it may be a secret in the wrong place
		}
		if text == "" {
			return fmt.Errorf("must not be empty; write a value, or remove the key")
		}
		v.SetString(text)
	case reflect.Bool:
		if tag != "!!bool" {
			return fmt.Errorf("must be true or false, without quotes, not %s", quote(text))
		}
		v.SetBool(strings.EqualFold(text, "true"))
	case reflect.Int:
		i, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("must be a whole number, not %s", quote(text))
		}
		v.SetInt(int64(i))
	}
	return nil
}

// fields maps the keys of a struct type to its fields; embedded structs lend theirs.
func fields(t reflect.Type) map[string][]int {
	m := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		if !f.Anonymous {
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			m[key] = f.Index
		}
	}
	return m
}

// keys are the keys of a struct type in the order it declares them.
func keys(t reflect.Type) []string {
	var ks []string
	for _, f := range reflect.VisibleFields(t) {
		if !f.Anonymous {
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			ks = append(ks, key)
		}
	}
	return ks
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// join is the path of key below path. A key that would break the path or the line is quoted.
func join(path, key string) string {
	if !plainKey.MatchString(key) {
		key = quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	return "a single value"
}

// nearest is the known key that was probably meant, or empty.
func nearest(key string, known []string) string {
	best, least := "", 3
	if len(key) < 6 {
		least = 2
	}
	for _, k := range known {
		if d := distance(strings.ToLower(key), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	if best == "" && len(key) > 2 {
		if i := slices.IndexFunc(known, func(k string) bool { return strings.HasPrefix(k, key) }); i >= 0 {
			best = known[i]
		}
	}
	return best
}

// distance is how many letters to change, add, drop or swap with the next to make a into b, at most 9.
func distance(a, b string) int {
	if len(a) > 40 || len(b) > 40 {
		return 9
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			rows[i][j] = min(change, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
