package flow

import (
	"bytes"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

const (
	// maxExcerpt is how much of a body is shown, in runes; maxBounded how much of other text of others.
	maxExcerpt = 160
	maxBounded = 200
	// looked is how much of a body is looked at for an excerpt, in bytes.
	looked = 8 << 10
	// shortest is the length from which a captured value is hidden. A shorter one is no secret, and hiding each 1 or "ok"
	// would leave nothing to read.
	shortest = 8
	hidden   = "***"
)

var (
	markup = regexp.MustCompile(`(?is)<script\b.*?(?:</script>|\z)|<style\b.*?(?:</style>|\z)|<!--.*?(?:-->|\z)|<[a-z/!?][^>]*(?:>|\z)`)

	// telling are texts that look like secrets, whoever wrote them.
	telling = []struct {
		pattern *regexp.Regexp
		with    string
	}{
		{regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{6,}`), "$1 " + hidden},
		{regexp.MustCompile(`\beyJ[A-Za-z0-9_=-]{5,}(\.[A-Za-z0-9_=-]*){0,2}`), hidden}, // JSON web tokens
		{regexp.MustCompile(`(?i)([a-z0-9_.-]*(?:passw(?:or)?d|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|session(?:[_-]?id)?|cookie|authorization|signature)[a-z0-9_-]*\\*["']?\s*[:=]\s*)(\\*"[^"]*"?|\\*'[^']*'?|[^\s,;&<>"')}]+)`), "${1}" + hidden},
		{regexp.MustCompile(`[A-Za-z0-9+/_=-]{32,}`), hidden},
		{regexp.MustCompile(`(?i)\b([a-z][a-z0-9+.-]{1,20}://)[^\s/@:]+:[^\s/@]+@`), "${1}" + hidden + "@"},
	}
)

// Redactor hides what must not be shown.
type Redactor struct {
	replacer *strings.Replacer
	known    []string // longest first
}

// NewRedactor hides secrets wherever they stand, and captured values that are long enough to be some. It knows them as they
// are and as they are commonly escaped.
func NewRedactor(secrets, captured []string) *Redactor {
	var known []string
	add := func(value string) {
		quoted, _ := json.Marshal(value)
		for _, form := range []string{value, url.QueryEscape(value), url.PathEscape(value), html.EscapeString(value), string(quoted[1 : len(quoted)-1])} {
			if form != "" && !slices.Contains(known, form) {
				known = append(known, form)
			}
		}
	}
	for _, s := range secrets {
		add(s)
		for line := range strings.Lines(s) { // an answer may repeat a part of it
			if line = strings.TrimSpace(line); len(line) >= shortest {
				add(line)
			}
		}
	}
	for _, s := range captured {
		if len(s) >= shortest {
			add(s)
		}
	}
	slices.SortFunc(known, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(known))
	for _, k := range known {
		pairs = append(pairs, k, hidden)
	}
	return &Redactor{replacer: strings.NewReplacer(pairs...), known: known}
}

// Redact hides what the Redactor knows, and what looks like a secret.
func (r *Redactor) Redact(text string) string {
	text = r.replacer.Replace(text)
	for _, t := range telling {
		text = t.pattern.ReplaceAllString(text, t.with)
	}
	return text
}

// Miss is a Miss that may be shown.
func (r *Redactor) Miss(m Miss) Miss {
	return Miss{Expected: cut(oneLine(m.Expected), 240), Got: cut(oneLine(r.Redact(m.Got)), 240+maxExcerpt)}
}

// excerpt is the beginning of a body as one line of text; of a page, what it says.
func excerpt(body []byte, contentType string) string {
	body = body[:min(len(body), looked)]
	if strings.Contains(strings.ToLower(contentType), "html") || bytes.HasPrefix(bytes.ToLower(bytes.TrimSpace(body)), []byte("<!doctype html")) {
		if text := markup.ReplaceAll(body, []byte(" ")); len(bytes.TrimSpace(text)) > 0 {
			return oneLine(html.UnescapeString(string(text)))
		}
	}
	return oneLine(string(body))
}

// bounded makes text of others fit to quote.
func bounded(text string) string { return cut(oneLine(text), maxBounded) }

// Excerpt is the beginning of a text of others, as one line of most runes.
func Excerpt(text string, most int) string { return cut(oneLine(text), most) }

// oneLine is text without breaks and without what cannot be printed.
func oneLine(text string) string {
	var out strings.Builder
	space := false
	for _, r := range text {
		switch {
		case unicode.IsSpace(r):
			space = out.Len() > 0
			continue
		case !unicode.IsPrint(r) || r == unicode.ReplacementChar:
			r = '?'
		}
		if space {
			out.WriteByte(' ')
			space = false
		}
		out.WriteRune(r)
	}
	return out.String()
}
