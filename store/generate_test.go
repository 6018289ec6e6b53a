package store

import (
	"crypto/sha256"
	"fmt"
	"time"

	"pgregory.net/rapid"
)

// This file generates rows and records for the laws that hold for all of them.

var (
	anyText = rapid.StringN(0, 6, -1)
	anyBool = rapid.Bool()
	anyTime = rapid.Custom(func(t *rapid.T) Time {
		if rapid.Bool().Draw(t, "never") {
			return Time{}
		}
		return milliTime(rapid.Int64Range(1, maxMillis).Draw(t, "ms"))
	})
	anyPath = rapid.Custom(func(t *rapid.T) Path {
		return Path{Host: anyText.Draw(t, "host"), Cluster: anyText.Draw(t, "cluster"), Zone: anyText.Draw(t, "zone")}
	})
	anyVersion = rapid.Custom(func(t *rapid.T) Version {
		return Version{Clock: rapid.Uint64().Draw(t, "clock"), Node: rapid.Uint64().Draw(t, "node")}
	})
	amount = rapid.IntRange(0, maxCapacity)
)

func anyID[T ~[16]byte](t *rapid.T, label string) T {
	return T(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label))
}

func anyIDs[T ~[16]byte]() *rapid.Generator[[]T] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) T { return anyID[T](t, "id") }), 0, 4)
}

func word[T ~uint8](t *rapid.T, names []string) T {
	return T(rapid.IntRange(0, len(names)-1).Draw(t, "word"))
}

var (
	anyTenantRow = rapid.Custom(func(t *rapid.T) tenantRow {
		return tenantRow{
			Name: anyText.Draw(t, "name"), Description: anyText.Draw(t, "description"),
			UserData: anyText.Draw(t, "userData"), Type: word[TenantType](t, tenantTypes),
			Subnets: rapid.SliceOfN(anyText, 0, 3).Draw(t, "subnets"),
			Discovery: Discovery{
				Algorithm: word[Algorithm](t, algorithms), Path: word[PathLevel](t, pathLevels),
				Load: word[Load](t, loads), Tag: anyText.Draw(t, "tag"), Protection: anyBool.Draw(t, "protection"),
				AgentVersion: anyText.Draw(t, "agentVersion"), Locked: anyBool.Draw(t, "locked"),
			},
			Administration: Administration{
				Server: anyText.Draw(t, "server"), Address: anyText.Draw(t, "address"), User: anyText.Draw(t, "user"),
				IntegrationServer: anyText.Draw(t, "integrationServer"), Artifacts: anyText.Draw(t, "artifacts"),
			},
			Created: anyTime.Draw(t, "created"),
		}
	})
	anyActivationRow = rapid.Custom(func(t *rapid.T) activationRow {
		return activationRow{Off: anyVersion.Draw(t, "off"), On: anyVersion.Draw(t, "on"), Ever: anyBool.Draw(t, "ever")}
	})
	anySVMConfigRow = rapid.Custom(func(t *rapid.T) svmConfigRow {
		row := svmConfigRow{SVMConfig: SVMConfig{
			Name: anyText.Draw(t, "name"), Address: anyText.Draw(t, "address"),
			Tags:     rapid.SliceOfN(anyText, 0, 3).Draw(t, "tags"),
			Tenants:  anyIDs[TenantID]().Draw(t, "tenants"),
			Capacity: amount.Draw(t, "capacity"), HardCap: amount.Draw(t, "hardCap"), Pinned: anyBool.Draw(t, "pinned"),
		}, Wanted: word[SVMState](t, svmStates)}
		if row.Wanted == Draining {
			row.Drain = Drain{Since: anyTime.Draw(t, "since"), Over: rapid.IntRange(0, int(MaxDrain/time.Second)).Draw(t, "over")}
		}
		return row
	})
	anyFacts = rapid.Custom(func(t *rapid.T) SVMFacts {
		kind := rapid.SampledFrom([]AgentKind{AgentLinux, AgentWindows})
		return SVMFacts{
			Version: anyText.Draw(t, "version"), Platform: word[Platform](t, platforms), Path: anyPath.Draw(t, "path"),
			LargeInfra: anyBool.Draw(t, "large"),
			License: License{
				State: word[LicenseState](t, licenseStates), Key: word[KeyType](t, keyTypes),
				Edition: word[LicenseEdition](t, editions), Expires: anyTime.Draw(t, "expires"),
			},
			Encryption: anyBool.Draw(t, "encryption"), AllowUnprotected: anyBool.Draw(t, "allow"),
			Kinds: rapid.SliceOfN(kind, 0, 2).Draw(t, "kinds"),
		}
	})
	anyLoadRow = rapid.Custom(func(t *rapid.T) loadRow {
		return loadRow{Connected: amount.Draw(t, "connected"), Reported: anyTime.Draw(t, "reported")}
	})
	anyVMRow = rapid.Custom(func(t *rapid.T) vmRow {
		return vmRow{
			Seen: anyVersion.Draw(t, "seen"), Since: anyVersion.Draw(t, "since"), Tenant: anyID[TenantID](t, "tenant"),
			ID: anyID[VMID](t, "id"), Name: anyText.Draw(t, "name"), UserData: anyText.Draw(t, "userData"),
			Created: anyTime.Draw(t, "created"),
		}
	})
	anyPlacementRow = rapid.Custom(func(t *rapid.T) placementRow {
		return placementRow{
			Path: anyPath.Draw(t, "path"), OS: word[GuestOS](t, guestOSes), Kind: word[AgentKind](t, agentKinds),
			Version: rapid.SampledFrom([]string{"", "12.0", "12.1.4", "5.2", "nonsense"}).Draw(t, "version"),
		}
	})
	anyAccount = rapid.Custom(func(t *rapid.T) Account {
		return Account{
			Name: anyText.Draw(t, "name"), Role: word[Role](t, roles), SVMs: anyIDs[SVMID]().Draw(t, "svms"),
			Hash: anyText.Draw(t, "hash"), Created: anyTime.Draw(t, "created"),
		}
	})
	anyToken = rapid.Custom(func(t *rapid.T) Token {
		return Token{
			Current: sha256.Sum256([]byte(anyText.Draw(t, "current"))), Previous: sha256.Sum256([]byte(anyText.Draw(t, "previous"))),
			PreviousUntil: anyTime.Draw(t, "until").Time,
		}
	})
)

