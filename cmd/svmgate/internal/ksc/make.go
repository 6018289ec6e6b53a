package ksc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// work is one Make or Remove.
type work struct {
	*center
	link *link // to the main server
	site Site
	note Note
}

// start begins work on a site; end must follow.
func (c *center) start(ctx context.Context, site Site, note Note) (*work, error) {
	if err := enter(ctx, c.room); err != nil {
		return nil, err
	}
	return &work{center: c, link: c.borrow(), site: site, note: note}, nil
}

func (w *work) end() {
	w.back(w.link)
	<-w.room
}

// announce notes the site as it is, before stage is done.
func (w *work) announce(ctx context.Context, stage string, percent int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if w.note == nil {
		return nil
	}
	return w.note(stage, percent, w.site)
}

// Make makes what site asks for, on the KSC it names, or on the one with the most room:
// the folder "Multitenancy KSV LA"/name, the virtual server in it, and on that the account
// with the rights of a main administrator. It returns the site as it is then; password is
// not kept. If Make fails, what it made stays: call Remove with the site noted last. A
// site can be made once. If note is nil, nothing is noted.
//
// Errors are those of note and ctx, [ErrFull], [ErrNameTaken], [ErrUserExists],
// [ErrUnreachable], [ErrCredentials] or an [*Error].
func (s *Servers) Make(ctx context.Context, site Site, password []byte, note Note) (Site, error) {
	if err := site.check(); err != nil {
		return site, err
	}
	if len(password) == 0 || !utf8.Valid(password) {
		return site, errors.New("ksc: the password of the account is empty, or not UTF-8")
	}
	p, err := s.choose(ctx, site)
	if err != nil {
		return site, err
	}
	defer p.over.Store(true)
	site.KSC = p.center.url
	w, err := p.center.start(ctx, site, note)
	if err != nil {
		return site, err
	}
	defer w.end()
	for _, step := range []func(context.Context) error{
		w.checkNames,
		w.makeFolder,
		func(ctx context.Context) error { return w.makeServer(ctx, p) },
		func(ctx context.Context) error { return w.makeAccount(ctx, secret(password)) },
		w.grant,
	} {
		if err := step(ctx); err != nil {
			return w.site, err
		}
	}
	return w.site, nil
}

// set calls fn, which says how something should be, as [again] does.
func (w *work) set(ctx context.Context, fn func(context.Context) error) error {
	_, err := again(ctx, w.center, func(ctx context.Context) (struct{}, error) { return struct{}{}, fn(ctx) })
	return err
}

// create calls add, which makes something of which there must be one, until it succeeds.
// Once an attempt has left it in doubt whether it did, ours is asked for what carries our
// mark. It returns the ids of that, or of what add made.
func (w *work) create(ctx context.Context, add func(context.Context) (int64, error), ours func(context.Context) ([]int64, error)) ([]int64, error) {
	doubt := false
	for try := 1; ; try++ {
		id, err := add(ctx)
		if err == nil && !doubt {
			return []int64{id}, nil
		}
		doubt = doubt || errors.Is(err, ErrUnreachable)
		if err != nil && ctx.Err() == nil && (passing(err) || doubt) {
			if failed := w.pause(ctx, try, err); failed != nil {
				return nil, failed
			}
		}
		if doubt {
			ids, failed := again(ctx, w.center, ours)
			if failed != nil || len(ids) > 0 {
				return ids, failed
			}
			if err == nil {
				return []int64{id}, nil
			}
		}
		if err != nil && (!passing(err) || try >= w.cfg.Attempts) {
			return nil, err
		}
	}
}

