package ksctest

import (
	"slices"
	"strings"
)

const (
	// adminID is the account of Config.User; it is not among the users.
	adminID = 1

	// possibleRights are all that there are.
	possibleRights = 0xff
)

// An entry is one of Permissions structure.
type entry struct {
	User    int   `json:"KLSPLU_AKUSER_ID"`
	IsGroup bool  `json:"KLSPLU_IS_GROUP"`
	Allow   int64 `json:"KLSPLU_ALLOWMASK"`
	Deny    int64 `json:"KLSPLU_DENYMASK"`
}

func (c call) getPermissions() (map[string]any, *failure) {
	in, no := parameters[struct{ LVServer int }](c)
	if no != nil {
		return nil, no
	}
	if c.servers[in.LVServer] == nil {
		return nil, notFound("virtual server")
	}
	list := []any{}
	for _, e := range c.rights[in.LVServer] {
		list = append(list, typed("params", e))
	}
	return retVal(map[string]any{
		"KLSPL_INHERITED": false, "KLSPL_POSSIBLE_RIGHTS": possibleRights, "KLSPL_PERMISSIONS": list,
	}), nil
}

func (c call) setPermissions() (map[string]any, *failure) {
	in, no := parameters[struct {
		LVServer     int
		BProtection  bool
		PPermissions struct {
			Inherited bool `json:"KLSPL_INHERITED"`
			List      []struct {
				Type  string
				Value entry
			} `json:"KLSPL_PERMISSIONS"`
		}
	}](c)
	if no != nil {
		return nil, no
	}
	if c.servers[in.LVServer] == nil {
		return nil, notFound("virtual server")
	}
	var list []entry
	for _, e := range in.PPermissions.List {
		if e.Type != "params" {
			c.breachLocked("%s: an entry that is no container", c.method)
			return nil, badFormat("an entry that is no container")
		}
		list = append(list, e.Value)
	}
	if in.BProtection && !slices.Contains(list, entry{User: adminID, Allow: possibleRights}) {
		c.breachLocked("%s: who calls would lock himself out", c.method)
		return nil, fail("KLSTD", 1193, "you would lock yourself out")
	}
	c.rights[in.LVServer] = list
	return map[string]any{}, nil
}

// sees reports whether a session may see an account.
func (c call) sees(u *User) bool { return c.session.server == 0 || c.session.server == u.Server }

func (c call) getUsers() (map[string]any, *failure) {
	in, no := parameters[struct{ LUserID, LVsID int }](c)
	if no != nil {
		return nil, no
	}
	list := []any{}
	for _, u := range sorted(c.users, func(u User) int { return u.ID }) {
		server := in.LVsID == -1 || u.Server == 0 || u.Server == in.LVsID
		if c.sees(&u) && server && (in.LUserID == -1 || in.LUserID == u.ID) {
			list = append(list, typed("params", map[string]any{
				"KLSPL_USER_ID": u.ID, "KLSPL_USER_NAME": u.Name, "KLSPL_USER_DESCRIPTION": u.Description, "KLSPL_USER_ENABLED": true,
			}))
		}
	}
	return retVal(list), nil
}

func (c call) addUser() (map[string]any, *failure) {
	in, no := parameters[struct {
		PUser struct {
			Name        string                       `json:"KLSPL_USER_NAME"`
			Description string                       `json:"KLSPL_USER_DESCRIPTION"`
			Enabled     bool                         `json:"KLSPL_USER_ENABLED"`
			Password    struct{ Type, Value string } `json:"KLSPL_USER_PWD_ENCRYPTED"`
		}
	}](c)
	if no != nil {
		return nil, no
	}
	password, known := c.secrets[in.PUser.Password.Value]
	switch {
	case in.PUser.Name == "" || in.PUser.Password.Type != "binary" || !known:
		c.breachLocked("%s: a required attribute is missing", c.method)
		return nil, badFormat("a required attribute is missing: " + in.PUser.Password.Value)
	case c.session.server != 0 && c.servers[c.session.server] == nil:
		return nil, notFound("virtual server")
	}
	for _, u := range c.users {
		if strings.EqualFold(u.Name, in.PUser.Name) || strings.EqualFold(c.cfg.User, in.PUser.Name) {
			return nil, fail("KLSPL", 2001, "a user with such name already exists")
		}
	}
	u := &User{ID: c.id(), Server: c.session.server, Name: in.PUser.Name, Description: in.PUser.Description, Password: password}
	c.users[u.ID] = u
	return retVal(u.ID), nil
}

// deleteUser deletes an account. That of a virtual server can not be deleted from the
// main server while the virtual one is there: the reference does not say that it can.
func (c call) deleteUser() (map[string]any, *failure) {
	in, no := parameters[struct{ LUserID int }](c)
	if no != nil {
		return nil, no
	}
	u := c.users[in.LUserID]
	if u == nil || u.Server != c.session.server && c.servers[u.Server] != nil {
		return nil, notFound("user")
	}
	delete(c.users, u.ID)
	return map[string]any{}, nil
}
