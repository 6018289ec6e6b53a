package adminapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/fence"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/spool"
	"github.com/svmgate/svmgate/store"
)

const restoreAsNew = "/v1/restore?as-new=true"

func (g *gateway) backup() answer {
	g.t.Helper()
	return g.must(200, "GET", "/v1/backup", "")
}

func TestABackupBringsBackWhatWasLost(t *testing.T) {
	w := newWorld(t)
	backup := w.backup()
	if got := backup.header.Get("Content-Type"); got != "application/octet-stream" {
		t.Errorf("Content-Type %q", got)
	}
	if got := backup.header.Get("Content-Disposition"); !regexp.MustCompile(`^attachment; filename="svmgate-\d{8}T\d{6}Z\.backup"$`).MatchString(got) {
		t.Errorf("Content-Disposition %q, want a name with the time", got)
	}
	tenant, svm, vm := "/v1/tenants/"+w.tenant.String(), "/v1/svms/"+ownSVM.String(), "/v1/vms/"+w.vm.String()
	w.must(200, "PATCH", tenant, `{"description":"a mistake"}`)
	w.must(204, "DELETE", vm, "")
	w.must(204, "DELETE", svm, "")
	w.must(201, "PUT", "/v1/vms/00000000-0000-0000-0000-0000000000b9", `{"name":"since then"}`)

	var got struct {
		Records    int
		Tombstones *int
		Kinds      map[string]int
	}
	w.must(200, "POST", restoreAsNew, backup.body, "Content-Type", backupType).json(t, &got)
	if got.Kinds["tenant"] != 1 || got.Kinds["vm"] != 1 || got.Kinds["account"] != 4 || got.Records < 8 || got.Tombstones == nil {
		t.Errorf("%+v, want a tenant, a VM and four accounts", got)
	}
	var tn struct{ Name, Description string }
	w.must(200, "GET", tenant, "").json(t, &tn)
	if tn.Name != "acme" || tn.Description != "" {
		t.Errorf("the tenant is %+v, want it as it was backed up", tn)
	}
	var v struct{ Name, Tenant string }
	w.must(200, "GET", vm, "").json(t, &v)
	if v.Name != "web-1" || v.Tenant != w.tenant.String() {
		t.Errorf("the VM is %+v, want web-1 of %s", v, w.tenant)
	}
	w.must(200, "GET", svm, "")
	w.must(200, "GET", "/v1/vms/00000000-0000-0000-0000-0000000000b9", "") // what the backup does not have stays
}

// A name that somebody else has by now is not taken from him.
func TestRestoreOfATakenName(t *testing.T) {
	w := newWorld(t)
	backup := w.backup().body
	w.must(204, "DELETE", "/v1/tenants/"+w.tenant.String(), "")
	w.must(201, "POST", "/v1/tenants", `{"name":"acme"}`)
	before := w.table.Stats().Revision
	if a := w.do("POST", restoreAsNew, backup, "Content-Type", backupType); a.status != 409 || a.code() != "exists" || !strings.Contains(a.body, "acme") {
		t.Errorf("%d %s, want 409 that names acme", a.status, a.body)
	}
	if after := w.table.Stats().Revision; after != before {
		t.Errorf("revision %d, want %d: something was written", after, before)
	}
}

