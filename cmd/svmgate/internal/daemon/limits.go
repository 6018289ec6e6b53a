package daemon

import (
	"syscall"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/config"
)

// reservedFiles is the number of file descriptors that are kept for the journal,
// imports, the operations plane and the runtime.
const reservedFiles = 256

// agentConnections returns max-connections, or less if the process may not open
// so many files: agents that come beyond the limit get an answer and cost
// nothing, while a process without descriptors serves no administrator either.
func agentConnections(c *config.Config, openFiles uint64) int {
	spare := int64(min(openFiles, 1<<30)) - int64(c.AdminMaxConnections) - reservedFiles
	return int(min(int64(c.MaxConnections), max(spare, reservedFiles)))
}

// connectionLimit is agentConnections for this process, and says when it differs
// from the setting.
func (g *Gateway) connectionLimit() int {
	c := &g.settings.Config
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return c.MaxConnections
	}
	n := agentConnections(c, files.Cur)
	if n < c.MaxConnections {
		g.opt.Log.Info("max-connections is lowered: the process may not open more files",
			"max_connections", n, "open_files", files.Cur)
	}
	return n
}
