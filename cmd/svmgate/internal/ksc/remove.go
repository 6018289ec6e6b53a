package ksc

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Remove removes what was made of site, in the reverse order, whatever state it is in:
// afterwards nothing of it is left, and nothing else has changed. It may be called again
// and again; if nothing was made, or all is gone, it returns nil. The folder of the
// tenant goes with what others have put into it. If note is nil, nothing is noted.
//
// Errors are those of [Servers.Make]; what is left then, another Remove removes.
func (s *Servers) Remove(ctx context.Context, site Site, note Note) error {
	if !site.Begun {
		return nil
	}
	c, err := s.find(site.KSC)
	if err != nil {
		return err
	}
	w, err := c.start(ctx, site, note)
	if err != nil {
		return err
	}
	defer w.end()
	w.site.Removing = true
	for _, step := range []func(context.Context) error{w.removeAccount, w.removeServers, w.removeFolder} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// ours reports whether a virtual server is the site's.
func (s Site) ours(v vserver) bool {
	known := s.ServerID != 0 && v.ID == s.ServerID && (v.UID == s.Server || v.UID == "" || s.Server == "")
	return known || s.marked(v.Name) || s.marked(v.Description)
}

// ourServers returns the ids of the site's virtual servers: one, unless a call was
// carried out after we had given it up.
func (w *work) ourServers(ctx context.Context) (ids []int64, err error) {
	list, err := w.link.vservers(ctx)
	for _, v := range list {
		if w.site.ours(v) {
			ids = append(ids, v.ID)
		}
	}
	return ids, err
}

// ourUsers returns the ids of the site's accounts: one, likewise.
func (w *work) ourUsers(ctx context.Context) (ids []int64, err error) {
	list, err := w.link.users(ctx)
	for _, u := range list {
		if w.site.marked(u.Description) || w.site.UserID != 0 && u.ID == w.site.UserID && u.Name == w.site.User {
			ids = append(ids, u.ID)
		}
	}
	return ids, err
}

// removeAccount deletes the account where it was made, on the virtual server. If that can
// not be, it may be possible once the virtual server is gone: see removeServers.
func (w *work) removeAccount(ctx context.Context) error {
	if err := w.announce(ctx, StageRemoveAccount, 5); err != nil {
		return err
	}
	users, err := again(ctx, w.center, w.ourUsers)
	if err != nil || len(users) == 0 {
		return err
	}
	servers, err := again(ctx, w.center, w.ourServers)
	if err != nil || len(servers) == 0 {
		return err
	}
	virtual, err := w.visit(ctx)
	if err == nil {
		defer virtual.close()
		err = w.gone(ctx, "the account", w.ourUsers, virtual.deleteUser)
	}
	if err != nil && ctx.Err() == nil {
		w.log.Debug("ksc: the account outlives its virtual server", "ksc", w.url, "error", err)
		return nil
	}
	return err
}

// removeServers removes the virtual server, and the account if it is still there.
func (w *work) removeServers(ctx context.Context) error {
	if err := w.announce(ctx, StageRemoveServer, 25); err != nil {
		return err
	}
	if err := w.gone(ctx, "the virtual server", w.ourServers, w.removeServer); err != nil {
		return err
	}
	return w.gone(ctx, "the account", w.ourUsers, w.link.deleteUser)
}

func (w *work) removeServer(ctx context.Context, id int64) error {
	guid, err := w.link.delVServer(ctx, id)
	if err != nil {
		return err
	}
	return w.link.finish(ctx, "VServers.DelVServer", guid)
}

// removeFolder removes the tenant's folder, and the folder of all tenants if it was the
// last.
func (w *work) removeFolder(ctx context.Context) error {
	if err := w.announce(ctx, StageRemoveFolder, 75); err != nil {
		return err
	}
	err := w.gone(ctx, "the folder", w.ourFolders, func(ctx context.Context, id int64) error {
		return w.removeGroup(ctx, id, withAllIn)
	})
	if err != nil {
		return err
	}
	var kept error
	err = w.gone(ctx, "the folder of all tenants", func(ctx context.Context) ([]int64, error) {
		root, folders, err := w.folders(ctx)
		if err != nil || root == noGroup || len(folders) > 0 {
			return nil, err
		}
		return []int64{root}, nil
	}, func(ctx context.Context, root int64) error {
		kept = w.removeGroup(ctx, root, onlyEmpty)
		return kept
	})
	if refused(kept) && errors.Is(err, kept) {
		return nil // somebody keeps something in it: policies, tasks
	}
	return err
}

// ourFolders returns the ids of the site's folders: one, likewise. An id alone is no proof:
// a KSC that was restored from a backup gives it to another. So a folder that somebody
// has given another name stays.
func (w *work) ourFolders(ctx context.Context) (ids []int64, err error) {
	_, folders, err := w.folders(ctx)
	for _, g := range folders {
		if w.site.marked(g.Name) || w.site.Folder != 0 && g.ID == w.site.Folder && strings.EqualFold(g.Name, w.site.Name) {
			ids = append(ids, g.ID)
		}
	}
	return ids, err
}

func (w *work) removeGroup(ctx context.Context, id int64, flags int) error {
	guid, err := w.link.removeGroup(ctx, id, flags)
	if err != nil {
		return err
	}
	return w.link.finish(ctx, "HostGroup.RemoveGroup", guid)
}

// gone removes what there returns the ids of, until there is nothing. It gives up when
// KSC has refused [Config].Attempts times, or [Config].ActionTimeout has passed. While
// it is in doubt whether an earlier attempt goes on, refusals do not count.
func (w *work) gone(ctx context.Context, what string, there func(context.Context) ([]int64, error), remove func(context.Context, int64) error) error {
	slow := fmt.Errorf("%w: %s: %s is not gone after %v", ErrUnreachable, w.url, what, w.cfg.ActionTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, w.cfg.ActionTimeout, slow)
	defer cancel()
	doubt, tries := false, 0
	for {
		ids, err := again(ctx, w.center, there)
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			if err = remove(ctx, id); err != nil {
				break
			}
		}
		doubt = doubt || errors.Is(err, ErrUnreachable)
		tries++
		switch {
		case err == nil && tries < w.cfg.Attempts:
			continue
		case err == nil:
			err = fmt.Errorf("%w: %s: %s was removed, and is still there", ErrUnreachable, w.url, what)
		case ctx.Err() != nil:
			return err
		}
		if tries >= w.cfg.Attempts && !doubt {
			return err
		}
		if err := w.pause(ctx, tries, err); err != nil {
			return err
		}
	}
}