var (
	anyTask = rapid.Custom(func(t *rapid.T) Task {
		return Task{
			Type: anyText.Draw(t, "type"), State: word[TaskState](t, taskStates), Stage: anyText.Draw(t, "stage"),
			Done: rapid.IntRange(0, 100).Draw(t, "done"), Tenant: anyID[TenantID](t, "tenant"), Node: anyText.Draw(t, "node"),
			By: anyText.Draw(t, "by"), Notes: []byte(anyText.Draw(t, "notes")), Result: []byte(anyText.Draw(t, "result")),
			Error: anyText.Draw(t, "error"), Created: anyTime.Draw(t, "created"), StateChanged: anyTime.Draw(t, "stateChanged"),
			Changed: anyTime.Draw(t, "changed"), Lane: anyText.Draw(t, "lane"), NoReturn: anyBool.Draw(t, "noReturn"),
		}
	})
	anyTaskCancel = rapid.Custom(func(t *rapid.T) taskCancelRow {
		return taskCancelRow{By: anyText.Draw(t, "by"), At: anyTime.Draw(t, "at")}
	})
)

var (
	anyEvent = rapid.Custom(func(t *rapid.T) Event {
		evidence := rapid.SampledFrom([]string{"", `{}`, `{"name":"acme"}`, `7`})
		e := Event{
			Type: anyText.Draw(t, "type"), Message: anyText.Draw(t, "message"), Actor: anyText.Draw(t, "actor"), From: anyText.Draw(t, "from"),
			Before: []byte(evidence.Draw(t, "before")), After: []byte(evidence.Draw(t, "after")),
		}
		if anyBool.Draw(t, "ofTenant") {
			e.Tenant = anyID[TenantID](t, "tenant")
		}
		if anyBool.Draw(t, "ofVM") {
			e.VM = anyID[BIOSID](t, "vm")
		}
		if anyBool.Draw(t, "ofSVM") {
			e.SVM = anyID[SVMID](t, "svm")
		}
		return e
	})
	anyProtection = rapid.Custom(func(t *rapid.T) Protection {
		return Protection{
			Tenant: anyID[TenantID](t, "tenant"), VM: anyID[BIOSID](t, "vm"), ID: anyID[VMID](t, "id"),
			TenantName: anyText.Draw(t, "tenantName"), Name: anyText.Draw(t, "name"),
			Days: anyDays(t, Day(rapid.IntRange(3*MaxDays, 20_000).Draw(t, "last"))),
		}
	})
	anyObservation = rapid.Custom(func(t *rapid.T) Observation {
		return Observation{
			State: rapid.SampledFrom([]uint8{0, 0, 1, 255}).Draw(t, "state"), Times: rapid.Uint32().Draw(t, "times"),
			Cause: rapid.Uint64().Draw(t, "cause"), Repeated: anyTime.Draw(t, "repeated"),
		}
	})
)

