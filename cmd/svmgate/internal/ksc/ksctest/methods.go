package ksctest

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A call is a request on its way to a method.
type call struct {
	*KSC
	conn    *conn
	session session
	method  string
	body    []byte
}

// methods are those that there are, by name, with the names of their parameters, in
// order. They run with KSC.mu, and return what the answer has besides PxgError.
var methods = map[string]struct {
	parameters string
	fn         func(call) (map[string]any, *failure)
}{
	"Session.Ping":                                 {"", call.ping},
	"HostGroup.GroupIdGroups":                      {"", call.groupIDGroups},
	"HostGroup.GetGroupId":                         {"nParent strName", call.getGroupID},
	"HostGroup.GetSubgroups":                       {"nDepth nGroupId", call.getSubgroups},
	"HostGroup.AddGroup":                           {"pInfo", call.addGroup},
	"HostGroup.UpdateGroup":                        {"nGroup pInfo", call.updateGroup},
	"HostGroup.RemoveGroup":                        {"nFlags nGroup", call.removeGroup},
	"VServers.GetVServers":                         {"lParentGroup", call.getVServers},
	"VServers.GetVServerInfo":                      {"lVServer pFields2Return", call.getVServerInfo},
	"VServers.AddVServerInfo":                      {"lParentGroup strDisplayName", call.addVServerInfo},
	"VServers.UpdateVServerInfo":                   {"lVServer pInfo", call.updateVServerInfo},
	"VServers.DelVServer":                          {"lVServer", call.delVServer},
	"VServers.GetPermissions":                      {"lVServer", call.getPermissions},
	"VServers.SetPermissions":                      {"bProtection lVServer pPermissions", call.setPermissions},
	"SecurityPolicy.GetUsers":                      {"lUserId lVsId", call.getUsers},
	"SecurityPolicy.AddUser":                       {"pUser", call.addUser},
	"SecurityPolicy.DeleteUser":                    {"lUserId", call.deleteUser},
	"DataProtectionApi.ProtectUtf16StringGlobally": {"szwPlainText", call.protect},
	"AsyncActionStateChecker.CheckActionState":     {"wstrActionGuid", call.checkActionState},
}

// handle answers a call.
func (k *KSC) handle(c *conn, r *http.Request, method string, body []byte) (int, []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settle()
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || !json.Valid(body) {
		k.breachLocked("%s: %s with %s, not a POST of JSON", method, r.Method, r.Header.Get("Content-Type"))
		return http.StatusBadRequest, nil
	}
	if method == "Session.StartSession" {
		return k.startSession(r)
	}
	id := r.Header.Get("X-KSC-Session")
	session, known := k.sessions[id]
	switch m, there := methods[method]; {
	case id == "":
		k.breachLocked("%s: no session", method)
		return http.StatusUnauthorized, nil
	case !known:
		return http.StatusForbidden, nil
	case method == "Session.EndSession":
		delete(k.sessions, id)
		return http.StatusOK, []byte("{}")
	case !there:
		k.breachLocked("%s: there is no such method", method)
		return http.StatusNotFound, nil
	default:
		var result map[string]any
		no := k.named(method, m.parameters, body)
		if no == nil {
			result, no = m.fn(call{KSC: k, conn: c, session: session, method: method, body: body})
		}
		if no != nil {
			result = map[string]any{"PxgError": no}
		}
		return http.StatusOK, mustJSON(result)
	}
}

var basic = regexp.MustCompile(`^KSCBasic user="([^"]*)", pass="([^"]*)", domain="", internal="1"$`)

