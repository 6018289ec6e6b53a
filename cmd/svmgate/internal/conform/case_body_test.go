package conform

import "strings"

// refused says that each of some bodies of POST /tenants is 400, and that nothing
// comes of it.
func refused(bodies ...string) (t talk) {
	for _, body := range bodies {
		t = append(t, call("POST /tenants", body).is(400, failure(malformed)))
	}
	return append(t, call("GET /tenants").is(200).omitting("$name"))
}

// taken says that a body creates a simple tenant called $name.
func taken(body string) talk {
	return call("POST /tenants", body).completes("CreateTenant", named(simple("Inactive")))
}

// account is an administrator's account in a body.
func account(name, password string) string {
	return "<vKsc><user>" + name + password + "</user></vKsc>"
}

// tenantBody is a tenant called $name, with more.
func tenantBody(more ...string) string {
	return "<tenant><name>$name</name>" + strings.Join(more, "") + "</tenant>"
}

const (
	ofSimple, ofComplete = "<type>Simple</type>", "<type>Complete</type>"
	adminName            = "<name>admin of $name</name>"
	adminPassword        = "<password>" + password64 + "</password>"
)

// bodyCases are about what a tenant's body must have and may have.
func bodyCases() []test {
	return []test{
		{name: "description, user data and address are left out", lines: "create.optional", talk: taken(tenantBody(ofSimple))},
		{name: "description, user data and address are empty", lines: "create.optional", talk: taken(
			tenantBody("<description/><userData></userData><preferredViisAddress/>", ofSimple))},
		{name: "a tenant without a name", lines: "create.optional http.400", talk: refused(
			`<tenant><type>Simple</type></tenant>`,
			`<tenant><name/><type>Simple</type></tenant>`,
			`<tenant><name></name><type>Simple</type></tenant>`,
			`<tenant/>`,
		)},
		{name: "a tenant of no type is complete", lines: "create.type create.optional", talk: talk{
			call("POST /tenants", tenantBody(account(adminName, adminPassword))).completes("CreateTenant", named(complete("Inactive"))),
		}},
		{name: "a tenant of no type, without an account", lines: "create.type create.vksc-400", talk: refused(tenantBody())},
		{name: "a tenant of another type", lines: "http.400", talk: refused(
			tenantBody("<type>Other</type>"),
			tenantBody("<type>0</type>"),
		)},
		{name: "a complete tenant without an account", lines: "create.vksc create.vksc-400", talk: refused(
			tenantBody(ofComplete),
			tenantBody(ofComplete, "<vKsc/>"),
			tenantBody(ofComplete, "<vKsc><user/></vKsc>"),
		)},
		{name: "a complete tenant with half an account", lines: "create.vksc create.vksc-400", talk: refused(
			tenantBody(ofComplete, account(adminName, "")),
			tenantBody(ofComplete, account("", adminPassword)),
			tenantBody(ofComplete, account("<name/>", adminPassword)),
			tenantBody(ofComplete, account(adminName, "<password/>")),
		)},
		{name: "a simple tenant needs no account, and gets none", lines: "create.vksc tenant.vksc", talk: taken(
			tenantBody(ofSimple, account(adminName, adminPassword)))},
		{name: "elements in another order", lines: "create.body", talk: talk{
			taken(`<tenant><type>Simple</type><userData/><name>$name</name></tenant>`),
			another,
			call("POST /tenants", `<tenant><vKsc><user>`+adminPassword+adminName+`</user></vKsc>`+ofComplete+`<name>$name</name></tenant>`).
				completes("CreateTenant", named(complete("Inactive"))),
		}},
		{name: "elements that no document names", lines: "create.body http.unknown", talk: refused(
			tenantBody(ofSimple, `<colour>red</colour>`),
			tenantBody(ofSimple, `<Description>red</Description>`),
			tenantBody(ofSimple, `<more><name>x</name><type>Complete</type></more>`),
			tenantBody(ofComplete, account(adminName, adminPassword+"<domain>x</domain>")),
		)},
		{name: "attributes that no document names", lines: "create.body http.unknown", talk: refused(
			`<tenant lang="en"><name>$name</name><type>Simple</type></tenant>`,
			`<tenant><name colour="red">$name</name><type>Simple</type></tenant>`,
		)},
		{name: "what was read can be sent", lines: "create.body create.inactive http.unknown", talk: taken(
			`<tenant id="00000000-0000-0000-0000-000000000007" created="2020-01-01T00:00:00" updated="2020-01-01T00:00:00">` +
				`<name>$name</name><status>Active</status><type>Simple</type></tenant>`)},
		{name: "an element twice", lines: "http.400", talk: refused(
			tenantBody("<name>$name</name>", ofSimple),
			tenantBody(ofSimple, ofSimple),
			tenantBody(ofSimple, ofComplete),
			tenantBody(ofSimple, "<userData>1</userData><userData>2</userData>"),
			tenantBody(ofComplete, account(adminName, adminPassword), account(adminName, adminPassword)),
			tenantBody(ofComplete, account(adminName, adminPassword+adminPassword)),
		)},
		{name: "elements where there should be text", lines: "http.400", talk: refused(
			tenantBody("<description><b>bold</b></description>", ofSimple),
			`<tenant><name><b>$name</b></name><type>Simple</type></tenant>`,
		)},
		{name: "another element than a tenant", lines: "http.400", talk: refused(
			`<vm biosId="$bios1"><name>$name</name></vm>`,
			`<tenants><tenant><name>$name</name><type>Simple</type></tenant></tenants>`,
			`<Tenant><name>$name</name><type>Simple</type></Tenant>`,
		)},
		{name: "a name that is too long, and one that is not", lines: "http.400", talk: talk{
			refused(`<tenant><name>` + strings.Repeat("x", 300) + `$name</name><type>Simple</type></tenant>`),
			do(func(c *client) { c.vars["name"] = c.vars.fill("$name ") + strings.Repeat("x", 200) }),
			taken(tenantBody(ofSimple)),
		}},
		{name: "user data that is too long, and some that is not", lines: "http.400", talk: talk{
			refused(tenantBody(ofSimple, "<userData>"+strings.Repeat("x", 65<<10)+"</userData>")),
			call("POST /tenants", tenantBody(ofSimple, "<userData>"+strings.Repeat("x", 60<<10)+"</userData>")).starts("CreateTenant"),
		}},
	}
}