// What is no whole backup changes nothing, and the answer says what is wrong.
func TestHostileRestores(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxRestore = 64 << 10 })
	whole := w.backup().body
	before := w.table.Stats().Revision
	flipped := []byte(whole)
	flipped[len(flipped)/2] ^= 1
	tests := []struct {
		name, query, contentType, body string
		status                         int
		code, detail                   string
	}{
		{"not as new", "", backupType, whole, 400, "invalid_parameter", "empty directory"},
		{"as new or not", "?as-new=false", backupType, whole, 400, "invalid_parameter", "as-new"},
		{"as new, perhaps", "?as-new=1", backupType, whole, 400, "invalid_parameter", "true or false"},
		{"another parameter", "?as-new=true&dir=/", backupType, whole, 400, "unknown_parameter", "dir"},
		{"another type", "?as-new=true", "application/json", whole, 415, "unsupported_media_type", backupType},
		{"no type", "?as-new=true", "", whole, 415, "unsupported_media_type", backupType},
		{"nothing", "?as-new=true", backupType, "", 400, "invalid_backup", "nothing was changed"},
		{"another file", "?as-new=true", backupType, inventoryYAML, 400, "invalid_backup", "nothing was changed"},
		{"without its end", "?as-new=true", backupType, whole[:len(whole)-1], 400, "invalid_backup", "nothing was changed"},
		{"half of it", "?as-new=true", backupType, whole[:len(whole)/2], 400, "invalid_backup", "nothing was changed"},
		{"a flipped bit", "?as-new=true", backupType, string(flipped), 400, "invalid_backup", "byte "},
		{"too large", "?as-new=true", backupType, whole + strings.Repeat("\x00", 64<<10), 413, "body_too_large", "65536 bytes"},
	}
	for _, tt := range tests {
		a := w.do("POST", "/v1/restore"+tt.query, tt.body, "Content-Type", tt.contentType)
		if a.status != tt.status || a.code() != tt.code || !strings.Contains(detail(t, a), tt.detail) {
			t.Errorf("%s: %d %s\nwant %d %s with %q", tt.name, a.status, a.body, tt.status, tt.code, tt.detail)
		}
	}
	req, err := http.NewRequest("POST", "http://gateway"+restoreAsNew, struct{ io.Reader }{strings.NewReader(whole)})
	check(t, err)
	req.SetBasicAuth("root", password)
	req.Header.Set("Content-Type", backupType)
	resp, err := w.client.Do(req)
	check(t, err)
	resp.Body.Close()
	if resp.StatusCode != 411 {
		t.Errorf("in chunks: %s, want 411", resp.Status)
	}
	if after := w.table.Stats().Revision; after != before {
		t.Errorf("revision %d, want %d: something was written", after, before)
	}
}

// TestACutRestoreChangesNothing ends the connection before the body has ended.
func TestACutRestoreChangesNothing(t *testing.T) {
	addr, g := newSocketGateway(t)
	g.must(201, "POST", "/v1/tenants", `{"name":"acme"}`)
	backup := g.backup().body
	before := g.table.Stats().Revision
	for _, send := range []int{0, 1, len(backup) / 2, len(backup)} {
		got := sendRaw(t, addr, restoreAsNew, backupType, fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(backup)+1, backup[:send]))
		if got.status != 400 || got.code() != "invalid_body" && got.code() != "malformed_body" {
			t.Errorf("%d of %d bytes: %d %s, want 400 that says so", send, len(backup)+1, got.status, got.body)
		}
	}
	if after := g.table.Stats().Revision; after != before {
		t.Errorf("revision %d, want %d: something was written", after, before)
	}
}

func TestRestoreOnAFullDisk(t *testing.T) {
	journal := &fullJournal{}
	w := newWorldOn(t, store.Config{Journal: journal})
	backup := w.backup().body // which needs no disk
	journal.fail = fmt.Errorf("%w: %w", store.ErrReadOnly, syscall.ENOSPC)
	a := w.do("POST", restoreAsNew, backup, "Content-Type", backupType)
	if a.status != 507 || a.code() != "restore_stopped" || !strings.Contains(a.body, "no space left") {
		t.Errorf("%d %s, want 507 that says why", a.status, a.body)
	}
}

// serveBackup serves an API on a socket, as the daemon does, that writes backups
// with write.
func serveBackup(t *testing.T, log io.Writer, write func(io.Writer) error) (get func() (*http.Response, error)) {
	t.Helper()
	var api *API
	newGateway(t, func(c *Config) {
		var err error
		c.Log = slog.New(slog.NewTextHandler(log, nil))
		api, err = New(*c)
		check(t, err)
	})
	api.copyTo = func(_ context.Context, w io.Writer) error { return write(w) }
	addr := serveSocket(t, fence.Wrap(api.Handler, api.MayStream))
	return func() (*http.Response, error) {
		req, err := http.NewRequest("GET", "http://"+addr+"/v1/backup", nil)
		check(t, err)
		req.SetBasicAuth("root", password)
		return (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}).Do(req)
	}
}

// A backup that breaks off must not look whole to a client that does not look
// into it.
func TestABackupThatBreaksOff(t *testing.T) {
	for _, size := range []int{1, 100, 4096, 1 << 20} {
		logged := make(lines, 1)
		get := serveBackup(t, logged, func(w io.Writer) error {
			if _, err := w.Write(make([]byte, size)); err != nil {
				return err
			}
			if f, ok := w.(interface{ Flush() error }); ok {
				check(t, f.Flush())
			}
			return errors.New("sector 17 is on fire")
		})
		resp, err := get()
		check(t, err)
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || !errors.Is(err, io.ErrUnexpectedEOF) || n > int64(size) {
			t.Errorf("%d bytes: %s, then %d and %v; want an unexpected end", size, resp.Status, n, err)
		}
		select {
		case line := <-logged:
			if !strings.Contains(line, "sector 17") {
				t.Errorf("%d bytes: log %q, want the reason", size, line)
			}
		case <-time.After(time.Minute):
			t.Errorf("%d bytes: nothing was logged", size)
		}
	}
}

