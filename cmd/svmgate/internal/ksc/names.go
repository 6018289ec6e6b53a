package ksc

import (
	"context"
	"fmt"
	"strings"
)

// checkNames finds out, before anything is made, whether a name is taken.
func (w *work) checkNames(ctx context.Context) error {
	servers, err := again(ctx, w.center, w.link.vservers)
	if err != nil {
		return err
	}
	for _, v := range servers {
		if strings.EqualFold(v.Name, w.site.Name) {
			return fmt.Errorf("%w: %s has a virtual server %q", ErrNameTaken, w.url, v.Name)
		}
	}
	if err := w.userTaken(ctx); err != nil {
		return err
	}
	_, folders, err := w.folders(ctx)
	if err != nil {
		return err
	}
	return w.folderTaken(folders)
}

// userTaken returns [ErrUserExists] if somebody else has the account's name.
func (w *work) userTaken(ctx context.Context) error {
	users, err := again(ctx, w.center, w.link.users)
	if err != nil {
		return err
	}
	for _, u := range users {
		if strings.EqualFold(u.Name, w.site.User) && !w.site.marked(u.Description) {
			return fmt.Errorf("%w: %s has an account %q", ErrUserExists, w.url, u.Name)
		}
	}
	return nil
}

// folderTaken returns [ErrNameTaken] if one of the tenants' folders has the name.
func (w *work) folderTaken(folders []group) error {
	for _, g := range folders {
		if strings.EqualFold(g.Name, w.site.Name) && g.ID != w.site.Folder {
			return fmt.Errorf("%w: %s has a folder %q in %q", ErrNameTaken, w.url, g.Name, RootFolder)
		}
	}
	return nil
}

// folders returns the tenants' folders, and the folder that they are in: noGroup if there
// is none.
func (w *work) folders(ctx context.Context) (root int64, folders []group, err error) {
	managed, err := again(ctx, w.center, w.link.managed)
	if err != nil {
		return noGroup, nil, err
	}
	for try := 1; ; try++ {
		root, err = w.root(ctx, managed)
		if err != nil || root == noGroup {
			return noGroup, nil, err
		}
		folders, err = again(ctx, w.center, func(ctx context.Context) ([]group, error) { return w.link.subgroups(ctx, root) })
		if !refused(err) || try >= w.cfg.Attempts {
			return root, folders, err
		}
		// It may have been removed since: by an action that we gave up, or by another gateway.
		if now, failed := w.root(ctx, managed); failed != nil || now == root {
			return root, nil, err
		}
	}
}

// root returns the id of the folder of all tenants.
func (w *work) root(ctx context.Context, managed int64) (int64, error) {
	return again(ctx, w.center, func(ctx context.Context) (int64, error) { return w.link.groupID(ctx, managed, RootFolder) })
}

// because adds why KSC refused something, if that is known.
func because(why, refusal error) error {
	if why == nil {
		return refusal
	}
	return fmt.Errorf("%w: %w", why, refusal)
}

// makeFolder makes the tenant's folder under a name that nobody else has, so that it is
// ours beyond doubt, and names it then.
func (w *work) makeFolder(ctx context.Context) error {
	w.site.Begun = true
	if err := w.announce(ctx, StageFolder, 5); err != nil {
		return err
	}
	managed, err := again(ctx, w.center, w.link.managed)
	if err != nil {
		return err
	}
	add := func(parent int64, name string) (int64, error) {
		return again(ctx, w.center, func(ctx context.Context) (int64, error) { return w.link.addGroup(ctx, parent, name) })
	}
	for try := 1; ; try++ {
		root, err := add(managed, RootFolder)
		if err != nil {
			return err
		}
		if w.site.Folder, err = add(root, w.site.token()); err == nil {
			break
		}
		// Whoever removed the last tenant may have removed root meanwhile.
		now, failed := w.root(ctx, managed)
		if failed != nil || now == root || try >= w.cfg.Attempts {
			return err
		}
	}
	if err := w.announce(ctx, StageNameFolder, 15); err != nil {
		return err
	}
	err = w.set(ctx, func(ctx context.Context) error { return w.link.nameGroup(ctx, w.site.Folder, w.site.Name) })
	if refused(err) {
		if _, folders, failed := w.folders(ctx); failed == nil {
			err = because(w.folderTaken(folders), err)
		}
	}
	return err
}
