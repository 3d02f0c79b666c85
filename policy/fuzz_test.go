package policy

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

var lineBreak = regexp.MustCompile(`\r\n|[\n\r\x{85}\x{2028}\x{2029}]`)

// FuzzParse: whatever is in the file, Parse gives a Config that is valid and resolves, or Errors with lines.
func FuzzParse(f *testing.F) {
	for _, dir := range []string{"good", "bad"} {
		for _, data := range files(f, dir) {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f", data)
		if err != nil {
			var es Errors
			if c != nil || !errors.As(err, &es) || len(es) == 0 {
				t.Fatalf("%v with %#v", c, err)
			}
			// YAML ends lines in more ways than most editors do.
			lines := 1 + len(lineBreak.FindAll(data, -1))
			for _, e := range es {
				if e.File != "f" || e.Line < 1 || e.Line > lines || e.Message == "" || strings.ContainsAny(e.Error(), "\n\r") {
					t.Fatalf("%#v", e)
				}
			}
			return
		}
		if errs := c.validate(); len(errs) > 0 {
			t.Fatalf("accepted, though %v", errs)
		}
		r, _ := c.For(api)
		if r.Window < 2*r.Interval || r.Verify < 2*r.Interval || r.Interval < minInterval {
			t.Fatalf("%+v", r)
		}
		if again, err := Parse("f", data); err != nil || again.Hash() != c.Hash() {
			t.Fatalf("parsing again gives %v, %v", again, err)
		}
	})
}