func (k *KSC) startSession(r *http.Request) (int, []byte) {
	match := basic.FindStringSubmatch(r.Header.Get("Authorization"))
	if match == nil {
		k.breachLocked("Session.StartSession: Authorization is not KSCBasic as documented")
		return http.StatusUnauthorized, nil
	}
	user, err1 := base64.StdEncoding.DecodeString(match[1])
	password, err2 := base64.StdEncoding.DecodeString(match[2])
	uid, err3 := base64.StdEncoding.DecodeString(r.Header.Get("X-KSC-VServer"))
	if err1 != nil || err2 != nil || err3 != nil {
		k.breachLocked("Session.StartSession: not base64")
		return http.StatusUnauthorized, nil
	}
	s := session{server: k.server(string(uid))}
	if len(uid) > 0 && s.server == 0 {
		return http.StatusUnauthorized, nil
	}
	s.admin = string(user) == k.cfg.User && string(password) == k.cfg.Password
	if !s.admin && !k.tenant(string(user), string(password), s.server) {
		return http.StatusUnauthorized, nil
	}
	id := rand.Text()
	k.sessions[id] = s
	return http.StatusOK, mustJSON(map[string]any{"PxgRetVal": id})
}

// tenant reports whether an account may log in to its virtual server.
func (k *KSC) tenant(name, password string, server int) bool {
	for _, u := range k.users {
		if u.Name == name && u.Password == password && u.Server == server && server != 0 {
			return slices.ContainsFunc(k.rights[server], func(e entry) bool { return e.User == u.ID && e.Allow&^e.Deny != 0 })
		}
	}
	return false
}

// named checks that a call has the parameters that the reference names, and no other.
func (k *KSC) named(method, want string, body []byte) *failure {
	var in map[string]json.RawMessage
	if err := json.Unmarshal(body, &in); err != nil {
		return badFormat(err.Error())
	}
	if got := strings.Join(slices.Sorted(maps.Keys(in)), " "); got != want {
		k.breachLocked("%s: parameters %q, want %q", method, got, want)
		return badFormat("parameters")
	}
	return nil
}

