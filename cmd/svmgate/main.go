// Command svmgate is a discovery gateway: it tells security agents in virtual
// machines which secure virtual machine (SVM) to connect to.
//
// svmgate serve runs a gateway, the other commands manage one. Commands end with
// 0 when what was asked is done, 1 when it failed, and 2 when it was asked wrongly
// or the configuration is wrong: then trying again does not help.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/cli"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/config"
)

// version is set by the linker.
var version string

func main() {
	root := rootCommand()
	err := root.Execute()
	report(root.ErrOrStderr(), err)
	os.Exit(exitCode(err))
}

// report prints err, each of its lines under the program's name: settings are
// reported all at once.
func report(w io.Writer, err error) {
	if err == nil {
		return
	}
	for line := range strings.Lines(strings.TrimSpace(err.Error())) {
		fmt.Fprintf(w, "svmgate: %s\n", strings.TrimRight(line, "\n"))
	}
}

func exitCode(err error) int {
	var usage cli.UsageError
	var setting *config.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage), errors.As(err, &setting):
		return 2
	}
	return 1
}
