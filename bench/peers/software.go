package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Releases of what is built from source. What Debian has is what it has.
const (
	etcdModule     = "go.etcd.io/etcd/server/v3"
	etcdVersion    = "v3.7.3"
	corednsModule  = "github.com/coredns/coredns"
	corednsVersion = "v1.14.7"
)

// debian returns the program of a Debian package. Where it is not installed, the package
// and what that needs are unpacked into a directory of ours: nothing of the system
// changes, no service is started, and who runs this need not be root.
func (l *lab) debian(ctx context.Context, pkg, program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	root := l.unpacked()
	for _, dir := range []string{"usr/sbin", "usr/bin"} {
		path := filepath.Join(root, dir, program)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return "", fmt.Errorf("%s is not installed, and there is no apt-get to fetch it", program)
	}
	fmt.Fprintf(l.progress, "unpacking %s\n", pkg)
	packages, err := packagesOf(ctx, pkg)
	if err != nil && os.Geteuid() == 0 {
		if _, err = command(ctx, "", "apt-get", "update"); err == nil {
			packages, err = packagesOf(ctx, pkg)
		}
	}
	if err != nil {
		return "", err
	}
	debs := filepath.Join(l.dir, pkg)
	if err := os.MkdirAll(debs, 0o777); err != nil {
		return "", err
	}
	if _, err := command(ctx, debs, "apt-get", append([]string{"-o", "APT::Sandbox::User=root", "download"}, packages...)...); err != nil {
		return "", err
	}
	files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil {
		return "", err
	}
	for _, file := range files {
		if _, err := command(ctx, "", "dpkg-deb", "-x", file, root); err != nil {
			return "", err
		}
	}
	return l.debian(ctx, pkg, program)
}

// packagesOf returns what would have to be installed for a package.
func packagesOf(ctx context.Context, pkg string) (names []string, err error) {
	out, err := command(ctx, "", "apt-get", "install", "--simulate", "--no-install-recommends", pkg)
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, "Inst "); ok {
			name, _, _ := strings.Cut(rest, " ")
			names = append(names, name)
		}
	}
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%s is installed, but its program is not to be found", pkg)
	}
	return names, err
}

// unpacked is where Debian's packages are unpacked.
func (l *lab) unpacked() string { return filepath.Join(l.tools, "debian") }

// libraries is the environment in which programs of unpacked packages find theirs.
func (l *lab) libraries() []string {
	var found []string
	for _, pattern := range []string{"usr/lib/*-linux-gnu", "lib/*-linux-gnu"} {
		dirs, _ := filepath.Glob(filepath.Join(l.unpacked(), pattern)) // the pattern is well formed
		found = append(found, dirs...)
	}
	return []string{"LD_LIBRARY_PATH=" + strings.Join(found, ":")}
}

// goProgram returns a program that is built from a module's package as that module's
// authors would: with the versions that they chose of what it needs.
func (l *lab) goProgram(ctx context.Context, pkg, version string) (string, error) {
	name := strings.ReplaceAll(strings.TrimPrefix(pkg, "github.com/"), "/", "-") + "-" + version
	path := filepath.Join(l.tools, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	fmt.Fprintf(l.progress, "building %s %s\n", pkg, version)
	dir, err := os.MkdirTemp(l.dir, "build-")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module peer\n"), 0o666); err != nil {
		return "", err
	}
	for _, args := range [][]string{{"get", pkg + "@" + version}, {"build", "-o", path, pkg}} {
		if _, err := command(ctx, dir, "go", args...); err != nil {
			return "", err
		}
	}
	return path, nil
}

// command runs a program to its end. The error has the last line that it said.
func command(ctx context.Context, dir, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		lines := strings.Split(strings.TrimSpace(string(exit.Stderr)), "\n")
		err = fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, lines[len(lines)-1])
	}
	return string(out), err
}

// output returns the first line that a program says of itself, or "unknown".
func (l *lab) output(program string, args ...string) string {
	cmd := exec.Command(program, args...)
	if strings.HasPrefix(program, l.unpacked()) {
		cmd.Env = append(os.Environ(), l.libraries()...)
	}
	out, err := cmd.CombinedOutput()
	line, _, _ := strings.Cut(string(out), "\n")
	if err != nil || line == "" {
		return "unknown"
	}
	return strings.TrimSpace(line)
}
