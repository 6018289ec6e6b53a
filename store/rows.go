package store

import (
	"crypto/sha256"
	"time"
)

// This file has the value of each kind of record: a row type, its encoding, and
// the way back.

type tenantRow struct {
	Name, Description, UserData string
	Type                        TenantType
	Subnets                     []string
	Discovery                   Discovery
	Administration              Administration
	Created                     Time
}

// row returns the settings of t, without when it was created.
func (t *Tenant) row() tenantRow {
	return tenantRow{
		Name: t.Name, Description: t.Description, UserData: t.UserData, Type: t.Type, Subnets: t.Subnets,
		Discovery: t.Discovery, Administration: t.Administration,
	}
}

func (r *tenantRow) encode() []byte {
	e := newEncoder()
	e.str(r.Name)
	e.str(r.Description)
	e.str(r.UserData)
	e.uint(uint64(r.Type))
	e.strs(r.Subnets)
	d := &r.Discovery
	e.uint(uint64(d.Algorithm))
	e.uint(uint64(d.Path))
	e.uint(uint64(d.Load))
	e.str(d.Tag)
	e.bool(d.Protection)
	e.str(d.AgentVersion)
	e.bool(d.Locked)
	e.str(r.Administration.Server)
	e.str(r.Administration.Address)
	e.str(r.Administration.User)
	e.time(r.Created)
	e.str(r.Administration.IntegrationServer)
	e.str(r.Administration.Artifacts)
	return e
}

func decodeTenant(value []byte) (r tenantRow, err error) {
	d := newDecoder(value)
	r = tenantRow{
		Name: d.str(), Description: d.str(), UserData: d.str(),
		Type:    decodeEnum(d, tenantTypes, Complete),
		Subnets: d.strs(),
		Discovery: Discovery{
			Algorithm: decodeEnum(d, algorithms, Standard),
			Path:      decodeEnum(d, pathLevels, PathHost),
			Load:      decodeEnum(d, loads, Balanced),
			Tag:       d.str(), Protection: d.bool(), AgentVersion: d.str(), Locked: d.bool(),
		},
		Administration: Administration{Server: d.str(), Address: d.str(), User: d.str()},
		Created:        d.time(),
	}
	r.Administration.IntegrationServer, r.Administration.Artifacts = d.str(), d.str()
	return r, d.err
}

// activationRow is a disable-wins flag of two max-registers: Off is the version
// of the newest deactivation, On the Off that the newest activation had seen.
type activationRow struct {
	Off, On Version
	Ever    bool // whether there was an activation at all
}

func (r activationRow) active() bool { return r.Ever && r.On.Compare(r.Off) >= 0 }

func (r activationRow) encode() []byte {
	e := newEncoder()
	e.version(r.Off)
	e.version(r.On)
	e.bool(r.Ever)
	return e
}

func decodeActivation(value []byte) (r activationRow, err error) {
	d := newDecoder(value)
	r = activationRow{Off: d.version(), On: d.version(), Ever: d.bool()}
	return r, d.err
}

type svmConfigRow struct {
	SVMConfig
	Wanted SVMState
	Drain  Drain // written if Wanted is Draining only: so the others are as older releases write them
}

func (r *svmConfigRow) encode() []byte {
	e := newEncoder()
	e.str(r.Name)
	e.str(r.Address)
	e.strs(r.Tags)
	encodeList(&e, r.Tenants, func(id TenantID) { e.id(id) })
	e.int(int64(r.Capacity))
	e.int(int64(r.HardCap))
	e.bool(r.Pinned)
	e.uint(uint64(r.Wanted))
	if r.Wanted == Draining {
		e.time(r.Drain.Since)
		e.int(int64(r.Drain.Over))
	}
	return e
}

