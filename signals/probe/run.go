package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/bakewatch/bakewatch/signals/probe/flow"
)

// outcome is how a run went: neither is set when all was as expected.
type outcome struct {
	failure string // the step and the first expectation that did not come true
	blind   string // why the run tells nothing
}

// runner runs flows.
type runner struct {
	cluster   Cluster
	forbidden func(netip.Addr) bool // addresses that no name of a host may stand for
}

// maxFailure bounds what is said of a failure, in runes: it goes into a sentence.
const maxFailure = 320

// unfit says that a step cannot be taken, which tells nothing of the pod.
type unfit struct{ why string }

func (u unfit) Error() string { return u.why }

// visit is one run under way.
type visit struct {
	runner
	of      Workload
	program *flow.Program
	pod     Pod
	values  map[string]string // by name, for the steps to use
	secrets []string
	tls     *certificates
}

// run runs a flow against a pod once, up to its first step that fails.
func (r runner) run(ctx context.Context, w Workload, p *flow.Program, pod Pod) outcome {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(len(p.Steps))*p.Timeout)
	defer cancel()
	v := &visit{runner: r, of: w, program: p, pod: pod, values: map[string]string{"namespace": w.Namespace, "workload": w.Name}}
	for name, file := range p.Flow.SecretFiles {
		secret, err := readSecret(file)
		if err != nil {
			return outcome{blind: fmt.Sprintf("secretFiles.%s: %v", name, err)}
		}
		v.values[name] = secret
		v.secrets = append(v.secrets, secret)
	}
	var err error
	if v.tls, err = readCertificates(p.Flow.TLS); err != nil {
		return outcome{blind: err.Error()}
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		miss, err := v.step(ctx, s)
		if err == nil && miss == nil {
			continue
		}
		redactor := v.redactor()
		if err != nil {
			return outcome{blind: fmt.Sprintf("step %q: %s", s.Title, redactor.Redact(bounded(err.Error())))}
		}
		shown := redactor.Miss(*miss)
		return outcome{failure: cut(fmt.Sprintf("step %q: expected %s, got %s", s.Title, shown.Expected, shown.Got), maxFailure)}
	}
	return outcome{}
}

// redactor hides the secrets and what was captured so far.
func (v *visit) redactor() *flow.Redactor {
	var captured []string
	for name, value := range v.values {
		if _, secret := v.program.Flow.SecretFiles[name]; !secret && !slices.Contains(flow.BuiltIn, name) {
			captured = append(captured, value)
		}
	}
	return flow.NewRedactor(v.secrets, captured)
}

// step takes one step. An error says that it could not be taken.
func (v *visit) step(ctx context.Context, s *flow.Stage) (*flow.Miss, error) {
	to, err := v.place(ctx, s)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, v.program.Timeout)
	defer cancel()
	switch {
	case s.HTTP != nil:
		return v.http(ctx, s, to)
	case s.GRPC != nil:
		return v.grpc(ctx, s, to)
	}
	began := time.Now()
	conn, err := to.dial(ctx)
	if err != nil {
		return v.failed(err, to, "a connection")
	}
	_ = conn.Close()
	return s.Slow(time.Since(began)), nil
}

// failed is what became of a step that had no answer. To a pod, or a Service that leads to it, that is what the flow is there
// to find; a host elsewhere that is away is not the pod's fault.
func (v *visit) failed(err error, to place, expected string) (*flow.Miss, error) {
	var no unfit
	if !to.own() || errors.As(err, &no) {
		return nil, errors.New(v.explain(err))
	}
	return &flow.Miss{Expected: expected, Got: v.explain(err)}, nil
}

// explain says in a clause why there was no answer.
func (v *visit) explain(err error) string {
	var no unfit
	var timeout net.Error
	switch {
	case errors.As(err, &no):
		return no.why
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "none within " + v.program.Timeout.String()
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET):
		return "connection reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before the answer was complete"
	}
	return bounded(err.Error())
}

const maxSecret = 64 << 10

// readSecret is the content of a file, without the line's end. It is read anew for each run: secrets are rotated.
func readSecret(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch text := strings.TrimRight(string(data), "\r\n"); {
	case err != nil:
		return "", fmt.Errorf("read the secret: %w", err)
	case len(data) > maxSecret:
		return "", fmt.Errorf("%s is longer than %d KiB", name, maxSecret>>10)
	case text == "":
		return "", fmt.Errorf("%s is empty", name)
	default:
		return text, nil
	}
}

// bounded is a text of others, on one line and not too long.
func bounded(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
	return cut(s, 200)
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
