package kubernetes

import (
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/probe/flow"
)

// What kubelets and container runtimes say is not made for programs. These are the words of containerd, CRI-O, Docker and
// the registries; what they do not match is taken for the less telling case.
var (
	notFound = regexp.MustCompile(`(?i)manifest unknown|manifest for .* not found|: not found|NotFound|name unknown|repository does not exist|no such manifest|invalid reference format|couldn't parse image|is not present with pull policy|no match for platform`)
	denied   = regexp.MustCompile(`(?i)unauthorized|authentication required|\b40[13]\b|forbidden|access denied|requested access .* denied|insufficient_scope|authorization failed|no basic auth credentials|token has expired`)
	noAnswer = regexp.MustCompile(`(?i)no such host|connection refused|timeout|timed out|deadline exceeded|\b5\d\d\b|\b429\b|toomanyrequests|unreachable|connection reset|TLS handshake|x509|\bEOF\b`)

	absent    = regexp.MustCompile(`(?i)\b(configmap|secret)s? "([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)" not found`)
	absentKey = regexp.MustCompile(`(?i)couldn't find key (\S{1,253}) in (configmap|secret) (?:[a-z0-9-]{1,63}/)?([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)`)

	// imagesOwn is what goes wrong with a container on any node.
	imagesOwn = regexp.MustCompile(`(?i)executable file not found|no such file or directory|permission denied|exec format error|not a directory|no command specified|unable to find user|no matching entries in passwd|runAsNonRoot`)
)

// pullFail is how pulling an image fails, by the container's waiting reason and its message.
func pullFail(reason, message string) signals.PullFail {
	switch {
	case reason == "InvalidImageName", reason == "ErrImageNeverPull":
		return signals.NotFound
	case reason == "RegistryUnavailable", noAnswer.MatchString(withoutNames(message)):
		return signals.Unreachable
	case denied.MatchString(withoutNames(message)):
		return signals.Denied // asked for what is not there, many registries deny it
	case notFound.MatchString(message):
		return signals.NotFound
	}
	return signals.Unreachable
}

// quoted are names of images and addresses in messages: what is in them is no error.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.){0,500}"`)

func withoutNames(message string) string { return quoted.ReplaceAllString(message, `""`) }

// keyOf names a key of a ConfigMap or Secret.
func keyOf(kind, name, key string) string { return "key " + key + " of " + kind + "/" + name }

// missing is the ConfigMap or Secret, or the key of one, that a message says is not there; empty when it names none.
func missing(message string) string {
	if m := absent.FindStringSubmatch(message); m != nil {
		return strings.ToLower(m[1]) + "/" + m[2]
	}
	if m := absentKey.FindStringSubmatch(message); m != nil {
		return keyOf(strings.ToLower(m[2]), m[3], m[1])
	}
	return ""
}

func ownFault(message string) bool { return imagesOwn.MatchString(message) }

// hider makes text of others fit to show: one short line without secrets.
type hider struct{ redactor *flow.Redactor }

// shortestValue is the length from which a variable's value is hidden: hiding each "1" or "true" would leave nothing to read.
const shortestValue = 6

// hide knows the values of a pod's variables, and the secrets' usual looks.
func hide(pod *corev1.Pod) *hider {
	var values []string
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range bounded(list) {
			for _, env := range bounded(c.Env) {
				if len(env.Value) >= shortestValue {
					values = append(values, env.Value)
				}
			}
		}
	}
	return &hider{flow.NewRedactor(values, nil)}
}

// line is text as one line, no longer than a message may be.
func (h *hider) line(text string) string { return h.cut(text, maxMessage) }

func (h *hider) cut(text string, most int) string {
	text = text[:min(len(text), 8*most)] // it is looked at only so far
	return flow.Excerpt(h.redactor.Redact(text), most)
}

// Short makes lines that a pod's containers wrote, or that were written of it, fit to show: each no longer than most runes, and
// without the values of its variables.
func Short(pod *corev1.Pod, lines []string, most int) []string {
	h := hide(pod)
	out := make([]string, 0, len(lines))
	for _, line := range lines {
		if line = h.cut(line, most); line != "" {
			out = append(out, line)
		}
	}
	return out
}
