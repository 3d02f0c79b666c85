package logs

import (
	"encoding/json"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/bakewatch/bakewatch/signals/probe/flow"
)

// Failure is one error that a program reported, however many lines it took for that.
type Failure struct {
	At        time.Time
	Signature string // what it said, without what differs from one time to the next, and without secrets
}

const (
	maxLine      = 16 << 10 // of a line that is looked at
	maxSignature = 120      // runes
	headTokens   = 8        // a level stands among the first words of a line
	maxFolded    = 400      // lines of one stack
	// foldWithin is how soon a line follows that goes on with a failure: stacks are written at once. So it does not matter much where
	// reading begins.
	foldWithin = 500 * time.Millisecond
)

// Folder makes failures out of the lines of one container, in order. Tracebacks of Python, stacks of Java, Node and .NET and
// panics of Go are folded into the failure that they belong to.
type Folder struct {
	// Found is called for each failure.
	Found func(Failure)

	in     stack
	at     time.Time
	last   time.Time // when its newest line was written
	title  string    // of the failure that is being read; empty: it is not known yet
	folded int       // lines that went on with it
	// chained says that another traceback of Python goes on with it.
	chained bool
	// named is the signature of the title before, called: a storm says the same thousands of times.
	called, named string
}

// stack is what kind of stack is being read, and so which lines go on with it.
type stack int

const (
	none    stack = iota
	report        // a line of level error: indented lines and causes go on with it
	python        // from Traceback on, up to the line that names the exception
	goPanic       // up to the end, or the next line that a logger wrote
)

// tracebacks is how each of Python's begins.
const tracebacks = "Traceback (most recent call last)"

var (
	chains       = regexp.MustCompile(`^(During handling of the above|The above exception was)`)
	pythonError  = regexp.MustCompile(`^([A-Za-z_][\w.]{0,100}(Error|Exception|Warning|Exit|Interrupt|DoesNotExist|NotFound|Timeout|Refused|Denied|Invalid\w*|Failed))(:|$)`)
	thrown       = regexp.MustCompile(`^(Exception in thread "|Uncaught |Unhandled |([A-Za-z_$][\w$]{0,60}\.){1,12}[A-Za-z_$][\w$]{0,80}(Exception|Error)(:|$)|[A-Z]\w{0,60}(Error|Exception)(:| \[)|Fatal error: |PHP Fatal error)`)
	goesOn       = regexp.MustCompile(`^(\s|Caused by:|\.\.\. \d+ more|During handling of the above|The above exception was|goroutine \d+ |created by |exit status \d|--> | --- )`)
	leveled      = regexp.MustCompile(`^[EF]\d{4} \d{2}:\d{2}:`) // klog
	levelPair    = regexp.MustCompile(`(?i)(?:^|[\s,{])"?(?:level|lvl|severity|levelname|log\.level|@level|loglevel)"?\s{0,2}[=:]\s{0,2}"?([a-z]{1,12}|\d{2})\b`)
	bracketLevel = regexp.MustCompile(`(?i)[\[<|(]\s{0,4}(error|err|fatal|critical|crit|panic|severe|alert|emerg|emergency|warn|warning|info|debug|trace|notice)\s{0,4}[\]>|):]`)
)

// bad are the names of levels from which on a line is an error; those of Bunyan and Pino are numbers.
var bad = map[string]bool{
	"error": true, "err": true, "eror": true, "fatal": true, "critical": true, "crit": true, "panic": true, "dpanic": true, "severe": true,
	"alert": true, "emerg": true, "emergency": true, "50": true, "60": true,
}

var fine = map[string]bool{
	"warn": true, "warning": true, "info": true, "information": true, "debug": true, "trace": true, "notice": true, "verbose": true, "fine": true, "config": true,
	"10": true, "20": true, "30": true, "40": true,
}

// Add takes the next line.
func (f *Folder) Add(at time.Time, text string) {
	text = strings.TrimRight(text[:min(len(text), maxLine)], " \t\r\n")
	if f.in != none && f.folded < maxFolded && at.Sub(f.last) <= foldWithin && f.follows(text) {
		f.folded, f.last = f.folded+1, at
		return
	}
	f.Flush()
	switch plain := strings.TrimSpace(text); {
	case plain == "":
	case strings.HasPrefix(plain, tracebacks):
		f.begin(python, at, "")
	case strings.HasPrefix(plain, "panic: "), strings.HasPrefix(plain, "fatal error: "):
		f.begin(goPanic, at, plain)
	case isError(text):
		f.begin(report, at, message(plain))
	}
}

// follows takes a line that goes on with what is being read.
func (f *Folder) follows(text string) bool {
	plain := strings.TrimSpace(text)
	switch f.in {
	case python:
		switch {
		case plain == "", goesOn.MatchString(text):
			f.chained = f.chained || chains.MatchString(plain)
			return true
		case f.title == "":
			f.title = plain // the exception, which stands at the end
			return true
		case f.chained && strings.HasPrefix(plain, tracebacks):
			f.title, f.chained = "", false // the last exception is what was reported
			return true
		}
		return false
	case goPanic:
		_, said := level(text)
		return !said
	case report:
		// The logger's own words name the failure, whatever stack comes after them.
		return strings.HasPrefix(plain, tracebacks) || goesOn.MatchString(text) ||
			f.folded > 0 && (plain == "" || pythonError.MatchString(plain))
	case none:
	}
	return false
}