// makeServer makes the virtual server under a name that nobody else has, and names it
// once KSC has told by what it is known.
func (w *work) makeServer(ctx context.Context, p *place) error {
	if err := w.announce(ctx, StageServer, 25); err != nil {
		return err
	}
	ids, err := w.create(ctx, func(ctx context.Context) (int64, error) {
		return w.link.addVServer(ctx, w.site.token(), w.site.Folder)
	}, w.ourServers)
	if is(err, codeLimit) {
		return fmt.Errorf("%w: %s: %w", ErrFull, w.url, err)
	}
	if err != nil {
		return err
	}
	id := slices.Min(ids)
	p.server.Store(id)
	for _, extra := range ids {
		if extra == id {
			continue
		}
		if err := w.removeServer(ctx, extra); err != nil {
			return err
		}
	}
	describe := func(ctx context.Context) (vserver, error) { return w.link.vserver(ctx, id) }
	v, err := again(ctx, w.center, describe)
	if err != nil {
		return err
	}
	w.site.Server, w.site.ServerID = v.UID, id
	if err := w.announce(ctx, StageNameServer, 45); err != nil {
		return err
	}
	return w.nameServer(ctx, describe)
}

// nameServer writes the mark into the virtual server's description, and then gives it the
// name that is wanted.
func (w *work) nameServer(ctx context.Context, describe func(context.Context) (vserver, error)) error {
	update := func(attribute, text string) error {
		return w.set(ctx, func(ctx context.Context) error {
			return w.link.updateVServer(ctx, w.site.ServerID, map[string]any{attribute: text})
		})
	}
	if err := update("KLVSRV_VS_DESCR", w.site.token()); err != nil && !refused(err) {
		return err
	}
	if err := update("KLVSRV_DN", w.site.Name); err != nil {
		return err
	}
	v, err := again(ctx, w.center, describe)
	if err != nil {
		return err
	}
	if v.Name != w.site.Name {
		return fmt.Errorf("%w: %s named the virtual server %q instead of %q", ErrNameTaken, w.url, v.Name, w.site.Name)
	}
	return nil
}

// makeAccount makes the account on the virtual server.
func (w *work) makeAccount(ctx context.Context, password secret) error {
	if err := w.announce(ctx, StageAccount, 60); err != nil {
		return err
	}
	virtual, err := w.visit(ctx)
	if err != nil {
		return err
	}
	defer virtual.close()
	protected, err := again(ctx, w.center, func(ctx context.Context) (secret, error) { return virtual.protect(ctx, password) })
	if err != nil {
		return err
	}
	ids, err := w.create(ctx, func(ctx context.Context) (int64, error) {
		return virtual.addUser(ctx, w.site.User, w.site.token(), protected)
	}, w.ourUsers)
	if refused(err) {
		err = because(w.userTaken(ctx), err)
	}
	if err != nil {
		return err
	}
	w.site.UserID = slices.Min(ids)
	return w.announce(ctx, StageRights, 80)
}

// visit logs in to the site's virtual server. That may fail for a while after it was made.
func (w *work) visit(ctx context.Context) (*link, error) {
	l := newLink(w.center, w.site.Server)
	for try := 1; ; try++ {
		err := l.login(ctx)
		if err == nil {
			return l, nil
		}
		if ctx.Err() != nil || try >= w.cfg.Attempts || !passing(err) && !errors.Is(err, ErrCredentials) {
			l.close()
			return nil, err
		}
		if err := w.pause(ctx, try, err); err != nil {
			l.close()
			return nil, err
		}
	}
}

// grant gives the account every right on its virtual server that there is, and leaves
// the rights of others as they are.
func (w *work) grant(ctx context.Context) error {
	return w.set(ctx, func(ctx context.Context) error {
		p, err := w.link.permissions(ctx, w.site.ServerID)
		if err != nil {
			return err
		}
		if p.Possible == 0 {
			return &Error{Method: "VServers.GetPermissions", Module: "svmgate", Message: "KLSPL_POSSIBLE_RIGHTS names no right"}
		}
		if err := p.add(permission{User: w.site.UserID, Allow: p.Possible}); err != nil {
			return err
		}
		return w.link.setPermissions(ctx, w.site.ServerID, p)
	})
}
