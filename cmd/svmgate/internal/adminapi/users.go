package adminapi

import (
	"fmt"
	"net/url"

	"github.com/cespare/xxhash/v2"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth"
	"github.com/svmgate/svmgate/store"
)

func noUser(name string) error {
	return refuse(404, "user_not_found", fmt.Sprintf("there is no account %q", name))
}

// userRevision is a fingerprint of everything of an account, its password too.
func userRevision(u store.Account) uint64 {
	return xxhash.Sum64(fmt.Appendf(nil, "%q %v %v %d %q", u.Name, u.Role, u.SVMs, u.Created.UnixMilli(), u.Hash)) >> 11
}

func (c *call) answerUser(status int, name string) error {
	u, ok := c.api.table.Account(name)
	if !ok {
		return noUser(name)
	}
	return c.answerObject(status, userRevision(u), u)
}

func (a *API) listUsers(c *call) error {
	limit, after, err := c.page()
	if err != nil {
		return err
	}
	page := pageOf(a.table.Accounts(), limit, after, func(u store.Account) []byte { return []byte(u.Name) })
	return c.answer(200, page)
}

func (a *API) readUser(c *call) error { return c.answerUser(200, c.params[0]) }

func (a *API) createUser(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	var (
		u        store.Account
		password string
	)
	err = binding{
		"name":     str(&u.Name, ""),
		"role":     text(&u.Role, store.RoleViewer),
		"password": str(&password, ""),
		"svms":     each(&u.SVMs, func(id *store.SVMID) setter { return text(id, store.SVMID{}) }),
	}.bind(whole, body)
	if err != nil {
		return err
	}
	if err := checkUser(u, password, mentions(body, "role")); err != nil {
		return err
	}
	if _, taken := a.table.Account(u.Name); taken { // spare the hash; the update asks again
		return userExists(u.Name)
	}
	if u.Hash, err = auth.HashPassword([]byte(password)); err != nil {
		return err
	}
	err = a.table.Update(func(tx *store.Tx) error {
		if _, taken := tx.Account(u.Name); taken {
			return userExists(u.Name)
		}
		u.Created = store.Time{Time: tx.Now()}
		return audit.Account(tx, c.who(), "user_create", "created", u.Name, func() error {
			_, err := tx.PutAccount(u)
			return err
		})
	})
	if err != nil {
		return err
	}
	c.ctx.Response.Header.Set("Location", "/v1/users/"+url.PathEscape(u.Name))
	return c.answerUser(201, u.Name)
}

func userExists(name string) error {
	return refuse(409, "exists", fmt.Sprintf("account %q exists; delete it first to change its role or password", name))
}

// checkUser refuses what would make an account that does not do what was meant:
// one without a role, one whose SVMs have no effect, or one whose name no path can
// have, so that nobody could delete it.
func checkUser(u store.Account, password string, role bool) error {
	invalid := func(detail string) error { return refuse(400, "invalid_field", detail) }
	if err := auth.CheckName(u.Name); err != nil {
		return invalid(err.Error())
	}
	switch {
	case !role:
		return invalid("role is missing: want admin, multitenancy, svm or viewer")
	case u.Role == store.RoleSVM && len(u.SVMs) == 0:
		return invalid("svms is empty: an account with role svm needs the ids of the SVMs it may report for")
	case u.Role != store.RoleSVM && len(u.SVMs) > 0:
		return invalid("svms is for role svm only; the role is " + u.Role.String())
	case password == "":
		return invalid("password must not be empty")
	case len(password) > auth.MaxPassword:
		return invalid(fmt.Sprintf("password is %d bytes long; at most %d are allowed", len(password), auth.MaxPassword))
	}
	return nil
}

// deleteUser refuses to delete the last administrator: nobody could make
// another.
func (a *API) deleteUser(c *call) error {
	name := c.params[0]
	if err := c.noBody(); err != nil {
		return err
	}
	err := a.table.Update(func(tx *store.Tx) error {
		u, ok := tx.Account(name)
		if !ok {
			return noUser(name)
		}
		if err := c.ifMatch(true, userRevision(u)); err != nil {
			return err
		}
		if u.Role == store.RoleAdmin && admins(tx) <= 1 {
			return refuse(409, "last_admin", fmt.Sprintf("%q is the last account with role admin; add another first", name))
		}
		return audit.Account(tx, c.who(), "user_delete", "deleted", name, func() error {
			_, err := tx.DeleteAccount(name)
			return err
		})
	})
	if err != nil {
		return err
	}
	c.ctx.SetStatusCode(204)
	return nil
}

func admins(tx *store.Tx) int {
	n := 0
	for _, u := range tx.Accounts() {
		if u.Role == store.RoleAdmin {
			n++
		}
	}
	return n
}
