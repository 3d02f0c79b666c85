package v1alpha1

import "strings"

// Changed says what the migration changed, as far as its log or its name tells; empty: nothing is known.
func (m Migration) Changed() string {
	var what []string
	switch {
	case m.Schema == "yes" && m.Data == "no":
		what = append(what, "schema only")
	case m.Schema == "yes" && m.Data == "yes":
		what = append(what, "schema and data")
	case m.Schema == "yes":
		what = append(what, "schema; whether data, too, is not known")
	case m.Schema == "no" && m.Data == "yes":
		what = append(what, "data only")
	case m.Data == "yes":
		what = append(what, "data")
	}
	if m.Removes != "" {
		what = append(what, "removes or renames: "+m.Removes)
	}
	if m.ToldBy == "name" {
		what = append(what, "by its name")
	}
	return strings.Join(what, ", ")
}
