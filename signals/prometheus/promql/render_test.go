package promql

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestRender(t *testing.T) {
	vars := map[string]string{"namespace": "shop", "workload": "a.b", "kind": "Deployment", "quote": "o'x\"y`z\\", "empty": "", "line": "a\nb",
		"pods_candidate": "web-5d9f-.*", "window": "15s"}
	for _, c := range []struct{ name, query, want, err string }{
		{"plain", `up{namespace="$namespace",kind='$kind'}`, `up{namespace="shop",kind='Deployment'}`, ""},
		{"in braces", "up{job=\"${namespace}_x\"}", `up{job="shop_x"}`, ""},
		{"no variables", `up{code=~"5.."}`, `up{code=~"5.."}`, ""},
		{"a dot in a string", `up{a="$workload",b!="$workload"}`, `up{a="a.b",b!="a.b"}`, ""},
		{"a dot in a regex", `up{a=~"$workload-.*",b!~'$workload'}`, `up{a=~"a\\.b-.*",b!~'a\\.b'}`, ""},
		{"a dot in a raw regex", "up{a=~ `$workload`}", "up{a=~ `a\\.b`}", ""},
		{"after a regex comes a string", `up{a=~"x",b="$workload"}`, `up{a=~"x",b="a.b"}`, ""},
		{"quotes", `up{a="$quote",b='$quote'}`, "up{a=\"o'x\\\"y`z\\\\\",b='o\\'x\"y`z\\\\'}", ""},
		{"end of a regex", `up{a=~"^x$",b=~"a$|b"}`, `up{a=~"^x$",b=~"a$|b"}`, ""},
		{"dollars", `up{a="$$namespace $1"}`, `up{a="$namespace $1"}`, ""},
		{"escaped quote", `up{a="\"$namespace\\",b="$kind"}`, `up{a="\"shop\\",b="Deployment"}`, ""},
		{"comment", "up{a=\"$namespace\"} # isn't \"it\n", "up{a=\"shop\"} # isn't \"it\n", ""},
		{"a hash in a string", `up{a="#$namespace"}`, `up{a="#shop"}`, ""},
		{"pods", `up{pod=~"$pods_candidate"}`, `up{pod=~"web-5d9f-.*"}`, ""},
		{"pods are a pattern", `up{pod="$pods_candidate"}`, "", `write pod=~"$pods_candidate"`},
		{"window", `rate(up{a="$kind"}[$window])`, `rate(up{a="Deployment"}[15s])`, ""},
		{"window in quotes", `up{a="$window"}`, "", "outside of quotes"},
		{"backquote in backquotes", "up{a=`$quote`}", "", "backquotes"},
		{"unknown", `up{a="$nope"}`, "", "unknown variable $nope"},
		{"longer name", `up{a="$namespaces"}`, "", "unknown variable $namespaces"},
		{"outside", `up_$namespace`, "", "outside of a quoted label value"},
		{"empty", `up{a="$empty"}`, "", "value is empty"},
		{"control characters", `up{a="$line"}`, "", "no name has"},
		{"open quote", `up{a="x}`, "", "not closed"},
	} {
		got, err := Render(c.query, vars)
		switch {
		case c.err == "" && (err != nil || got != c.want):
			t.Errorf("%s: %s, %v, want %s", c.name, got, err, c.want)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: error %v, want %q", c.name, err, c.err)
		}
	}
	if _, err := Render(`up{a="$x"}`, map[string]string{"x": strings.Repeat("a", 507)}); err == nil {
		t.Error("a value longer than any name passed")
	}
}

// FuzzRender: whatever the value, between quotes it reads back as itself, and as a regular expression it matches itself.
func FuzzRender(f *testing.F) {
	f.Add("shop")
	f.Add(`a.b"} or up{x="`)
	f.Add("`'\\|$")
	f.Fuzz(func(t *testing.T, value string) {
		vars := map[string]string{"v": value}
		if got, err := Render(`"$v"`, vars); err == nil {
			if back, err := strconv.Unquote(got); err != nil || back != value {
				t.Errorf("%q reads back as %q (%v)", value, back, err)
			}
		}
		if got, err := Render(`=~"$v"`, vars); err == nil {
			pattern, err := strconv.Unquote(got[2:])
			if err != nil {
				t.Fatalf("%q cannot be read back: %v", got, err)
			}
			if !regexp.MustCompile("^(?:"+pattern+")$").MatchString(value) || pattern != regexp.QuoteMeta(value) {
				t.Errorf("%q became the pattern %q", value, pattern)
			}
		}
	})
}
