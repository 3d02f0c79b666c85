package wording

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/bakewatch/bakewatch/act/announce"
)

const maxAddress = 2000 // bytes

// ParseLink reads the template of a link's address and tries it on stories of every kind.
func ParseLink(address string) (*Template, error) {
	t, err := Parse(address)
	if err != nil {
		return nil, err
	}
	for _, s := range Samples() {
		if _, err := t.Address(s); err != nil {
			return nil, fmt.Errorf("with a story of stage %s: %w", s.Stage, err)
		}
	}
	return t, nil
}

// Address is the address that a story is given. What comes from the story is escaped, so that it stays a part of the path or
// one value of the query.
func (t *Template) Address(s announce.Story) (string, error) {
	s.Links = nil
	address, err := t.Write(s, func(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") })
	if err != nil {
		return "", err
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || len(address) > maxAddress || strings.ContainsAny(address, " \"<>|`") {
		return "", errors.New("it does not write an address such as https://host/path?query")
	}
	return u.String(), nil
}
