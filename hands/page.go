package hands

import (
	"bytes"
	"fmt"
	"html"
	"io"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// style is all that the page needs: it loads nothing, and may be mailed or attached.
const style = `
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid color-mix(in srgb, currentColor 25%, transparent); padding-bottom: .2rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid color-mix(in srgb, currentColor 15%, transparent); }
pre { overflow-x: auto; padding: .75rem; background: color-mix(in srgb, currentColor 8%, transparent); border-radius: .4rem; }
code { font-size: .9em; }
li:has(> input[type=checkbox]) { list-style: none; margin-left: -1.2rem; }
`

// markdown has no raw HTML: what others wrote stays text.
var markdown = goldmark.New(goldmark.WithExtensions(extension.Table, extension.TaskList))

// WritePage writes the report of a Bake as one HTML page that needs nothing else.
func WritePage(w io.Writer, b *v1alpha1.Bake) error {
	var text, body bytes.Buffer
	if err := WriteReport(&text, b); err != nil {
		return err
	}
	if err := markdown.Convert(text.Bytes(), &body); err != nil {
		return fmt.Errorf("make a page of the report of %s/%s: %w", b.Namespace, b.Name, err)
	}
	title := html.EscapeString(fmt.Sprintf("%s in %s: %s", b.Spec.Ref, b.Namespace, headline(b)))
	_, err := fmt.Fprintf(w, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>%s</title>\n<style>%s</style>\n</head>\n<body>\n%s</body>\n</html>\n", title, style, &body)
	return err
}
