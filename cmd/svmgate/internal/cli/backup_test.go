package cli

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth/authtest"
	"github.com/svmgate/svmgate/store"
)

// A summary is a [store.Summary] as JSON.
type summary struct {
	Records, Tombstones, Bytes int64
	Files                      int
	Kinds                      map[string]int64
}

// backedUp is a gateway with the sample inventory and a backup of it.
func backedUp(t *testing.T) (*gateway, string) {
	t.Helper()
	g := newSample(t)
	path := filepath.Join(t.TempDir(), "b")
	g.must("backup", path)
	return g, path
}

// onlyFiles fails the test if dir has anything but these.
func onlyFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s has %v, want %v", dir, got, want)
	}
}

func TestBackup(t *testing.T) {
	g := newSample(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "b")
	out := g.must("backup", path)
	if !regexp.MustCompile(`b: 1 file, \d+ bytes, \d+ records \(.*tenant 2.*\)\n$`).MatchString(out) {
		t.Errorf("%q, want bytes, and records by kind", out)
	}
	onlyFiles(t, dir, "b")
	info, err := os.Stat(path)
	check(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("mode %v, want it for its owner alone", info.Mode())
	}

	// Once more, over the one that is there and over what a killed run left.
	check(t, os.WriteFile(path+".partial", make([]byte, 1<<20), 0o644))
	g.must("tenant", "delete", "globex")
	var s summary
	check(t, json.Unmarshal([]byte(g.must("backup", path, "--output", "json")), &s))
	info, err = os.Stat(path)
	check(t, err)
	if s.Bytes != info.Size() || info.Mode() != 0o600 || s.Tombstones == 0 || s.Kinds["vm"] != 2 || s.Files != 1 || s.Records < 10 {
		t.Errorf("%+v and %v of %d bytes, want what the file has", s, info.Mode(), info.Size())
	}
	onlyFiles(t, dir, "b")
}

// Whatever is no whole backup does not become FILE, and an older FILE stays.
func TestABackupThatIsNotWhole(t *testing.T) {
	_, path := backedUp(t)
	whole, err := os.ReadFile(path)
	check(t, err)
	tests := map[string]struct {
		answer fasthttp.RequestHandler
		says   string
	}{
		"it breaks off": {func(ctx *fasthttp.RequestCtx) {
			ctx.HijackSetNoResponse(true)
			ctx.Hijack(func(c net.Conn) {
				_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsvmga\r\n"))
			})
		}, "broke off after 5 bytes"},
		"half of it, as if that were all": {func(ctx *fasthttp.RequestCtx) { ctx.SetBody(whole[:len(whole)/2]) }, "not whole"},
		"all but a byte":                  {func(ctx *fasthttp.RequestCtx) { ctx.SetBody(whole[:len(whole)-1]) }, "not whole"},
		"nothing":                         {func(*fasthttp.RequestCtx) {}, "not whole"},
		"a page":                          {func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("<html>") }, "not whole"},
		"an error":                        {func(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(500) }, "not from a gateway"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "b")
			for _, before := range []string{"", "yesterday's"} {
				var left []string
				if before != "" {
					check(t, os.WriteFile(path, []byte(before), 0o600))
					left = []string{"b"}
				}
				r := execute(nil, "backup", path, "--server", "http://"+serve(t, tt.answer), "--user", "root:x")
				if r.exit() != 1 || !strings.Contains(r.err.Error(), "is not written") || !strings.Contains(r.err.Error(), tt.says) || r.out != "" {
					t.Errorf("exit %d, %q, %v; want 1 with %q", r.exit(), r.out, r.err, tt.says)
				}
				onlyFiles(t, dir, left...)
				if text, _ := os.ReadFile(path); string(text) != before {
					t.Errorf("the file has %q, want %q", text, before)
				}
			}
		})
	}
}

func TestTwoBackupsDoNotMakeOneFile(t *testing.T) {
	g := newSample(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "b")
	first, err := newPartial(path)
	check(t, err)
	if r := g.run("backup", path); r.exit() != 1 || !strings.Contains(r.err.Error(), "being written by another") {
		t.Errorf("exit %d, %v; want 1 that says so", r.exit(), r.err)
	}
	// What was opened before it was published is not taken for what is left.
	late, err := os.OpenFile(path+".partial", os.O_RDWR, 0)
	check(t, err)
	defer late.Close()
	check(t, first.publish(path))
	if err := (&partial{late}).claim(path + ".partial"); err == nil {
		t.Error("a published file was claimed")
	}
	check(t, os.Symlink(path, path+".partial"))
	if r := g.run("backup", path); r.exit() != 1 {
		t.Errorf("through a link: exit %d, %v; want 1", r.exit(), r.err)
	}
}

func TestBackupIsForAdministrators(t *testing.T) {
	g := newSample(t)
	check(t, g.table.Update(func(tx *store.Tx) error {
		_, err := tx.PutAccount(store.Account{Name: "watcher", Role: store.RoleViewer, Hash: authtest.CheapHash(password)})
		return err
	}))
	dir := t.TempDir()
	r := execute(nil, "backup", filepath.Join(dir, "b"), "--server", g.server, "--user", "watcher:"+password)
	if r.exit() != 1 || !strings.Contains(r.err.Error(), "403 forbidden") {
		t.Errorf("exit %d, %v; want 403", r.exit(), r.err)
	}
	onlyFiles(t, dir)
	if r := g.run("backup", filepath.Join(dir, "none", "b")); r.exit() != 1 {
		t.Errorf("into a directory that is not there: exit %d, %v; want 1", r.exit(), r.err)
	}
}

func TestAnInterruptedBackupLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	server := serve(t, func(ctx *fasthttp.RequestCtx) {
		ctx.HijackSetNoResponse(true)
		ctx.Hijack(func(c net.Conn) {
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsvmga\r\n"))
			check(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
			_, _ = c.Read(make([]byte, 1)) // until it hangs up
		})
	})
	r := execute(nil, "backup", filepath.Join(dir, "b"), "--server", "http://"+server, "--user", "root:x")
	if r.exit() != 1 || !strings.Contains(r.err.Error(), "is not written") {
		t.Errorf("exit %d, %v; want 1", r.exit(), r.err)
	}
	onlyFiles(t, dir)
}
