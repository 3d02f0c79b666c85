package hands

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// The page needs nothing else: it loads nothing, runs no script, and may be mailed or attached. html/template takes what others
// wrote for text, wherever in the page it stands.
var (
	//go:embed page.html
	pageText string
	page     = template.Must(template.New("page").Funcs(template.FuncMap{"restarts": restarts, "dash": orDash}).Parse(pageText))
)

// WritePage writes the report of a Bake as one HTML page that needs nothing else.
func WritePage(w io.Writer, b *v1alpha1.Bake) error {
	if err := page.Execute(w, reportOf(b, apart)); err != nil {
		return fmt.Errorf("make a page of the report of %s/%s: %w", b.Namespace, b.Name, err)
	}
	return nil
}