// worldEvent makes a record an event, or how far events were dropped. Two events of one
// id are never on either side of that: see [floors].
func worldEvent(t *rapid.T, r *Record) {
	r.Key.Kind = KindEvent
	span := (r.Version.Clock - worldEpoch) / 4
	if rapid.IntRange(0, 7).Draw(t, "floor") == 0 {
		r.Value = encodeFloor(worldEpoch + 4*uint64(rapid.IntRange(0, int(span)).Draw(t, "spans")))
		return
	}
	e := anyEvent.Draw(t, "event")
	r.Key.ID, r.Value = thing(t, 'e'), e.encode()
	r.Key.ID[1] = byte(span)
}

// worldProtection makes a record days of protection of versions of some days, or how far
// days were dropped.
func worldProtection(t *rapid.T, r *Record) {
	r.Key.Kind = KindProtection
	r.Version.Clock -= uint64(rapid.IntRange(0, 3).Draw(t, "days")) * 86_400_000 << counterBits
	if rapid.IntRange(0, 7).Draw(t, "floor") == 0 {
		r.Value = encodeFloor(uint64(r.Version.day()) - uint64(rapid.IntRange(0, 5).Draw(t, "ago")))
		return
	}
	p := anyProtection.Draw(t, "protection")
	p.Tenant, p.VM, p.Days = thing(t, 't'), thing(t, 'v'), anyDays(t, r.Version.day())
	r.Key, r.Value = protectionKey(p.Tenant, p.VM), p.encode()
}

// anyDays generates days up to a given one: mostly some of the last, now and then others.
func anyDays(t *rapid.T, last Day) (d Days) {
	for range rapid.IntRange(0, 4).Draw(t, "spans") {
		ago := rapid.OneOf(rapid.IntRange(0, 6), rapid.IntRange(0, 2*MaxDays)).Draw(t, "ago")
		end := last - Day(ago)
		d.Add(end-Day(rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(0, 2*MaxDays)).Draw(t, "days")), end)
	}
	return d
}

// The records of a world collide: few things, few moments, few writers. What is
// inside a record is never newer than the record, as writers promise.
const (
	worldThings  = 3
	worldMoments = 12
	worldNodes   = 2
)

var worldEpoch = uint64(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli()) << 16

// until returns a moment that is not after the given one; the first may be
// the zero version.
func until(t *rapid.T, newest Version, label string) Version {
	v := Version{
		Clock: worldEpoch + uint64(rapid.IntRange(0, worldMoments).Draw(t, label)),
		Node:  uint64(rapid.IntRange(1, worldNodes).Draw(t, "node")),
	}
	switch {
	case v.Clock == worldEpoch:
		return Version{}
	case v.Compare(newest) > 0:
		return newest
	default:
		return v
	}
}

func thing(t *rapid.T, kind byte) (id [16]byte) {
	id[0], id[15] = kind, byte(rapid.IntRange(1, worldThings).Draw(t, "thing"))
	return id
}

