package ksc

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// A Site is what one tenant has in KSC: a folder, a virtual server, its account. A task
// notes it durably before each action, so that whatever was begun can be removed after a
// crash. No secret is in it.
type Site struct {
	KSC    string `json:"ksc"`    // URL of the KSC that was chosen
	Mark   string `json:"mark"`   // unique text by which ours are known (the tenant's id)
	Name   string `json:"name"`   // display name that is wanted (the tenant's name)
	User   string `json:"user"`   // account of the tenant administrator
	Server string `json:"server"` // KLVSRV_UID, once known

	Begun    bool  `json:"begun,omitempty"`    // something may have been made
	Removing bool  `json:"removing,omitempty"` // Remove has begun
	Folder   int64 `json:"folder,omitempty"`   // id of the tenant's folder, once known
	ServerID int64 `json:"serverId,omitempty"` // KLVSRV_ID, once known
	UserID   int64 `json:"userId,omitempty"`   // KLSPL_USER_ID, once known
}

// A Note keeps a Site durably, before what it announces is done; its error ends the work.
// Percent is how much has been done, 0 to 99.
type Note func(stage string, percent int, site Site) error

// Stages that notes announce.
const (
	StageFolder     = "create the folder"
	StageNameFolder = "name the folder"
	StageServer     = "create the virtual server"
	StageNameServer = "name the virtual server"
	StageAccount    = "create the account"
	StageRights     = "grant rights to the account"

	StageRemoveAccount = "remove the account"
	StageRemoveServer  = "remove the virtual server"
	StageRemoveFolder  = "remove the folder"
)

// RootFolder is the folder below "Managed devices" that holds the folders of all tenants.
const RootFolder = "Multitenancy KSV LA"

// Longest names, in characters. That of accounts is documented; KSC's limit for display
// names and folders is not, so this one is assumed.
const (
	MaxUser = 256
	MaxName = 100
)

// markPattern is what a mark may look like. No mark contains another between the
// brackets of [Site.token].
var markPattern = regexp.MustCompile(`^[0-9A-Za-z._-]{1,64}$`)

// token is what the names and descriptions of ours contain, and nothing else does.
func (s Site) token() string { return tokenStart + s.Mark + ")" }

const tokenStart = "svmgate("

// marked reports whether text carries the mark.
func (s Site) marked(text string) bool { return strings.Contains(text, s.token()) }

// check says what is wrong with a Site that Make was given.
func (s Site) check() error {
	switch {
	case s.Begun:
		return errors.New("ksc: this site was begun before: remove it first")
	case !markPattern.MatchString(s.Mark):
		return fmt.Errorf("ksc: mark %q: want 1 to 64 letters, digits, '.', '_' or '-'", s.Mark)
	}
	if err := checkName("name", s.Name, MaxName); err != nil {
		return err
	}
	return checkName("user", s.User, MaxUser)
}

func checkName(what, name string, longest int) error {
	switch {
	case strings.TrimSpace(name) == "" || name != strings.TrimSpace(name):
		return fmt.Errorf("ksc: %s %q is empty, or begins or ends with a space", what, name)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("ksc: %s %q is not plain text", what, name)
	case utf8.RuneCountInString(name) > longest:
		return fmt.Errorf("ksc: %s has %d characters, at most %d are possible", what, utf8.RuneCountInString(name), longest)
	case strings.Contains(name, tokenStart):
		return fmt.Errorf("ksc: %s must not contain %q, by which we know what is ours", what, tokenStart)
	}
	return nil
}
