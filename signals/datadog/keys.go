package datadog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/DataDog/datadog-api-client-go/v2/api/datadog"
)

// keyFiles are where the keys are. They are read anew for each request: a key that was rotated is used at once.
type keyFiles struct{ api, app string }

// keys are what a request is signed with, as the client takes them.
type keys map[string]datadog.APIKey

func (f keyFiles) read() (keys, error) {
	api, err := readKey("apiKeyFile", f.api)
	if err != nil {
		return nil, err
	}
	app, err := readKey("appKeyFile", f.app)
	if err != nil {
		return nil, err
	}
	return keys{"apiKeyAuth": {Key: api}, "appKeyAuth": {Key: app}}, nil
}

func (k keys) same(o keys) bool {
	return k["apiKeyAuth"].Key == o["apiKeyAuth"].Key && k["appKeyAuth"].Key == o["appKeyAuth"].Key
}

// longestKey is more than any key has.
const longestKey = 512

// readKey reads a key. No error shows any of it.
func readKey(setting, path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read sources.datadog.%s: %w", setting, err)
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, longestKey+1))
	if err != nil {
		return "", fmt.Errorf("read sources.datadog.%s: %w", setting, err)
	}
	key := strings.TrimSpace(string(data))
	switch {
	case key == "":
		err = errors.New("is empty")
	case len(data) > longestKey:
		err = fmt.Errorf("is longer than %d bytes, as no key is", longestKey)
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		err = errors.New("holds what no key has, such as spaces or several lines")
	}
	if err != nil {
		return "", fmt.Errorf("sources.datadog.%s: the file %s %w", setting, path, err)
	}
	return key, nil
}
