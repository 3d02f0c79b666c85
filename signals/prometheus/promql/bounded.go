package promql

// most is how much of a query is quoted in a message.
const most = 200

func bounded(text string) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}
