package signals

import "strings"

// Names of pods end in what their controllers add to the workload's name: a Deployment's in the hash of the template and
// five random characters (web-7d9f6c5b4-x2k8p), a StatefulSet's in an ordinal, a DaemonSet's in five random characters.

const (
	idLength   = 5
	hashLength = 10
	baseLength = 58 // a name that pods are generated from is cut to this length, so that five characters more make 63
)

// PodOf reports whether a pod, by its name, is of the workload of that kind and name, whichever revision it is of.
func PodOf(pod, kind, workload string) bool {
	rest, ok := strings.CutPrefix(pod, PodPrefix(workload))
	if !ok {
		return false
	}
	switch kind {
	case "Deployment":
		hash, id, whole := strings.Cut(rest, "-")
		if !whole && len(pod) == baseLength+idLength && len(rest) > idLength { // the hash was cut, and the dash with it
			hash, id = rest[:len(rest)-idLength], rest[len(rest)-idLength:]
		}
		return isHash(hash) && isID(id)
	case "StatefulSet":
		return isOrdinal(rest)
	case "DaemonSet":
		return isID(rest)
	}
	return false
}

// NamesTell reports whether the names of a workload's pods tell of which revision they are. A StatefulSet's pod of the same
// name serves one revision and then another, and a DaemonSet's name says nothing.
func NamesTell(kind string) bool { return kind == "Deployment" }

// WorkloadOf is the name of the workload that a pod is of, by the pod's own name; empty when that does not tell.
func WorkloadOf(pod string) string {
	rest, last := cutLast(pod)
	switch {
	case rest == "":
		return ""
	case isID(last):
		if name, hash := cutLast(rest); name != "" && isHash(hash) {
			return name
		}
		return rest
	case isOrdinal(last):
		return rest
	}
	return ""
}

// PodPrefix is how the names of all pods of a workload begin; those of others may begin so, too.
func PodPrefix(workload string) string {
	prefix := workload + "-"
	return prefix[:min(len(prefix), baseLength)]
}

// cutLast cuts a name at its last dash.
func cutLast(name string) (before, last string) {
	i := strings.LastIndexByte(name, '-')
	if i < 0 {
		return "", name
	}
	return name[:i], name[i+1:]
}

// isHash knows a hash from a word: the controllers write it without vowels, so that it is none. With that, a DaemonSet
// web-proxy is not taken for a revision of the Deployment web.
func isHash(s string) bool {
	return len(s) > 0 && len(s) <= hashLength && only(s, func(c byte) bool { return !strings.ContainsRune("aeiou", rune(c)) })
}

func isID(s string) bool { return len(s) == idLength && only(s, func(byte) bool { return true }) }

func isOrdinal(s string) bool {
	return len(s) > 0 && only(s, func(c byte) bool { return c <= '9' })
}

// only reports whether all characters are small letters or digits that are fit.
func only(s string, fit func(byte) bool) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') || !fit(c) {
			return false
		}
	}
	return true
}