// parameters reads a call's parameters.
func parameters[T any](c call) (in T, no *failure) {
	d := json.NewDecoder(bytes.NewReader(c.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		c.breachLocked("%s: %v", c.method, err)
		return in, badFormat(err.Error())
	}
	return in, nil
}

func retVal(v any) map[string]any { return map[string]any{"PxgRetVal": v} }

// typed is a container inside an array or another container.
func typed(kind string, v any) map[string]any { return map[string]any{"type": kind, "value": v} }

func (c call) ping() (map[string]any, *failure) { return map[string]any{}, nil }

func (c call) groupIDGroups() (map[string]any, *failure) { return retVal(Managed), nil }

func (c call) getGroupID() (map[string]any, *failure) {
	in, no := parameters[struct {
		NParent int
		StrName string
	}](c)
	if no != nil {
		return nil, no
	}
	if f := c.folder(in.NParent, in.StrName); f != nil {
		return retVal(f.ID), nil
	}
	return retVal(-1), nil
}

func (c call) getSubgroups() (map[string]any, *failure) {
	in, no := parameters[struct{ NGroupID, NDepth int }](c)
	if no != nil {
		return nil, no
	}
	if !c.isFolder(in.NGroupID) {
		return nil, notFound("group")
	}
	var list []any // null if there are none, as documented
	for _, f := range sorted(c.folders, func(f Folder) int { return f.ID }) {
		if f.Parent == in.NGroupID {
			list = append(list, typed("params", map[string]any{"id": f.ID, "name": f.Name}))
		}
	}
	return retVal(list), nil
}

func (c call) isFolder(id int) bool { return id == Managed || c.folders[id] != nil }

func (c call) addGroup() (map[string]any, *failure) {
	in, no := parameters[struct {
		PInfo struct {
			Name     string
			ParentID int
		}
	}](c)
	if no != nil {
		return nil, no
	}
	if !c.isFolder(in.PInfo.ParentID) {
		return nil, notFound("parent group")
	}
	return retVal(c.addFolder(in.PInfo.ParentID, in.PInfo.Name)), nil
}

func (c call) updateGroup() (map[string]any, *failure) {
	in, no := parameters[struct {
		NGroup int
		PInfo  struct{ Name string }
	}](c)
	if no != nil {
		return nil, no
	}
	f := c.folders[in.NGroup]
	if f == nil {
		return nil, notFound("group")
	}
	if other := c.folder(f.Parent, in.PInfo.Name); other != nil && other != f {
		return nil, fail("KLSRV", 2000, "a group with this name exists")
	}
	f.Name = in.PInfo.Name
	return map[string]any{}, nil
}

func (v *VServer) attributes() map[string]any {
	return map[string]any{
		"KLVSRV_ID": v.ID, "KLVSRV_UID": v.UID, "KLVSRV_HST_UID": v.UID, "KLVSRV_GRP": v.Folder, "KLVSRV_DN": v.Name,
		"KLVSRV_VS_DESCR": v.Description, "KLVSRV_ENABLED": true, "KLVSRV_LIC_ENABLED": true,
		"KLVSRV_CREATED": typed("datetime", v.Created.Format(time.RFC3339)),
	}
}

func (c call) getVServers() (map[string]any, *failure) {
	in, no := parameters[struct{ LParentGroup int }](c)
	if no != nil {
		return nil, no
	}
	list := []any{}
	for _, v := range sorted(c.servers, func(v VServer) int { return v.ID }) {
		if in.LParentGroup == -1 || in.LParentGroup == v.Folder {
			list = append(list, typed("params", v.attributes()))
		}
	}
	return retVal(list), nil
}

func (c call) getVServerInfo() (map[string]any, *failure) {
	in, no := parameters[struct {
		LVServer       int
		PFields2Return []string
	}](c)
	if no != nil {
		return nil, no
	}
	v := c.servers[in.LVServer]
	if v == nil {
		return nil, notFound("virtual server")
	}
	all, some := v.attributes(), map[string]any{}
	for _, name := range in.PFields2Return {
		some[name] = all[name]
	}
	return retVal(some), nil
}

func (c call) addVServerInfo() (map[string]any, *failure) {
	in, no := parameters[struct {
		StrDisplayName string
		LParentGroup   int
	}](c)
	switch {
	case no != nil:
		return nil, no
	case !c.isFolder(in.LParentGroup):
		return nil, notFound("parent group")
	case len(c.servers) >= c.cfg.Limit:
		return nil, fail("KLSTD", 1229, "too many virtual servers")
	}
	v := c.addServer(in.StrDisplayName, in.LParentGroup)
	return retVal(map[string]any{"KLVSRV_ID": v.ID, "KLVSRV_DN": v.Name}), nil
}

func (c call) updateVServerInfo() (map[string]any, *failure) {
	in, no := parameters[struct {
		LVServer int
		PInfo    map[string]string
	}](c)
	if no != nil {
		return nil, no
	}
	v := c.servers[in.LVServer]
	if v == nil {
		return nil, notFound("virtual server")
	}
	for name, text := range in.PInfo {
		switch {
		case name == "KLVSRV_DN":
			v.Name = c.unique(text, v.ID)
		case name == "KLVSRV_VS_DESCR" && !c.cfg.OnlyName && len(text) <= 512:
			v.Description = text
		default:
			return nil, badFormat("attribute " + name + " can not be changed")
		}
	}
	return map[string]any{}, nil
}

// protect makes a text that only we can read.
func (c call) protect() (map[string]any, *failure) {
	in, no := parameters[struct{ SzwPlainText string }](c)
	if no != nil {
		return nil, no
	}
	if strings.TrimSpace(in.SzwPlainText) == "" {
		return nil, badFormat("empty text: " + in.SzwPlainText)
	}
	protected := base64.StdEncoding.EncodeToString([]byte("protected " + rand.Text()))
	c.secrets[protected] = in.SzwPlainText
	return retVal(protected), nil
}
