// Package viis serves the REST API for multi-tenancy of the vendor's Integration Server,
// version 2.0, under /api/2.0/virtualization: tenants, their VMs, protection reports and
// tasks, as XML.
//
// Automation that was written for the documented API runs against it unchanged. What the
// documents leave open is decided as a user of the vendor's product would expect, and
// named as assumed: docs/integration-server.md lists every line.
//
//   - Every call needs an account with the role "multitenancy" or "admin"; 401 without
//     one, 403 with another.
//   - A refusal is <error><code/><message/></error>; a task's <error> is a text, "CODE:
//     message".
//   - Dates are YYYY-MM-DDThh:mm:ss, in UTC.
//   - A change is answered once every gateway that is alive has it, or after a second:
//     behind a balancer the next call may reach another one. What a gateway has shown of
//     a task, the next one that is asked shows, too.
//   - Bodies are read strictly and within bounds: one element, known children, each at most
//     once, no DOCTYPE, UTF-8, 256 KiB. What is refused costs little
//     (TestHostileBodiesCostLittle).
//   - What is written is XML whatever the table holds, and says what it holds to any reader
//     of XML (TestWhatIsWrittenIsRead); U+FFFD stands for characters that XML has not.
//   - Lists are whole, and made as they are taken: millions of VMs need no memory.
package viis