// passwordCases are about the password of a tenant's administrator.
func passwordCases() []test {
	withPassword := func(text string) string {
		return tenantBody(ofComplete, account(adminName, "<password>"+text+"</password>"))
	}
	takes := func(text string) talk {
		return talk{call("POST /tenants", withPassword(text)).completes("CreateTenant", named(complete("Inactive")))}
	}
	return []test{
		{name: "a password in base64", lines: "create.password", talk: takes(password64)},
		{name: "a password in base64 with line feeds, as programs write it", lines: "create.password", talk: takes(
			password64[:10] + "\n" + password64[10:] + "\n")},
		{name: "a password in CDATA", lines: "create.password http.xml", talk: takes("<![CDATA[" + password64 + "]]>")},
		{name: "a password beyond ASCII", lines: "create.password", talk: takes("0J/QsNGA0L7Qu9GM8J+UkQ==")},
		{name: "a password that is not in base64", lines: "create.password http.400", talk: refused(
			withPassword("secret!"),
			withPassword("TmV2ZX-_"),
			withPassword("TmV2ZXI"),
			withPassword("===="),
		)},
		{name: "a refusal does not repeat the password", lines: "create.password http.error", talk: talk{
			call("POST /tenants", withPassword("Zm9v!YmFy")).is(400, failure(malformed)).omitting("Zm9v"),
			call("POST /tenants", `<tenant><vKsc><user><password>`+password64+`</password>`).is(400, failure(malformed)).omitting(password64),
		}},
	}
}

