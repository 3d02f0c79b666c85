package agent

import (
	"fmt"
	"net/http"
)

// failsPath answers a request on a path that the pod is to fail on, and reports whether it was one.
func (p *process) failsPath(w http.ResponseWriter, r *http.Request) bool {
	if p.wellBehaved() || !p.behavior.Load().Fails(r.URL.Path) {
		return false
	}
	p.logs.print(fmt.Sprintf("level=error method=%s path=%q status=500 msg=\"this path fails\"", r.Method, r.URL.Path))
	http.Error(w, "this path fails", http.StatusInternalServerError)
	return true
}
