package revert

import "strings"

// mark is how a file tells of an image: by all of its name, or only by what stands behind it.
type mark struct {
	whole [2]string // as in image: registry/app:v2
	tag   [2]string // as in newTag: v2
}

// The sides of a mark.
const (
	good = iota
	bad
)

// marksOf are the marks of the images that differ. Containers are compared in order.
func marksOf(from, to []string) []mark {
	var out []mark
	for i := range min(len(from), len(to)) {
		if from[i] != to[i] {
			out = append(out, mark{[2]string{from[i], to[i]}, [2]string{tagOf(from[i]), tagOf(to[i])}})
		}
	}
	return out
}

// tagOf is an image's digest, or else its tag; empty where it has neither.
func tagOf(image string) string {
	if _, digest, ok := strings.Cut(image, "@"); ok {
		return digest
	}
	_, tag, _ := strings.Cut(image[strings.LastIndexByte(image, '/')+1:], ":")
	return tag
}

// says reports whether a text tells of all the bad images.
func says(text string, marks []mark) bool {
	for _, m := range marks {
		if !has(text, m.whole[bad]) && !has(text, m.tag[bad]) {
			return false
		}
	}
	return true
}

// brings reports whether a change of a text brings all the bad images in place of the good ones: in the lines that differ, and told
// of in the same way.
func brings(before, after string, marks []mark) bool {
	removed, added := without(before, after), without(after, before)
	for _, m := range marks {
		whole := has(removed, m.whole[good]) && has(added, m.whole[bad])
		tag := m.tag[good] != m.tag[bad] && has(removed, m.tag[good]) && has(added, m.tag[bad])
		if !whole && !tag {
			return false
		}
	}
	return true
}

// without are the lines of a text that another one does not have.
func without(text, other string) string {
	known := map[string]bool{}
	for line := range strings.Lines(other) {
		known[strings.TrimRight(line, "\r\n")] = true
	}
	var out []string
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\r\n"); !known[line] {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// has reports whether a text has a word: not as a part of a longer one.
func has(text, word string) bool {
	if word == "" {
		return false
	}
	part := func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.'
	}
	for at := 0; ; {
		i := strings.Index(text[at:], word)
		if i < 0 {
			return false
		}
		begin, end := at+i, at+i+len(word)
		if (begin == 0 || !part(text[begin-1])) && (end == len(text) || !part(text[end])) {
			return true
		}
		at = begin + 1
	}
}
