package flow

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/cel-go/cel"
)

// Fault is one thing wrong in a flow.
type Fault struct {
	Path    string // of the key, such as steps[1].expect.cel; empty: the flow as a whole
	Message string // what is wrong and what to write instead; never a secret's value
}

// BuiltIn are the values that every flow may use.
var BuiltIn = []string{"namespace", "workload"}

// reserved are names that expressions have a meaning for.
var reserved = []string{nameJSON, nameStatus, nameBody, nameHeaders}

// compiler compiles a flow, and collects what is wrong with it.
type compiler struct {
	faults []Fault
	names  []string // of the values known so far, sorted
}

func (c *compiler) errorf(path, format string, args ...any) {
	c.faults = append(c.faults, Fault{Path: path, Message: fmt.Sprintf(format, args...)})
}

// Compile checks a flow and makes it ready to be run. Without faults there is a Program.
func Compile(f Flow) (*Program, []Fault) {
	c := &compiler{names: slices.Clone(BuiltIn)}
	if n := len(f.Text()); n > MaxText {
		c.errorf("", "is %d bytes long as JSON; at most %d are kept with each Bake", n, MaxText)
		return nil, c.faults // before anything of that size is compiled
	}
	c.between("every", f.every(), MinEvery, MaxEvery)
	c.between("timeout", f.timeout(), MinTimeout, MaxTimeout)
	c.tls("tls", f.TLS)
	c.secrets("secretFiles", f.SecretFiles)
	switch n := len(f.Steps); {
	case n == 0:
		c.errorf("steps", "is missing; a flow needs a step, such as {http: {path: /}}")
	case n > MaxSteps:
		c.errorf("steps", "at most %d steps make a flow, not %d", MaxSteps, n)
		return nil, c.faults
	case time.Duration(n)*f.timeout() > MaxRun:
		c.errorf("timeout", "%d steps of up to %s each may take %s in all; at most %s", n, f.timeout(), time.Duration(n)*f.timeout(), MaxRun)
	}
	p := &Program{Flow: f, Every: f.every(), Timeout: f.timeout()}
	toPod := false
	for i, s := range f.Steps {
		p.Steps = append(p.Steps, c.step(fmt.Sprintf("steps[%d]", i), s, f.timeout()))
		toPod = toPod || s.Service == "" && (s.HTTP == nil || s.HTTP.URL == "")
	}
	c.hosts(f)
	if len(f.Steps) > 0 && !toPod {
		c.errorf("steps", "no step goes to the pod: a flow is run against each pod, which is how new and old ones are told apart")
	}
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	return p, nil
}

// hosts checks the hosts that may be gone to, and that no step names another one.
func (c *compiler) hosts(f Flow) {
	if len(f.Hosts) > maxNamed {
		c.errorf("hosts", "at most %d hosts may be named, not %d", maxNamed, len(f.Hosts))
	}
	for i, h := range f.Hosts {
		at := fmt.Sprintf("hosts[%d]", i)
		switch address, err := netip.ParseAddr(strings.Trim(h, "[]")); {
		case err == nil && Forbidden(address):
			c.errorf(at, "%s is an address of this machine, of the link or of a cloud's metadata service; no flow may go there", address)
		case err == nil:
		case !hostName.MatchString(h) || len(h) > 253:
			c.errorf(at, "must be the name of a host in small letters, such as login.example.com, without a port, not %s", quote(h))
		}
	}
	for i, s := range f.Steps {
		if s.HTTP == nil || s.HTTP.URL == "" {
			continue
		}
		u, err := url.Parse(authority(s.HTTP.URL))
		if err != nil || u.Hostname() == "" {
			continue // reported with the step
		}
		if host := strings.ToLower(u.Hostname()); !slices.ContainsFunc(f.Hosts, func(h string) bool { return strings.Trim(h, "[]") == host }) {
			c.errorf(fmt.Sprintf("steps[%d].http.url", i), "goes to %s, which is not among the flow's hosts; add it there", quote(host))
		}
	}
}

var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

func (c *compiler) between(path string, d, least, most time.Duration) {
	if d < least || d > most {
		c.errorf(path, "must be from %s to %s, not %s", short(least), short(most), short(d))
	}
}

// short prints 5m for 5m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	return s
}

func (c *compiler) tls(path string, t *TLS) {
	if t == nil {
		return
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		c.errorf(path, "needs both certFile and keyFile, or neither")
	}
	c.file(path+".caFile", t.CAFile)
	c.file(path+".certFile", t.CertFile)
	c.file(path+".keyFile", t.KeyFile)
}

