package conform

import (
	"strings"
	"unicode/utf16"
)

// asUTF16 writes text as a document in UTF-16 with a byte order mark.
func asUTF16(text string) string {
	b := []byte{0xfe, 0xff}
	for _, unit := range utf16.Encode([]rune(text)) {
		b = append(b, byte(unit>>8), byte(unit))
	}
	return string(b)
}

// syntaxCases are about the ways to write a document.
func syntaxCases() []test {
	const mark = "\ufeff"
	body := tenantBody(ofSimple)
	return []test{
		{name: "a declaration", lines: "http.encoding", talk: talk{
			taken(`<?xml version="1.0"?>` + body),
			another,
			taken(`<?xml version="1.0" encoding="UTF-8"?>` + "\r\n" + body),
			another,
			taken(`<?xml version='1.0' encoding='utf-8' standalone='yes' ?>` + "\n\n" + body),
		}},
		{name: "a mark at the begin", lines: "http.encoding", talk: talk{
			taken(mark + body),
			another,
			taken(mark + `<?xml version="1.0" encoding="utf-8"?>` + body),
		}},
		{name: "other encodings", lines: "http.encoding http.400", talk: refused(
			`<?xml version="1.0" encoding="ISO-8859-1"?>`+body,
			`<?xml version="1.0" encoding="windows-1251"?>`+body,
			`<?xml version="1.0" encoding="UTF-16"?>`+body,
			`<?xml version="1.0" encoding="UTF-7"?>`+body,
			`<?xml version="1.0" encoding=""?>`+body,
		)},
		{name: "bytes that are not UTF-8", lines: "http.encoding http.400", talk: talk{
			refused(
				tenantBody("<userData>\xff</userData>", ofSimple),
				tenantBody("<userData>\xc0\xaf</userData>", ofSimple),
				tenantBody("<userData>\xed\xa0\x80</userData>", ofSimple),
				tenantBody("<userData>a\x00b</userData>", ofSimple),
			),
			do(func(c *client) {
				call("POST /tenants", asUTF16(c.vars.fill(body))).is(400, failure(malformed)).take(c)
			}),
		}},
		{name: "layout and comments", lines: "http.xml", talk: taken(
			"<?xml version=\"1.0\"?>\n<!-- made by hand -->\n<tenant>\n\t<!-- the name -->\n\t<name>$name</name>\r\n" +
				"  <type>Simple</type>\n</tenant>\n<!-- the end -->\n")},
		{name: "instructions", lines: "http.unknown", talk: refused(
			`<?xml version="1.0"?><?xml-stylesheet href="https://192.0.2.1/t.xsl"?>`+body,
			tenantBody(`<?what is="this"?>`, ofSimple),
			body+`<?what is="this"?>`,
		)},
		{name: "a comment within text is not part of it", lines: "http.xml", talk: taken(
			"<tenant><name><!-- a -->$name<!-- b --></name><type>Sim<!-- c -->ple</type></tenant>")},
		{name: "a document type", lines: "http.doctype http.400", talk: refused(
			`<!DOCTYPE tenant>`+body,
			`<?xml version="1.0"?><!DOCTYPE tenant SYSTEM "tenant.dtd">`+body,
			`<!DOCTYPE tenant [<!ELEMENT tenant ANY>]>`+body,
			`<!DOCTYPE tenant [<!ENTITY e "x">]><tenant><name>$name&e;</name><type>Simple</type></tenant>`,
			`<!DOCTYPE tenant [<!ENTITY e SYSTEM "file:///etc/passwd">]><tenant><name>$name&e;</name><type>Simple</type></tenant>`,
		)},
		{name: "an entity that nobody declared", lines: "http.400", talk: refused(
			`<tenant><name>$name&nbsp;</name><type>Simple</type></tenant>`,
			`<tenant><name>$name&e;</name><type>Simple</type></tenant>`,
			`<tenant><name>$name & more</name><type>Simple</type></tenant>`,
		)},
		{name: "no body, or one without an element", lines: "http.400", talk: refused(
			"", " ", "\n", mark, `<?xml version="1.0"?>`, "<!-- nothing -->", "text", "17", `{"name":"x"}`,
		)},
		{name: "a body that ends early", lines: "http.400", talk: refused(
			`<tenant>`, `<tenant><name>$name</name><type>Simple</type>`, `<tenant><name>$name`, `<tenant><name>$name</name`,
			`<tenant><name><![CDATA[$name</name></tenant>`, `<tenant><!-- <name>$name</name></tenant>`, `<`, `<?xml`,
		)},
		{name: "a body that goes on behind its end", lines: "http.400", talk: refused(
			body+body, body+"more", body+"</tenant>", body+"<more/>", body+"\x00", body+"<![CDATA[ ]]>", body+`<?xml version="1.0"?>`,
		)},
		{name: "a body that begins before its begin", lines: "http.400", talk: refused(
			"more"+body, ` <?xml version="1.0"?>`+body, mark+mark+body,
		)},
		{name: "elements that do not fit together", lines: "http.400", talk: refused(
			`<tenant><name>$name</type><type>Simple</name></tenant>`,
			`<tenant><name>$name</Name><type>Simple</type></tenant>`,
			`<tenant><name>$name</name></name><type>Simple</type></tenant>`,
			`<tenant><name>$name</name><type>Simple</type></vm>`,
		)},
		{name: "an attribute twice", lines: "http.400", talk: talk{
			refused(`<tenant a="1" a="2"><name>$name</name><type>Simple</type></tenant>`, `<tenant><name a="1" a="1">$name</name><type>Simple</type></tenant>`),
			aSimple,
			call("POST /tenants/$t/vms/register", `<vm biosId="$bios1" biosId="$bios2"/>`).is(400, failure(malformed)),
			call("GET /tenants/$t/vms").is(200, "<vms/>"),
		}},
		{name: "attributes that are not as XML has them", lines: "http.400", talk: refused(
			`<tenant a><name>$name</name><type>Simple</type></tenant>`,
			`<tenant a=1><name>$name</name><type>Simple</type></tenant>`,
			`<tenant a="<"><name>$name</name><type>Simple</type></tenant>`,
			`<tenant a="1"b="2"><name>$name</name><type>Simple</type></tenant>`,
		)},
		{name: "namespaces that are declared and not used, as programs write them", lines: "http.xml", talk: taken(
			`<tenant xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema">` +
				`<name>$name</name><type>Simple</type></tenant>`)},
		{name: "attributes about XML schemas, as programs write them", lines: "http.xml http.unknown", talk: talk{
			taken(`<tenant xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="t.xsd"><name>$name</name>` +
				`<description xsi:nil="true"/><type>Simple</type></tenant>`),
			another,
			taken(`<tenant xmlns:i="http://www.w3.org/2001/XMLSchema-instance" xmlns=""><name>$name</name><userData i:nil="true"></userData><type>Simple</type></tenant>`),
		}},
		{name: "an element of another namespace is another element", lines: "http.unknown", talk: refused(
			`<tenant xmlns:x="urn:x"><name>$name</name><x:name>other</x:name><type>Simple</type></tenant>`,
			`<tenant xmlns="urn:x"><name>$name</name><type>Simple</type></tenant>`,
			`<x:tenant xmlns:x="urn:x"><name>$name</name><type>Simple</type></x:tenant>`,
		)},
		{name: "a prefix that nobody declared", lines: "http.400", talk: refused(
			`<tenant><x:name>$name</x:name><name>$name</name><type>Simple</type></tenant>`,
			`<x:tenant><name>$name</name><type>Simple</type></x:tenant>`,
		)},
		{name: "types of a body that are taken", lines: "http.type", talk: talk{
			call("POST /tenants", body).with("Content-Type: text/xml").starts("CreateTenant"),
			call("POST /tenants", body).with("Content-Type: application/xml; charset=utf-8").starts("CreateTenant"),
			call("POST /tenants", body).with(`Content-Type: text/xml; charset="UTF-8"`).starts("CreateTenant"),
			call("POST /tenants", body).with("Content-Type: APPLICATION/XML").starts("CreateTenant"),
		}},
		{name: "a body of no type is taken", lines: "http.type", talk: talk{
			call("POST /tenants", body).with("Content-Type: ").starts("CreateTenant"),
		}},
		{name: "types of a body that are not taken", lines: "http.type", talk: talk{
			call("POST /tenants", body).with("Content-Type: application/json").is(415),
			call("POST /tenants", body).with("Content-Type: text/plain").is(415),
			call("POST /tenants", body).with("Content-Type: application/x-www-form-urlencoded").is(415),
			call("POST /tenants", body).with("Content-Type: application/xml; charset=utf-16").isOneOf(400, 415),
			call("POST /tenants", body).with("Content-Type: nonsense").is(415),
			call("GET /tenants").is(200).omitting("$name"),
		}},
		{name: "a body from another site", lines: "http.type", talk: talk{
			call("POST /tenants", body).with("Origin: https://elsewhere.example").is(403),
			call("POST /tenants", body).with("Sec-Fetch-Site: cross-site").is(403),
			call("GET /tenants").is(200).omitting("$name"),
		}},
		{name: "bodies of other calls are read with the same care", lines: "http.400 http.doctype http.encoding", talk: talk{
			aSimple,
			call("POST /tenants/$t/vms/register").is(400, failure(malformed)),
			call("POST /tenants/$t/vms/register", `<!DOCTYPE vm><vm biosId="$bios1"/>`).is(400, failure(malformed)),
			call("POST /tenants/$t/vms/register", `<?xml version="1.0" encoding="ISO-8859-1"?><vm biosId="$bios1"/>`).is(400, failure(malformed)),
			call("POST /tenants/$t/vms/register", `<vm biosId="$bios1"/><vm biosId="$bios2"/>`).is(400, failure(malformed)),
			call("POST /tenants/$t/vms/register", `<vm biosId="$bios1">`).is(400, failure(malformed)),
			call("POST /tenants/$t/vms/register", `<tenant biosId="$bios1"/>`).is(400, failure(malformed)),
			call("POST /tenants/$t/vms/register", `<vm biosId="$bios1"/>`).with("Content-Type: application/json").is(415),
			call("GET /tenants/$t/vms").is(200, "<vms/>"),
		}},
		{name: "a body that is too large", lines: "http.400", talk: talk{
			call("POST /tenants", "<tenant><name>$name</name><userData>"+strings.Repeat("x", 3<<20)+"</userData></tenant>").isOneOf(400, 413),
		}},
	}
}