func decodeSVMConfig(value []byte) (r svmConfigRow, err error) {
	d := newDecoder(value)
	r = svmConfigRow{SVMConfig: SVMConfig{
		Name: d.str(), Address: d.str(), Tags: d.strs(), Tenants: d.tenants(),
		Capacity: d.amount(), HardCap: d.amount(), Pinned: d.bool(),
	}, Wanted: decodeEnum(d, svmStates, Down)}
	if r.Wanted == Draining {
		r.Drain = Drain{Since: d.time(), Over: int(min(max(d.int(), 0), int64(MaxDrain/time.Second)))}
	}
	return r, d.err
}

func encodeFacts(f *SVMFacts) []byte {
	e := newEncoder()
	e.str(f.Version)
	e.uint(uint64(f.Platform))
	e.path(f.Path)
	e.bool(f.LargeInfra)
	e.uint(uint64(f.License.State))
	e.uint(uint64(f.License.Key))
	e.uint(uint64(f.License.Edition))
	e.time(f.License.Expires)
	e.bool(f.Encryption)
	e.bool(f.AllowUnprotected)
	encodeList(&e, f.Kinds, func(k AgentKind) { e.uint(uint64(k)) })
	return e
}

func decodeFacts(value []byte) (f SVMFacts, err error) {
	d := newDecoder(value)
	f = SVMFacts{
		Version: d.str(), Platform: decodeEnum(d, platforms, Hypervisor),
		Path: d.path(), LargeInfra: d.bool(),
		License: License{
			State:   decodeEnum(d, licenseStates, LicenseNone),
			Key:     decodeEnum(d, keyTypes, KeyCore),
			Edition: decodeEnum(d, editions, EditionStandard),
			Expires: d.time(),
		},
		Encryption: d.bool(), AllowUnprotected: d.bool(),
		Kinds: decodeList(d, func() AgentKind { return decodeEnum(d, agentKinds, AgentUnknown) }),
	}
	return f, d.err
}

type loadRow struct {
	Connected int
	Reported  Time
}

func (r loadRow) encode() []byte {
	e := newEncoder()
	e.int(int64(r.Connected))
	e.time(r.Reported)
	return e
}

func decodeLoad(value []byte) (r loadRow, err error) {
	d := newDecoder(value)
	r = loadRow{Connected: d.amount(), Reported: d.time()}
	return r, d.err
}

// vmRow is a registration. Seen is the version of the last unregistration it
// had seen and Since its own; merge.go says what they are for.
type vmRow struct {
	Seen, Since    Version
	Tenant         TenantID
	ID             VMID
	Name, UserData string
	Created        Time
}

func (r *vmRow) encode() []byte { return r.append(newEncoder()) }

func (r *vmRow) append(e encoder) []byte {
	e.version(r.Seen)
	e.version(r.Since)
	e.id(r.Tenant)
	e.id(r.ID)
	e.str(r.Name)
	e.str(r.UserData)
	e.time(r.Created)
	return e
}

func decodeVM(value []byte) (vmRow, error) { return readVM(newDecoder(value)) }

func readVM(d *decoder) (r vmRow, err error) {
	r = vmRow{
		Seen: d.version(), Since: d.version(), Tenant: d.id(), ID: d.id(),
		Name: d.str(), UserData: d.str(), Created: d.time(),
	}
	return r, d.err
}

type placementRow struct {
	Path    Path
	OS      GuestOS
	Kind    AgentKind
	Version string
}

func (r *placementRow) encode() []byte { return r.append(newEncoder()) }

func (r *placementRow) append(e encoder) []byte {
	e.path(r.Path)
	e.uint(uint64(r.OS))
	e.uint(uint64(r.Kind))
	e.str(r.Version)
	return e
}

func decodePlacement(value []byte) (placementRow, error) { return readPlacement(newDecoder(value)) }

func readPlacement(d *decoder) (r placementRow, err error) {
	r = placementRow{
		Path: d.path(), OS: decodeEnum(d, guestOSes, OSUnknown),
		Kind: decodeEnum(d, agentKinds, AgentUnknown), Version: d.str(),
	}
	return r, d.err
}

