// Package ksc makes and removes virtual Administration Servers in Kaspersky Security
// Center, by its OpenAPI.
package ksc

import (
	"context"
	"errors"
)

// A Site is what one tenant has in KSC: a folder, a virtual server, its account. A task
// notes it durably before each action, so that whatever was begun can be removed after a
// crash. No secret is in it.
type Site struct {
	KSC    string `json:"ksc"`    // URL of the KSC that was chosen
	Mark   string `json:"mark"`   // unique text by which ours are known
	Name   string `json:"name"`   // display name that is wanted
	User   string `json:"user"`   // account of the tenant administrator
	Server string `json:"server"` // KLVSRV_UID, once known
}

// A Note keeps a Site durably, before what it announces is done; its error ends the work.
type Note func(stage string, percent int, site Site) error

// VServer is a virtual Administration Server.
type VServer struct{ UID, Name, Address string }

// Capacity is how many virtual servers a KSC has and may have.
type Capacity struct {
	URL         string
	Used, Limit int
	Err         error
}

// Servers are one or several KSCs.
type Servers struct{}

var (
	ErrFull        = errors.New("ksc: full")
	ErrUserExists  = errors.New("ksc: user exists")
	ErrNameTaken   = errors.New("ksc: name taken")
	ErrUnreachable = errors.New("ksc: unreachable")
)

func (s *Servers) Make(ctx context.Context, site Site, password []byte, note Note) (Site, error) {
	panic("not yet")
}
func (s *Servers) Remove(ctx context.Context, site Site, note Note) error { panic("not yet") }
func (s *Servers) Describe(ctx context.Context, site Site) (VServer, bool, error) {
	panic("not yet")
}
func (s *Servers) Capacity(ctx context.Context) []Capacity { panic("not yet") }
