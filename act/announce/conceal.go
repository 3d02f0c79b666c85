package announce

import "strings"

// Conceal is err without a secret that the receiver may have repeated. What it wraps stays to be asked about with errors.Is.
func Conceal(err error, secret string) error {
	if err == nil || len(secret) < 6 || !strings.Contains(err.Error(), secret) {
		return err
	}
	return concealed{err, strings.ReplaceAll(err.Error(), secret, "…")}
}

type concealed struct {
	cause error
	text  string
}

func (c concealed) Error() string { return c.text }
func (c concealed) Unwrap() error { return c.cause }