func encodeAccount(a *Account) []byte {
	e := newEncoder()
	e.str(a.Name)
	e.uint(uint64(a.Role))
	encodeList(&e, a.SVMs, func(id SVMID) { e.id(id) })
	e.str(a.Hash)
	e.time(a.Created)
	return e
}

func decodeAccount(value []byte) (a Account, err error) {
	d := newDecoder(value)
	a = Account{
		Name: d.str(), Role: decodeEnum(d, roles, RoleSVM),
		SVMs: d.svmIDs(), Hash: d.str(), Created: d.time(),
	}
	return a, d.err
}

func accountKey(name string) Key {
	sum := sha256.Sum256([]byte(name))
	return Key{Kind: KindAccount, ID: [16]byte(sum[:16])}
}

func encodeToken(t *Token) []byte {
	e := newEncoder()
	e.sum(t.Current)
	e.sum(t.Previous)
	e.time(Time{t.PreviousUntil})
	return e
}

func decodeToken(id [16]byte, value []byte) (t Token, err error) {
	d := newDecoder(value)
	t = Token{Tenant: id, Current: d.sum(), Previous: d.sum(), PreviousUntil: d.time().Time}
	return t, d.err
}

func (e *encoder) path(p Path) { e.str(p.Host); e.str(p.Cluster); e.str(p.Zone) }

func (d *decoder) path() Path { return Path{Host: d.str(), Cluster: d.str(), Zone: d.str()} }

func milliTime(ms int64) Time { return Time{time.UnixMilli(ms).UTC()} }

// check reports whether the value of a live record of a known kind can be read,
// and whether it fits key and version. The versions within a value are not newer
// than the record's own: [MaxSkew] thereby holds for them too, and none can make
// an activation or a registration immortal.
func (r Record) check() error {
	if r.Key.Kind == KindSighting {
		return errNoRecord
	}
	if r.Key.ID == ([16]byte{}) && r.Key.Kind.isOfThings() {
		return errZeroID
	}
	if r.Deleted() {
		switch r.Key.Kind {
		case KindActivation, KindEvent, KindProtection:
			return errNoDeletion
		}
		return nil
	}
	if r.Key.isFloor() {
		return r.checkFloor()
	}
	if r.Key.isBulk() && len(r.Value) > maxBulkValue {
		return errTooLong
	}
	var err error
	var newest Version
	switch r.Key.Kind {
	case KindTenant:
		_, err = decodeTenant(r.Value)
	case KindActivation:
		var row activationRow
		row, err = decodeActivation(r.Value)
		newest = maxVersion(row.Off, row.On)
	case KindSVMConfig:
		_, err = decodeSVMConfig(r.Value)
	case KindSVMFacts:
		_, err = decodeFacts(r.Value)
	case KindSVMLoad:
		_, err = decodeLoad(r.Value)
	case KindVM:
		var row vmRow
		row, err = decodeVM(r.Value)
		newest = maxVersion(row.Seen, row.Since)
	case KindPlacement:
		_, err = decodePlacement(r.Value)
	case KindAccount:
		var a Account
		if a, err = decodeAccount(r.Value); err == nil && accountKey(a.Name) != r.Key {
			err = errOtherKey
		}
	case KindToken:
		_, err = decodeToken(r.Key.ID, r.Value)
	case KindTask:
		_, err = decodeTask(r.Key.ID, r.Value)
	case KindTaskCancel:
		_, err = decodeTaskCancel(r.Value)
	case KindEvent:
		err = r.checkEvent()
	case KindObservation:
		_, err = decodeObservation(r.Key.ID, r.Value)
	case KindProtection:
		err = r.checkProtection()
	}
	if err == nil && newest.Compare(r.Version) > 0 {
		err = errAhead
	}
	return err
}