func (f *Folder) begin(in stack, at time.Time, title string) {
	f.in, f.at, f.last, f.title, f.folded, f.chained = in, at, at, title, 0, false
}

// Flush ends the failure that is being read, if there is one.
func (f *Folder) Flush() {
	if f.in != none {
		if f.title == "" {
			f.title = "a traceback without an end"
		}
		if f.title != f.called || f.named == "" {
			f.called, f.named = f.title, Signature(f.title)
		}
		f.Found(Failure{At: f.at, Signature: f.named})
	}
	f.in, f.title = none, ""
}

// isError reports whether a line, the first of what it belongs to, tells of an error.
func isError(text string) bool {
	if l, ok := level(text); ok {
		return bad[l]
	}
	return text != "" && !unicode.IsSpace(rune(text[0])) && (thrown.MatchString(text) || pythonError.MatchString(text))
}

// level is the level that a line says it has, in lower case.
func level(text string) (string, bool) {
	plain := strings.TrimSpace(text)
	if strings.HasPrefix(plain, "{") {
		if l, ok := jsonLevel(plain); ok {
			return l, true
		}
	}
	if leveled.MatchString(plain) {
		return "error", true
	}
	head := plain[:min(len(plain), 400)]
	if m := levelPair.FindStringSubmatch(head); m != nil {
		if l := strings.ToLower(m[1]); bad[l] || fine[l] {
			return l, true
		}
	}
	if m := bracketLevel.FindStringSubmatch(head[:min(len(head), 160)]); m != nil {
		return strings.ToLower(m[1]), true
	}
	// A word in capitals among the first, as most loggers write it.
	for i, word := range strings.Fields(head) {
		if i >= headTokens {
			break
		}
		word, _, _ = strings.Cut(strings.Trim(word, "[]():|,-"), ":") // ERROR:django.request:…
		if l := strings.ToLower(word); word == strings.ToUpper(word) && !isDigits(word) && (bad[l] || fine[l]) {
			return l, true
		}
	}
	return "", false
}

func isDigits(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}

// jsonLevel is the level of a line that is a JSON object.
func jsonLevel(text string) (string, bool) {
	var line map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &line) != nil {
		return "", false
	}
	for _, key := range []string{"level", "severity", "lvl", "levelname", "log.level", "@level", "Level", "LogLevel"} {
		raw, ok := line[key]
		if !ok {
			continue
		}
		l := strings.ToLower(strings.Trim(string(raw), `"`))
		return l, true
	}
	return "", false
}

// message is what a line says beside its time and level.
func message(text string) string {
	if !strings.HasPrefix(text, "{") {
		return text
	}
	var line map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &line) != nil {
		return text
	}
	for _, key := range []string{"msg", "message", "error", "err", "exception", "event"} {
		var said string
		if json.Unmarshal(line[key], &said) == nil && said != "" {
			return said
		}
	}
	return text
}

var (
	stamp    = regexp.MustCompile(`\d{4}[-/]\d\d[-/]\d\d[T ]?(\d\d:\d\d(:\d\d)?([.,]\d+)?)?(Z|[+-]\d\d:?\d\d)?|\d\d:\d\d:\d\d([.,]\d+)?`)
	uuid     = regexp.MustCompile(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)
	hex      = regexp.MustCompile(`(?i)\b(0x[0-9a-f]+|[0-9a-f]*\d[0-9a-f]*[a-f][0-9a-f]*\d[0-9a-f]*)\b`)
	digits   = regexp.MustCompile(`\d+`)
	queryOf  = regexp.MustCompile(`\?\S+`)
	quoted   = regexp.MustCompile(`"[^"]{0,999}"|'[^']{0,999}'`)
	redactor = flow.NewRedactor(nil, nil)
)

// Signature is a text without what differs from one time to the next: times, numbers, addresses, and the contents of quotes
// with a digit in them. What looks like a secret is hidden first.
func Signature(text string) string {
	text = redactor.Redact(text[:min(len(text), 8*maxSignature)])
	text = stamp.ReplaceAllString(text, "")
	text = uuid.ReplaceAllString(text, "<id>")
	text = queryOf.ReplaceAllString(text, "")
	text = quoted.ReplaceAllStringFunc(text, func(s string) string {
		if strings.ContainsAny(s, "0123456789") || len(s) > 60 {
			return s[:1] + "…" + s[len(s)-1:]
		}
		return s
	})
	text = hex.ReplaceAllString(text, "<id>")
	text = digits.ReplaceAllString(text, "#")
	return flow.Excerpt(strings.Trim(text, " -:,|"), maxSignature)
}