// texts are what must come back as it was sent: as XML, and as a reader has it.
var texts = []struct{ name, sent, read string }{
	{"escapes", "a &amp; b &lt; c &gt; d &quot;e&quot; &apos;f&apos;", "a &amp; b &lt; c &gt; d &quot;e&quot; &apos;f&apos;"},
	{"numbered characters", "&#65;&#x42;&#x1F600;", "AB😀"},
	{"CDATA", "<![CDATA[<a>&amp;</a>]]>", "&lt;a&gt;&amp;amp;&lt;/a&gt;"},
	{"CDATA between text", "a<![CDATA[ b ]]>c", "a b c"},
	{"two CDATA in a row", "<![CDATA[a]]><![CDATA[b]]>", "ab"},
	{"the end of CDATA", "a]]&gt;b", "a]]&gt;b"},
	{"the end of CDATA, in CDATA", "<![CDATA[a]]]]><![CDATA[>b]]>", "a]]&gt;b"},
	{"brackets at the end", "<![CDATA[a]]]]>", "a]]"},
	{"letters of many", "Ünïcödé Ω Жук 漢字 עברית", "Ünïcödé Ω Жук 漢字 עברית"},
	{"emoji", "👩‍👩‍👧‍👦 🏳️‍🌈", "👩‍👩‍👧‍👦 🏳️‍🌈"},
	{"spaces at both ends", "  a  b  ", "  a  b  "},
	{"an entity that is none", "&amp;amp; &amp;lt;", "&amp;amp; &amp;lt;"},
	{"what looks like a comment", "&lt;!-- a --&gt;", "&lt;!-- a --&gt;"},
	{"percent and dollars", "100% $$ {0} %s", "100% $$ {0} %s"},
}

// textCases send texts to and fro.
func textCases() (list []test) {
	for _, text := range texts {
		list = append(list, test{name: "text: " + text.name, lines: "http.xml tenant.shape vm.shape", talk: talk{
			call("POST /tenants", `<tenant><name>`+text.sent+`$name</name><description>`+text.sent+`</description><userData>`+text.sent+`</userData><type>Simple</type></tenant>`).
				completes("CreateTenant", named(withTexts(text.read))),
			call("GET /tenants/$t").is(200, withTexts(text.read)),
			call("POST /tenants/$t/vms/register", `<vm biosId="$bios1"><name>`+text.sent+`</name><userData>`+text.sent+`</userData></vm>`).is(200),
			call("GET /tenants/$t/vms").is(200, "<vms>"+aVM("$bios1", "<name>"+text.read+"</name><userData>"+text.read+"</userData>")+"</vms>"),
		}})
	}
	lines := talk{ // names may have no such characters
		call("POST /tenants", tenantBody("<userData>a&#13;&#10;b&#9;c&#10;&#13;</userData>", ofSimple)).starts("CreateTenant"),
		do(func(c *client) {
			want := strings.Replace(simple("Inactive"), "<status>", "<userData>a&#13;&#10;b&#9;c&#10;&#13;</userData><status>", 1)
			follow{kind: "CreateTenant", end: "Completed", progress: "100", outcome: "<result>" + named(want) + "</result>"}.take(c)
			call("GET /tenants/$t").is(200, want).take(c)
		}),
	}
	return append(
		list,
		test{name: "text: ends of lines and tabs", lines: "http.xml", talk: lines},
		test{name: "text: characters that XML has not", lines: "http.400", talk: refused(
			tenantBody("<userData>a&#1;b</userData>", ofSimple),
			tenantBody("<userData>a&#0;b</userData>", ofSimple),
			tenantBody("<userData>a\x01b</userData>", ofSimple),
			tenantBody("<userData>a&#xFFFF;b</userData>", ofSimple),
			tenantBody("<userData>a&#xD800;b</userData>", ofSimple),
		)},
	)
}

func withTexts(read string) string {
	return `<tenant id="$t" created="$:date" updated="$:date"><name>` + read + `$name</name><description>` + read + `</description>` +
		`<userData>` + read + `</userData><status>Inactive</status><type>Simple</type></tenant>`
}
