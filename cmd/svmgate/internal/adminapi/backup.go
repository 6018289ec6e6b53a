package adminapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"strconv"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/spool"
	"github.com/svmgate/svmgate/store"
)

// backupType is what a backup is on the wire.
const backupType = "application/octet-stream"

// backup streams a copy of the table. Only an administrator gets one: it has the
// hashes of passwords and tokens. An error within the stream closes the
// connection before the last chunk, so that nobody takes it for the end.
func (a *API) backup(c *call) error {
	name := "svmgate-" + time.Now().UTC().Format("20060102T150405Z") + ".backup"
	c.ctx.SetContentType(backupType)
	c.ctx.Response.Header.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	if c.ctx.IsHead() {
		c.ctx.Response.Header.SetContentLength(-1) // in chunks, as it would come
		return nil
	}
	if !a.backups.TryLock() {
		c.ctx.Response.Header.Del("Content-Disposition")
		return isRunning("backup")
	}
	if err := c.download(a.writeBackup); err != nil {
		c.ctx.Response.Header.Del("Content-Disposition")
		return err
	}
	c.note(audit.Entry{Type: "backup", Message: "took a backup of the table"})
	return nil
}

// isRunning refuses to do twice at once what takes much of disk and memory.
func isRunning(what string) error {
	return refuse(409, "another_is_running", "another "+what+" is running: try again when it has ended")
}

// writeBackup ends the backup before the client can know that it has: he may ask
// for the next.
func (a *API) writeBackup(to io.Writer) error {
	w := bufio.NewWriterSize(to, downloadBuffer)
	err := a.copyTo(context.Background(), w) // which ends when the pipe is closed
	if err == nil {
		err = w.Flush()
	}
	if err != nil && !errors.Is(err, io.ErrClosedPipe) { // which is a client that has gone
		a.log.Error("a backup broke off", "reason", err.Error())
	}
	a.backups.Unlock()
	return err
}

// restore applies a backup as new changes once it has arrived whole and was found
// sound.
func (a *API) restore(c *call) error {
	asNew, err := c.boolParameter("as-new")
	if err != nil {
		return err
	}
	if !asNew {
		return badParameter("as-new", string(c.ctx.QueryArgs().Peek("as-new")),
			"true: a running gateway takes a backup as new changes only; an empty directory is filled by `svmgate restore` without it")
	}
	contentType := string(c.ctx.Request.Header.ContentType())
	if media, _, err := mime.ParseMediaType(contentType); err != nil || media != backupType {
		return refuse(415, "unsupported_media_type", "the body must be a backup as "+backupType+"; Content-Type says "+strconv.Quote(contentType))
	}
	arriving := arrival{"backup", a.maxRestore, "restore it into an empty directory"}
	body, err := c.announced(arriving)
	if err != nil {
		return err
	}
	if !a.restores.TryLock() {
		return isRunning("restore")
	}
	defer a.restores.Unlock()
	kept, err := spool.Read(body, a.maxRestore, "")
	switch {
	case body.Err != nil:
		return endedEarly(body.Err)
	case err != nil:
		return refuse(507, "no_room", fmt.Sprintf("nothing was changed: the temporary directory needs %d bytes; set TMPDIR: %v",
			c.ctx.Request.Header.ContentLength(), err))
	}
	defer kept.Close()
	if _, err := store.CheckBackup(kept, kept.Size(), nil); err != nil {
		return refuse(400, "invalid_backup", "nothing was changed: "+err.Error())
	}
	s, err := a.table.RestoreAsNew(kept, kept.Size())
	if s.Records > 0 {
		c.note(audit.Entry{Type: "restore", Message: "restored a backup as new changes", After: s})
	}
	if errors.Is(err, store.ErrBackup) {
		return refuse(400, "invalid_backup", err.Error())
	}
	if errors.Is(err, store.ErrReadOnly) || errors.Is(err, store.ErrFull) {
		return refuse(507, "restore_stopped", fmt.Sprintf("stopped before the end; restoring the whole again later is harmless: %v", err))
	}
	if err != nil {
		return err
	}
	if s.Kinds == nil {
		s.Kinds = map[store.Kind]int64{}
	}
	return c.answer(200, s)
}
