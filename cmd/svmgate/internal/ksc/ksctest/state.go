package ksctest

import (
	"cmp"
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"time"
)

// Managed is the id of "Managed devices".
const Managed = 0

// A Folder is an administration group.
type Folder struct {
	ID, Parent int
	Name       string
}

// A VServer is a virtual server.
type VServer struct {
	ID, Folder  int
	UID         string
	Name        string
	Description string
	Created     time.Time
}

// A User is an internal account.
type User struct {
	ID          int
	Server      int // the virtual server it is on; 0: the main one
	Name        string
	Description string
	Password    string
}

// Holding is what a KSC holds, each list by id.
type Holding struct {
	Folders  []Folder
	VServers []VServer
	Users    []User
	Sessions int
	Actions  int // under way
}

// state is what a KSC knows; with KSC.mu.
type state struct {
	last     int // id; ids are never used again
	folders  map[int]*Folder
	servers  map[int]*VServer
	users    map[int]*User
	rights   map[int][]entry // of virtual servers
	secrets  map[string]string
	sessions map[string]session
	actions  map[string]*action
}

// A session is of an account, on the main server or a virtual one.
type session struct {
	server int
	admin  bool
}

func newState() state {
	return state{
		last: 100, folders: map[int]*Folder{}, servers: map[int]*VServer{}, users: map[int]*User{}, rights: map[int][]entry{},
		secrets: map[string]string{}, sessions: map[string]session{}, actions: map[string]*action{},
	}
}

func (s *state) id() int {
	s.last++
	return s.last
}

// Holds returns what k holds now.
func (k *KSC) Holds() Holding {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settle()
	actions := 0
	for _, a := range k.actions {
		if !a.done {
			actions++
		}
	}
	return Holding{
		Folders:  sorted(k.folders, func(f Folder) int { return f.ID }),
		VServers: sorted(k.servers, func(v VServer) int { return v.ID }),
		Users:    sorted(k.users, func(u User) int { return u.ID }),
		Sessions: len(k.sessions),
		Actions:  actions,
	}
}

func sorted[T any](m map[int]*T, id func(T) int) []T {
	list := make([]T, 0, len(m))
	for _, v := range m {
		list = append(list, *v)
	}
	slices.SortFunc(list, func(a, b T) int { return cmp.Compare(id(a), id(b)) })
	return list
}

// AddFolder adds a folder, as an administrator would, or returns the one that is there.
func (k *KSC) AddFolder(parent int, name string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.addFolder(parent, name)
}

// RemoveFolder removes a folder of parent with all that is in it, if there is one.
func (k *KSC) RemoveFolder(parent int, name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := k.folder(parent, name); f != nil {
		k.dropFolder(f.ID, 3)
	}
}

// AddVServer adds a virtual server, and returns its id.
func (k *KSC) AddVServer(name string, folder int) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.addServer(name, folder).ID
}

// AddUser adds an account to a virtual server, or to the main one if server is 0.
func (k *KSC) AddUser(name, password string, server int) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	u := &User{ID: k.id(), Server: server, Name: name, Password: password}
	k.users[u.ID] = u
	return u.ID
}

// Rights returns what an account may do on a virtual server, as a mask, and all that
// there is.
func (k *KSC) Rights(server, user int) (mask, possible int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.rights[server] {
		if e.User == user {
			mask |= e.Allow &^ e.Deny
		}
	}
	return mask, possibleRights
}

// CanLogIn reports whether an account of a tenant may begin a session on the virtual
// server with a KLVSRV_UID, or, if that is empty, on the main one.
func (k *KSC) CanLogIn(name, password, uid string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.tenant(name, password, k.server(uid))
}

// EndSessions ends all sessions.
func (k *KSC) EndSessions() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.sessions)
}

// CutConnections closes all connections, as a restart would.
func (k *KSC) CutConnections() {
	k.mu.Lock()
	all := slices.Collect(maps.Keys(k.conns))
	for _, c := range k.conns {
		c.lost = true
	}
	k.mu.Unlock()
	for _, c := range all {
		_ = c.Close() // it may be gone already
	}
}

// server returns the id of the virtual server with a KLVSRV_UID, or 0.
func (s *state) server(uid string) int {
	for _, v := range s.servers {
		if v.UID == uid {
			return v.ID
		}
	}
	return 0
}

func (s *state) folder(parent int, name string) *Folder {
	for _, f := range s.folders {
		if f.Parent == parent && strings.EqualFold(f.Name, name) {
			return f
		}
	}
	return nil
}

func (s *state) addFolder(parent int, name string) int {
	if f := s.folder(parent, name); f != nil {
		return f.ID
	}
	f := &Folder{ID: s.id(), Parent: parent, Name: name}
	s.folders[f.ID] = f
	return f.ID
}

func (s *state) addServer(name string, folder int) *VServer {
	v := &VServer{ID: s.id(), Folder: folder, UID: "VSRV" + strings.ToLower(rand.Text()), Created: time.Now().UTC().Truncate(time.Second)}
	v.Name = s.unique(name, 0)
	s.servers[v.ID] = v
	s.rights[v.ID] = []entry{{User: adminID, Allow: possibleRights}}
	return v
}

// unique returns name, changed if another virtual server than except has it.
func (s *state) unique(name string, except int) string {
	for wanted, n := name, 1; ; n++ {
		taken := false
		for _, v := range s.servers {
			taken = taken || v.ID != except && strings.EqualFold(v.Name, name)
		}
		if !taken {
			return name
		}
		name = wanted + " (" + string(rune('0'+n%10)) + strings.Repeat("'", n/10) + ")"
	}
}