// lines is a log whose lines are waited for: a client may see the end of its
// connection before the line is written.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

func TestABackupThatFailsAtOnce(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
	}{{store.ErrClosed, 503}, {errors.New("sector 17"), 500}} {
		get := serveBackup(t, io.Discard, func(io.Writer) error { return tt.err })
		resp, err := get()
		check(t, err)
		resp.Body.Close()
		if resp.StatusCode != tt.status || resp.Header.Get("Content-Disposition") != "" {
			t.Errorf("%v: %s, %v; want %d and no file", tt.err, resp.Status, resp.Header, tt.status)
		}
	}
}

// A client that goes away ends the backup it asked for.
func TestABackupNobodyTakes(t *testing.T) {
	ended := make(chan error, 1)
	get := serveBackup(t, io.Discard, func(w io.Writer) error {
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				ended <- err
				return err
			}
		}
	})
	resp, err := get()
	check(t, err)
	resp.Body.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("the backup goes on")
	}
}

// A backup does not fit into what is read with a request's headers.
func TestWhatStreams(t *testing.T) {
	var api *API
	newGateway(t, func(c *Config) {
		var err error
		api, err = New(*c)
		check(t, err)
	})
	for request, want := range map[string]bool{
		"POST /v1/import": true, "POST /v1/restore": true, "PUT /v1/restore": false, "GET /v1/backup": false, "POST /v1/tenants": false,
	} {
		var ctx fasthttp.RequestCtx
		method, path, _ := strings.Cut(request, " ")
		ctx.Request.Header.SetMethod(method)
		ctx.Request.SetRequestURI(path + "?as-new=true")
		if got := api.MayStream(&ctx); got != want {
			t.Errorf("%s may stream is %v, want %v", request, got, want)
		}
	}
}

// Backups and restores take much of disk and memory: there is one of each at a
// time, and the next when it has ended.
func TestOneBackupAtATime(t *testing.T) {
	goOn := make(chan struct{})
	get := serveBackup(t, io.Discard, func(w io.Writer) error {
		if _, err := w.Write(make([]byte, 100<<10)); err != nil { // more than is read before the answer begins
			return err
		}
		<-goOn
		return nil
	})
	first, err := get()
	check(t, err)
	defer first.Body.Close()
	second, err := get()
	check(t, err)
	body, err := io.ReadAll(second.Body)
	check(t, err)
	second.Body.Close()
	if second.StatusCode != 409 || !strings.Contains(string(body), `"another_is_running"`) || second.Header.Get("Content-Disposition") != "" {
		t.Errorf("the second: %s %s, want 409 that says so", second.Status, body)
	}
	close(goOn)
	for range 3 { // each as soon as the one before has ended
		_, err = io.Copy(io.Discard, first.Body)
		check(t, err)
		first.Body.Close()
		first, err = get()
		check(t, err)
		if first.StatusCode != 200 {
			t.Fatalf("the next: %s", first.Status)
		}
	}
}

func TestOneRestoreAtATime(t *testing.T) {
	var api *API
	g := newGateway(t, func(c *Config) {
		var err error
		api, err = New(*c)
		check(t, err)
	})
	addr, backup := serveSocket(t, fence.Wrap(api.Handler, api.MayStream)), g.backup().body
	restore := func() answer {
		return sendRaw(t, addr, restoreAsNew, backupType, fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(backup), backup))
	}
	api.restores.Lock() // as one does whose body is arriving
	if a := restore(); a.status != 409 || a.code() != "another_is_running" {
		t.Errorf("%d %s, want 409 that says so", a.status, a.body)
	}
	api.restores.Unlock()
	for range 2 { // each when the one before has ended
		if a := restore(); a.status != 200 {
			t.Errorf("%d %s, want 200", a.status, a.body)
		}
	}
}

// A body that the temporary directory does not take is the administrator's to mend.
func TestRestoreWithoutATemporaryDirectory(t *testing.T) {
	w := newWorld(t)
	t.Setenv("TMPDIR", "/dev/null/nowhere")
	body := strings.Repeat("x", spool.MaxMemory+1)
	a := w.do("POST", restoreAsNew, body, "Content-Type", backupType)
	if a.status != 507 || a.code() != "no_room" || !strings.Contains(detail(t, a), fmt.Sprintf("needs %d bytes; set TMPDIR", len(body))) {
		t.Errorf("%d %s, want 507 that says what to do", a.status, a.body)
	}
}
