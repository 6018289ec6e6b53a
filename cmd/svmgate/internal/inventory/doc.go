// Package inventory reads and writes inventory files and applies them to a
// table: the tenants, SVMs and VMs that an administrator or a virtual
// infrastructure knows of.
//
// # Formats
//
// YAML and JSON hold one document {tenants: […], svms: […], vms: […]} in the
// shapes of the management API. NDJSON holds one {"tenant": {…}}, {"svm": {…}}
// or {"vm": {…}} a line. CSV holds VMs under the header [CSVHeader]. A tenant
// may be named instead of its id, and a record may refer to a tenant that comes
// later in the same file.
//
// Reading is strict. An unknown or doubled field, a word that is not of its
// list, a number out of range, null, invalid UTF-8, a byte order mark, an alias
// in YAML: each is an error that names line and field and what is allowed. What
// the API shows but nobody may set (created, updated, revision, lastReport) is
// accepted and ignored, so that its answers can be imported.
//
// # What is wrong with one record is wrong with that record only
//
// A record that can not be read is an [Item] with Err set, and reading goes on
// with the next one. Only a document whose structure is broken ends the reading
// with an error: [Load] has then changed nothing.
//
// # A record leaves alone what it does not mention
//
// For something new, absent fields take their defaults. Of something the table
// has, only the fields present change, to any depth; lists are replaced as a
// whole. So a nightly inventory of placements does not wipe what administrators
// wrote. To empty a field, write it as "". In CSV an empty cell is an absent
// field. A status of a tenant and a state of an SVM count only when the record
// makes them, unless [Options.WithStatus]: an inventory must not reactivate
// anybody.
//
// # Who is who
//
// A VM is known by its BIOS ID. A tenant or SVM is known by its id or, where the
// record has none, by its name; if the table has none of that name, it is made
// with an id derived from the name ([TenantIDOf], [SVMIDOf]), so that two
// gateways that import one file agree; should an administrator rename it, the
// record still finds it by that id and leaves the new name alone. A reference
// that reads as a UUID is an id, anything else a name. No two records of a file may name the same thing:
// the later one is refused.
//
// # Bounds
//
// NDJSON, CSV and JSON are streamed: a record has at most [MaxRecord] bytes, a
// file [MaxRecords] records. YAML is read as a whole, up to [MaxYAML] bytes. The
// records for tenants are held in memory, up to [MaxTenantBytes]. [Load] reads
// its input twice, first to see that it is whole and which tenants it has; it
// keeps a small one in memory and others in a temporary file.
//
// FuzzReadNDJSON, FuzzReadCSV and FuzzReadYAML watch that no input panics and
// that what is read, written and read again is equal.
package inventory

// Bounds of what is read.
const (
	MaxBytes       = 1 << 30    // of a file, unless Options.MaxBytes says otherwise
	MaxYAML        = 16 << 20   // of a YAML document, which takes some 35 times as much memory
	MaxRecord      = 1 << 20    // of one record or line
	MaxRecords     = 16_000_000 // in one file
	MaxTenantBytes = 64 << 20   // of all tenant records of a file
	MaxOneChange   = 1_000_000  // records of an atomic or dry run, which is one change of the table
	MaxRefused     = 10_000     // refusals that a Result lists; the rest it counts
)

// CSVHeader is the first line of every CSV inventory.
const CSVHeader = "biosId,tenant,name,os,kind,host,cluster,zone"
