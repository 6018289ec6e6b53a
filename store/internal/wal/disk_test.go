package wal

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// disk is a file system in memory that knows what of it would survive if the
// power went now: the sectors and names that were synced, and any part of the
// others. It fails as it is told.
type disk struct {
	names  map[string]*content
	synced map[string]*content // the directory after a power failure
	room   int64               // bytes by which files may still grow
	fail   func(op, name string) error
	rand   *rand.Rand
	calls  int
	grows  int // syncs of more than data
	open   int // files
}

type content struct {
	live  []byte
	kept  []byte // on the platter
	dirty map[int]bool
}

func newDisk() *disk {
	return &disk{
		names: map[string]*content{}, synced: map[string]*content{},
		room: 1 << 40, rand: rand.New(rand.NewPCG(1, 2)),
	}
}

// clone returns a disk with the same files, all of them synced.
func (d *disk) clone() *disk {
	c := newDisk()
	for name, file := range d.names {
		c.put(name, file.live)
	}
	return c
}

func (d *disk) put(name string, b []byte) {
	file := &content{live: slices.Clone(b), kept: slices.Clone(b), dirty: map[int]bool{}}
	d.names[name], d.synced[name] = file, file
}

func (d *disk) call(op, name string) error {
	d.calls++
	if d.fail == nil {
		return nil
	}
	if err := d.fail(op, filepath.Base(name)); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

// failAt makes one call fail: the nth of an operation, from now on.
func (d *disk) failAt(n int, op string, err error) {
	d.fail = func(o, _ string) error {
		if o != op {
			return nil
		}
		n--
		if n == -1 {
			return err
		}
		return nil
	}
}

// crash is a power failure: of what was not synced, any part may be kept.
func (d *disk) crash() {
	for name := range maps.Clone(d.names) {
		if d.synced[name] != d.names[name] && d.rand.IntN(2) == 0 {
			d.synced[name] = d.names[name]
		}
	}
	for name := range maps.Clone(d.synced) {
		if d.names[name] == nil && d.rand.IntN(2) == 0 {
			delete(d.synced, name)
		}
	}
	d.names = maps.Clone(d.synced)
	for _, file := range d.names {
		size := len(file.kept)
		if n := len(file.live); n > size {
			size += d.rand.IntN(n - size + 1)
		} else if n < size && d.rand.IntN(2) == 0 {
			size = n
		}
		file.flush(func(int) bool { return d.rand.IntN(2) == 0 }, size)
		file.live = slices.Clone(file.kept)
	}
}

// flush writes those dirty sectors that keep picks, and sets the size.
func (c *content) flush(keep func(sector int) bool, size int) {
	resize(&c.kept, max(len(c.kept), len(c.live)))
	for s := range c.dirty {
		if keep(s) {
			part := c.kept[min(s*sector, len(c.kept)):min((s+1)*sector, len(c.kept))]
			clear(part)
			copy(part, c.live[min(s*sector, len(c.live)):])
		}
	}
	clear(c.dirty)
	resize(&c.kept, size)
}

func resize(b *[]byte, size int) {
	for len(*b) < size {
		*b = append(*b, 0)
	}
	*b = (*b)[:size]
}

func (d *disk) OpenFile(name string, flag int, _ fs.FileMode) (File, error) {
	if err := d.call("open", name); err != nil {
		return nil, err
	}
	if flag&os.O_CREATE == 0 && name == "d" {
		d.open++
		return &handle{disk: d, name: name, file: &content{}}, nil
	}
	file := d.names[name]
	switch {
	case file != nil && flag&os.O_EXCL != 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrExist}
	case file == nil && flag&os.O_CREATE == 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case file == nil:
		file = &content{dirty: map[int]bool{}}
		d.names[name] = file
	}
	d.open++
	return &handle{disk: d, name: name, file: file, writes: flag&os.O_RDWR != 0}, nil
}

func (d *disk) Names(string) (names []string, err error) {
	for name := range d.names {
		names = append(names, filepath.Base(name))
	}
	return names, d.call("names", "d")
}

func (d *disk) Remove(name string) error {
	if err := d.call("remove", name); err != nil {
		return err
	}
	if d.names[name] == nil {
		return fs.ErrNotExist
	}
	delete(d.names, name)
	return nil
}

// handle is an open file of a disk, or its directory.
type handle struct {
	disk   *disk
	name   string
	file   *content
	writes bool
	closed bool
}

func (h *handle) check(op string, writes bool) error {
	if h.closed {
		return &fs.PathError{Op: op, Path: h.name, Err: fs.ErrClosed}
	}
	if writes && !h.writes {
		return &fs.PathError{Op: op, Path: h.name, Err: syscall.EBADF}
	}
	return h.disk.call(op, h.name)
}

func (h *handle) ReadAt(p []byte, offset int64) (int, error) {
	if err := h.check("read", false); err != nil {
		return 0, err
	}
	n := copy(p, h.file.live[min(int(offset), len(h.file.live)):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes half of what it should if it fails, or as much as there is room for.
func (h *handle) WriteAt(p []byte, offset int64) (int, error) {
	err := h.check("write", true)
	if errors.Is(err, fs.ErrClosed) {
		return 0, err
	}
	n := len(p)
	if err != nil {
		n /= 2
	}
	grown := max(0, int(offset)+n-len(h.file.live))
	if lack := grown - int(h.disk.room); lack > 0 {
		n, grown = n-lack, grown-lack
		err = &fs.PathError{Op: "write", Path: h.name, Err: syscall.ENOSPC}
	}
	h.disk.room -= int64(grown)
	resize(&h.file.live, max(len(h.file.live), int(offset)+n))
	copy(h.file.live[offset:], p[:n])
	for s := int(offset) / sector; s*sector < int(offset)+n; s++ {
		h.file.dirty[s] = true
	}
	return n, err
}

func (h *handle) Truncate(size int64) error {
	if err := h.check("truncate", true); err != nil {
		return err
	}
	if n := int64(len(h.file.live)); size < n {
		h.disk.room += n - size
		h.file.dirty[int(size)/sector] = true
	}
	resize(&h.file.live, int(size))
	return nil
}

// Sync forgets, when it fails, that there was something to write: a second one
// does not write it either. That is what Linux does.
func (h *handle) Sync() error {
	op := "sync"
	if h.name == "d" {
		op = "syncdir"
	}
	err := h.check(op, false)
	switch {
	case h.name == "d" && err == nil:
		h.disk.synced = maps.Clone(h.disk.names)
	case h.name != "d" && err == nil:
		h.disk.grows++
		h.file.flush(func(int) bool { return true }, len(h.file.live))
	case h.name != "d" && !h.closed:
		h.file.flush(func(int) bool { return h.disk.rand.IntN(2) == 0 }, len(h.file.kept))
	}
	return err
}

func (h *handle) SyncData() error {
	err := h.check("sync", false)
	if err == nil {
		h.file.flush(func(int) bool { return true }, len(h.file.kept))
	} else if !h.closed {
		h.file.flush(func(int) bool { return h.disk.rand.IntN(2) == 0 }, len(h.file.kept))
	}
	return err
}

func (h *handle) Size() (int64, error) {
	return int64(len(h.file.live)), h.check("size", false)
}

func (h *handle) Chmod(fs.FileMode) error { return h.check("chmod", false) }

func (h *handle) Close() error {
	if h.closed {
		return fs.ErrClosed
	}
	h.closed = true
	h.disk.open--
	return nil
}