// file refuses what is not an absolute path, and does not show it: a secret is easily pasted where its file belongs.
func (c *compiler) file(path, name string) {
	if name != "" && !filepath.IsAbs(name) {
		c.errorf(path, "must be the absolute path of a file, such as /secrets/token; the secret itself does not belong here")
	}
}

func (c *compiler) secrets(path string, files map[string]string) {
	if len(files) > maxNamed {
		c.errorf(path, "at most %d files may be named, not %d", maxNamed, len(files))
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		at := path + "." + name
		if c.fresh(at, name); files[name] == "" {
			c.errorf(at, "names no file")
		}
		c.file(at, files[name])
	}
	c.know(slices.Collect(maps.Keys(files)))
}

// fresh reports a name that cannot be given to a value.
func (c *compiler) fresh(path, name string) {
	switch {
	case !variable.MatchString(name):
		c.errorf(path, "a name is letters, digits and _, such as token, not %s", quote(name))
	case slices.Contains(reserved, name):
		c.errorf(path, "the name %s has a meaning in expressions already; use another", name)
	case slices.Contains(c.names, name):
		c.errorf(path, "the name %s is taken already; use another", name)
	}
}

// know adds names to those that may be used from now on. What is wrong with them was reported.
func (c *compiler) know(names []string) {
	for _, name := range names {
		if variable.MatchString(name) && !slices.Contains(reserved, name) && !slices.Contains(c.names, name) {
			c.names = append(c.names, name)
		}
	}
	slices.Sort(c.names)
}

func (c *compiler) step(path string, s Step, timeout time.Duration) Stage {
	out := Stage{Step: s, Title: s.title()}
	if bad := strings.ContainsFunc(s.Name, func(r rune) bool { return !unicode.IsPrint(r) }); bad || len([]rune(s.Name)) > maxName {
		c.errorf(path+".name", "must be one line of at most %d characters", maxName)
	}
	ways := 0
	for _, there := range []bool{s.HTTP != nil, s.TCP != nil, s.GRPC != nil} {
		if there {
			ways++
		}
	}
	if ways != 1 {
		c.errorf(path, "needs exactly one of http, tcp and grpc")
		return out
	}
	if s.Service != "" && !portName.MatchString(s.Service) {
		c.errorf(path+".service", "must be the name of a Service in the workload's namespace, not %s", quote(s.Service))
	}
	if s.HTTP != nil {
		c.http(path+".http", s, &out)
	}
	e := Expect{}
	if s.Expect != nil {
		e = *s.Expect
	}
	if e.Within > 0 && time.Duration(e.Within) > timeout {
		c.errorf(path+".expect.within", "must be at most the timeout, which is %s, not %s", short(timeout), time.Duration(e.Within))
	}
	if s.HTTP == nil {
		if len(e.Status) > 0 || e.Body != "" || e.CEL != "" {
			c.errorf(path+".expect", "only within goes with tcp and grpc; remove the rest")
		}
		if len(s.Capture) > 0 {
			c.errorf(path+".capture", "goes with http only; remove it")
		}
		return out
	}
	c.expect(path+".expect", e, &out)
	c.captures(path+".capture", s.Capture, &out)
	return out
}

var (
	method     = regexp.MustCompile(`^[A-Z]{1,20}$`)
	headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
	// secretHeaders are the headers whose values are secrets.
	secretHeaders = []string{"Authorization", "Cookie", "X-Api-Key", "X-Auth-Token"}
	// unsettable are the headers that belong to the connection, or follow from the body.
	unsettable = []string{"Connection", "Content-Length", "Expect", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}
)