// worldRecord generates a record of any kind of a small world, a tombstone now
// and then, and now and then with fields of a newer release.
var worldRecord = rapid.Custom(func(t *rapid.T) Record {
	r := Record{Version: Version{
		Clock: worldEpoch + uint64(rapid.IntRange(1, worldMoments).Draw(t, "moment")),
		Node:  uint64(rapid.IntRange(1, worldNodes).Draw(t, "writer")),
	}}
	worldValue(t, &r)
	switch rapid.IntRange(0, 7).Draw(t, "form") {
	case 0:
		if r.Key.Kind != KindActivation && r.Key.Kind != KindEvent && r.Key.Kind != KindProtection {
			r.Value = nil
		}
	case 1:
		r.Value = append(r.Value, "newer"...)
	}
	return r
})

func worldValue(t *rapid.T, r *Record) {
	tenant, svm, vm, task := thing(t, 't'), thing(t, 's'), thing(t, 'v'), thing(t, 'w')
	switch kind := rapid.SampledFrom(everyKind).Draw(t, "kind"); kind {
	case KindTenant:
		row := anyTenantRow.Draw(t, "tenant")
		r.Key, r.Value = Key{kind, tenant}, row.encode()
	case KindActivation:
		off := until(t, r.Version, "off")
		row := activationRow{Off: off, On: until(t, off, "on"), Ever: anyBool.Draw(t, "ever")}
		r.Key, r.Value = Key{kind, tenant}, row.encode()
	case KindSVMConfig:
		row := anySVMConfigRow.Draw(t, "config")
		r.Key, r.Value = Key{kind, svm}, row.encode()
	case KindSVMFacts:
		row := anyFacts.Draw(t, "facts")
		r.Key, r.Value = Key{kind, svm}, encodeFacts(&row)
	case KindSVMLoad:
		r.Key, r.Value = Key{kind, svm}, anyLoadRow.Draw(t, "load").encode()
	case KindVM:
		row := anyVMRow.Draw(t, "vm")
		row.Tenant = rapid.SampledFrom([]TenantID{{}, tenant, {99}}).Draw(t, "of")
		row.Seen, row.Since = until(t, r.Version, "seen"), until(t, r.Version, "since")
		r.Key, r.Value = Key{kind, vm}, row.encode()
	case KindPlacement:
		row := anyPlacementRow.Draw(t, "placement")
		r.Key, r.Value = Key{kind, vm}, row.encode()
	case KindAccount:
		row := anyAccount.Draw(t, "account")
		row.Name = fmt.Sprint("user", tenant[15])
		r.Key, r.Value = accountKey(row.Name), encodeAccount(&row)
	case KindToken:
		row := anyToken.Draw(t, "token")
		row.Current, row.Previous = sha256.Sum256(tenant[:]), sha256.Sum256(append(tenant[:], "previous"...))
		r.Key, r.Value = Key{kind, tenant}, encodeToken(&row)
	case KindTask:
		row := anyTask.Draw(t, "task")
		r.Key, r.Value = Key{kind, task}, row.encode()
	case KindTaskCancel:
		row := anyTaskCancel.Draw(t, "wish")
		r.Key, r.Value = Key{kind, task}, row.encode()
	case KindEvent:
		worldEvent(t, r)
	case KindProtection:
		worldProtection(t, r)
	case KindObservation:
		row := anyObservation.Draw(t, "observation")
		r.Key, r.Value = Key{kind, rapid.SampledFrom([][16]byte{vm, svm}).Draw(t, "watched")}, row.encode()
	default: // of a newer release
		r.Key, r.Value = Key{kind, vm}, []byte(anyText.Draw(t, "unknown"))
	}
}

var everyKind = []Kind{
	KindTenant, KindActivation, KindSVMConfig, KindSVMFacts, KindSVMLoad, KindVM, KindPlacement, KindAccount, KindToken,
	KindTask, KindTaskCancel, KindObservation, KindEvent, KindProtection, 200,
}
