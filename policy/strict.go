package policy

import "strings"

// Strict reads another file as strictly as a bakewatch.yaml, into a struct whose keys are in its json tags; what the file
// does not say keeps what it had. line tells where a key stands, for errors that are found later. The error is an Errors.
func Strict(name string, data []byte, into any) (line func(path string) int, err error) {
	root, fail := document(data)
	if fail != nil {
		fail.File = name
		if strings.HasPrefix(fail.Message, "is empty") {
			fail.Message = "is empty"
		}
		return nil, Errors{*fail}
	}
	d := decoder{lines: map[string]int{"": root.Line}}
	d.decode(root, "", into)
	if len(d.errs) > 0 {
		for i := range d.errs {
			d.errs[i].File = name
		}
		d.errs.sort()
		return nil, d.errs
	}
	return d.line, nil
}
