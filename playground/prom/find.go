package prom

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Find returns the program of a name: from the directory where tools.sh puts it, or from PATH, where Debian calls
// Alertmanager prometheus-alertmanager.
func Find(toolsDir, name string) (string, error) {
	if path, err := exec.LookPath(filepath.Join(toolsDir, name)); err == nil {
		return filepath.Abs(path)
	}
	for _, candidate := range []string{name, "prometheus-" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s found neither in %s nor on PATH: run playground/tools.sh, or install it (on Debian: the packages prometheus and prometheus-alertmanager)",
		name, toolsDir)
}

// ToolsDir is where tools.sh puts the programs, seen from the playground's own program in .bin.
func ToolsDir() string {
	self, err := os.Executable()
	if err != nil {
		return ".tools/bin"
	}
	return filepath.Join(filepath.Dir(filepath.Dir(self)), ".tools", "bin")
}