func (c *compiler) http(path string, s Step, out *Stage) {
	h := s.HTTP
	if h.Method != "" && !method.MatchString(h.Method) {
		c.errorf(path+".method", "must be a method in capital letters such as GET, not %s", quote(h.Method))
	}
	if h.URL == "" {
		out.path = c.address(path+".path", h.path(), "")
	} else {
		if h.Path != "" || h.Port != "" {
			c.errorf(path, "url stands in place of path and port; keep one")
		}
		if s.Service != "" {
			c.errorf(path, "url and service both say where the step goes; keep one")
		}
		out.base = authority(h.URL)
		u, err := url.Parse(out.base)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Contains(out.base, "$"):
			c.errorf(path+".url", "must be an address such as https://login.example.com/token, with ${…} in its path only")
		case u.User != nil:
			c.errorf(path+".url", "must not hold a user or password; send a header whose value comes from secretFiles")
		default:
			rest := h.URL[len(out.base):]
			if rest == "" || rest[0] != '/' {
				rest = "/" + rest
			}
			out.path = c.address(path+".url", rest, "the path in ")
		}
	}
	if len(h.Headers) > maxNamed {
		c.errorf(path+".headers", "at most %d headers, not %d", maxNamed, len(h.Headers))
	}
	for _, name := range slices.Sorted(maps.Keys(h.Headers)) {
		at := path + ".headers." + name
		if !headerName.MatchString(name) {
			c.errorf(path+".headers", "%s is not the name of a header", quote(name))
			continue
		}
		canonical := http.CanonicalHeaderKey(name)
		if slices.Contains(unsettable, canonical) {
			c.errorf(at, "belongs to the connection and cannot be set")
		}
		t := c.template(at, h.Headers[name])
		if slices.Contains(secretHeaders, canonical) && len(t.names()) == 0 && h.Headers[name] != "" {
			c.errorf(at, "is a secret, and this text is kept with each Bake; name a file under secretFiles and write ${name} here")
		}
		if why := unfitHeader(t.verbatim(nil)); why != "" {
			c.errorf(at, "%s", why)
		}
		out.headers = append(out.headers, header{name: canonical, value: t})
	}
	out.method, out.body = h.method(), c.template(path+".body", h.Body)
}

// authority is the scheme and host of a URL.
func authority(address string) string {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		return address
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return scheme + "://" + rest
}

// address checks a path with its query.
func (c *compiler) address(path, text, what string) template {
	t := c.template(path, text)
	if _, err := url.ParseRequestURI(t.escaped(map[string]string{})); err != nil || text[0] != '/' || strings.Contains(text, "#") {
		c.errorf(path, "%smust begin with / and be escaped as in an address, without a #", what)
	}
	return t
}

// template compiles text with ${…}, and checks that what it uses is known by then.
func (c *compiler) template(path, text string) template {
	t, err := parseTemplate(text)
	if err != nil {
		c.errorf(path, "%v", err)
		return nil
	}
	for _, name := range t.names() {
		if !slices.Contains(c.names, name) {
			c.errorf(path, "${%s} is not known here; known are %s (values captured by earlier steps are, too)", name, strings.Join(c.names, ", "))
		}
	}
	return t
}

const maxPattern = 1 << 10

func (c *compiler) pattern(path, text string, groups int) *regexp.Regexp {
	if len(text) > maxPattern {
		c.errorf(path, "is %d bytes long; at most %d", len(text), maxPattern)
		return nil
	}
	r, err := regexp.Compile(text)
	switch {
	case err != nil:
		c.errorf(path, "is not a regular expression: %s", bounded(strings.TrimPrefix(err.Error(), "error parsing regexp: ")))
	case groups > 0 && r.NumSubexp() != groups:
		c.errorf(path, "needs one group (…) around what is captured, not %d; write (?:…) for others", r.NumSubexp())
	}
	return r
}

func (c *compiler) expect(path string, e Expect, out *Stage) {
	if e.Body != "" {
		out.matches = c.pattern(path+".body", e.Body, 0)
	}
	if e.CEL != "" {
		var err error
		if out.holds, err = compileExpression(e.CEL, c.names, cel.BoolType, cel.DynType); err != nil {
			c.errorf(path+".cel", "%v", err)
		}
	}
}

func (c *compiler) captures(path string, captures map[string]Capture, out *Stage) {
	if len(captures) > maxNamed {
		c.errorf(path, "at most %d values, not %d", maxNamed, len(captures))
		return
	}
	names := slices.Sorted(maps.Keys(captures))
	for _, name := range names {
		at := path + "." + name
		c.fresh(at, name)
		k := captures[name]
		v := capture{name: name, header: http.CanonicalHeaderKey(k.Header)}
		if k.Header != "" && !headerName.MatchString(k.Header) {
			c.errorf(at+".header", "%s is not the name of a header", quote(k.Header))
		}
		switch {
		case k.CEL != "" && (k.Header != "" || k.Pattern != ""):
			c.errorf(at, "cel stands alone; remove it, or header and pattern")
		case k.CEL != "":
			var err error
			if v.cel, err = compileExpression(k.CEL, c.names, cel.DynType, cel.StringType, cel.IntType, cel.UintType, cel.DoubleType, cel.BoolType); err != nil {
				c.errorf(at+".cel", "%v", err)
			}
		case k.Pattern != "":
			v.pattern = c.pattern(at+".pattern", k.Pattern, 1)
		case k.Header == "":
			c.errorf(at, "needs cel, or a pattern, or a header")
		}
		out.captures = append(out.captures, v)
	}
	c.know(names)
}
