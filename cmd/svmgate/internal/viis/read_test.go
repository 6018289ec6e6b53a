package viis

import (
	"errors"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/tenancy"
	"github.com/svmgate/svmgate/store"
)

const (
	aBIOS   = "4c4c4544-0042-3510-8054-b7c04f463032"
	account = "<vKsc><user><name>boss</name><password>c2VjcmV0IQ==</password></user></vKsc>"
)

// simpleWith is the body of a simple tenant called acme with more in it.
func simpleWith(more string) string {
	return "<tenant><name>acme</name><type>Simple</type>" + more + "</tenant>"
}

func TestReadTenant(t *testing.T) {
	simple := store.Tenant{Name: "acme", Type: store.Simple}
	with := func(change func(*store.Tenant)) store.Tenant {
		tenant := simple
		change(&tenant)
		return tenant
	}
	userData := func(s string) store.Tenant { return with(func(x *store.Tenant) { x.UserData = s }) }
	complete := store.Tenant{Name: "acme", Administration: store.Administration{User: "boss"}}
	tests := []struct {
		name, body string
		want       store.Tenant
		password   string
		address    string
	}{
		{name: "simple", body: simpleWith(""), want: simple},
		{name: "complete", body: "<tenant><name>acme</name><type>Complete</type>" + account + "</tenant>", want: complete, password: "secret!"},
		{name: "no type is complete", body: "<tenant><name>acme</name>" + account + "</tenant>", want: complete, password: "secret!"},
		{name: "any order", body: "<tenant>" + account + "<type>Complete</type><name>acme</name></tenant>", want: complete, password: "secret!"},
		{name: "the account of a simple tenant is not used", body: simpleWith(account), want: simple},
		{
			name: "all of it, laid out", want: with(func(x *store.Tenant) { x.Description, x.UserData = "d & e", "<x>1</x>" }), address: "is.example:7271",
			body: "<?xml version=\"1.0\" encoding=\"utf-8\" standalone='yes' ?>\r\n<!-- made by hand -->\n<tenant>\n\t<name>acme</name>\n  <description>d &amp; e</description>" +
				"<!-- as is --><userData><![CDATA[<x>1</x>]]></userData>\n<preferredViisAddress> is.example:7271\n</preferredViisAddress><type>\n Simple </type>\n</tenant>\n<!-- end -->\n",
		},
		{name: "a byte order mark", body: "\xef\xbb\xbf" + simpleWith(""), want: simple},
		{name: "a byte order mark and a declaration", body: "\xef\xbb\xbf<?xml version='1.0'?>" + simpleWith(""), want: simple},
		{name: "what programs say of schemas", want: simple, body: `<tenant xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xsi:noNamespaceSchemaLocation="t.xsd">` +
			`<name>acme</name><description xmlns="" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true"/><type>Simple</type></tenant>`},
		{name: "what was read", body: `<tenant id="17" created="" updated="2020-01-01T00:00:00"><name>acme</name><vKsc id="7"><user><name>boss</name></user></vKsc><status>Active</status><type>Simple</type></tenant>`, want: simple},
		{name: "empty elements", body: simpleWith("<description/><userData></userData><preferredViisAddress/>"), want: simple},
		{name: "white space is kept", body: simpleWith("<userData> a\n\tb </userData>"), want: userData(" a\n\tb ")},
		{name: "ends of lines are those of XML", body: simpleWith("<userData>a\r\nb\rc&#13;</userData>"), want: userData("a\nb\nc\r")},
		{name: "entities and references", body: simpleWith("<userData>&lt;&gt;&amp;&apos;&quot;&#65;&#x1F600;</userData>"), want: userData(`<>&'"A😀`)},
		{name: "text, CDATA and comments are one text", body: simpleWith("<userData>a<![CDATA[b]]]]><!-- x --><![CDATA[>c]]>d</userData>"), want: userData("ab]]>cd")},
		{name: "what is no reference in CDATA", body: simpleWith("<userData><![CDATA[&#xD800;]]></userData>"), want: userData("&#xD800;")},
		{name: "the replacement character itself", body: simpleWith("<userData>\uFFFD&#xFFFD;</userData>"), want: userData("\uFFFD\uFFFD")},
		{name: "a name as long as may be", body: "<tenant><name>" + strings.Repeat("x", maxName) + "</name><type>Simple</type></tenant>",
			want: with(func(x *store.Tenant) { x.Name = strings.Repeat("x", maxName) })},
		{name: "a password over two lines", body: "<tenant><name>acme</name><vKsc><user><name>boss</name><password>c2Vj\r\n  cmV0IQ==\n</password></user></vKsc></tenant>",
			want: complete, password: "secret!"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, address, err := readTenant([]byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Discovery = store.DefaultDiscovery()
			if want := (tenancy.NewTenant{Tenant: tt.want}); !same(got, want) || string(got.Password) != tt.password || address != tt.address {
				t.Errorf("got %+v, password %q, address %q\nwant %+v, %q, %q", got.Tenant, got.Password, address, tt.want, tt.password, tt.address)
			}
		})
	}
}

// same compares what a body says, the password aside.
func same(a, b tenancy.NewTenant) bool {
	x, y := a.Tenant, b.Tenant
	return x.Name == y.Name && x.Description == y.Description && x.UserData == y.UserData && x.Type == y.Type &&
		x.Administration == y.Administration && x.Discovery == y.Discovery
}

func TestRefusedBodies(t *testing.T) {
	whole := simpleWith("")
	tests := []struct{ name, body, says string }{
		{"nothing", "", "want <tenant>"},
		{"a mark alone", "\xef\xbb\xbf", "want <tenant>"},
		{"a comment alone", "<!-- nothing -->", "want <tenant>"},
		{"text", "acme", "text outside"},
		{"JSON", `{"name":"acme"}`, "text outside"},
		{"another root", "<vm/>", "must be <tenant>, not <vm>"},
		{"another case", "<Tenant/>", "not <Tenant>"},
		{"two roots", whole + whole, "behind </tenant>"},
		{"text behind", whole + "x", "text outside"},
		{"text before", "x" + whole, "text outside"},
		{"a reference before", "&#32;" + whole, "text outside"},
		{"CDATA behind", whole + "<![CDATA[ ]]>", "text outside"},
		{"an end behind", whole + "</tenant>", "unexpected end element"},
		{"two marks", "\xef\xbb\xbf\xef\xbb\xbf" + whole, "text outside"},
		{"cut in a tag", "<tenant><na", "unexpected EOF"},
		{"cut in an element", "<tenant><name>acme", "unexpected EOF"},
		{"elements that cross", "<tenant><name></tenant></name>", "closed by </tenant>"},
		{"an unknown element", simpleWith("<colour/>"), "<colour> is unknown in <tenant>"},
		{"an element at the wrong place", simpleWith("<password/>"), "<password> is unknown in <tenant>"},
		{"an element in text", "<tenant><name><b/></name></tenant>", "<name> has text only"},
		{"an unknown attribute", `<tenant colour="1"/>`, "attribute colour of <tenant> is unknown"},
		{"an attribute of answers, elsewhere", `<tenant><name id="1"/></tenant>`, "attribute id of <name> is unknown"},
		{"an attribute of answers, in a namespace", `<tenant x:id="1"/>`, "attribute x:id of <tenant> is unknown"},
		{"an attribute twice", `<tenant id="1" id="1"/>`, "attribute id of <tenant> is given twice"},
		{"an attribute of schemas twice", `<tenant xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="1" xsi:nil="1"/>`, "is given twice"},
		{"status twice", simpleWith("<status/><status/>"), "<status> is given twice"},
		{"an element twice", simpleWith("<name>b</name>"), "<name> is given twice"},
		{"text between elements", simpleWith("x"), "<tenant> must have no text"},
		{"CDATA between elements", simpleWith("<![CDATA[]]>"), "<tenant> must have no text"},
		{"a namespace", `<tenant xmlns="urn:x"/>`, "not <urn:x:tenant>, in no namespace"},
		{"a namespace of an element", `<tenant><name xmlns="urn:x">acme</name></tenant>`, "<urn:x:name> is unknown"},
		{"a prefix", `<tenant xmlns:t="urn:x"/>`, "attribute xmlns:t of <tenant> is unknown"},
		{"a prefix that nobody declared", "<tenant><t:name/></tenant>", "<t:name> is unknown"},
		{"a prefix of schemas that nobody declared", `<tenant xsi:nil="true"/>`, "attribute xsi:nil of <tenant> is unknown"},
		{"an element of schemas", `<tenant xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><xsi:name/></tenant>`, "is unknown in <tenant>"},
		{"another namespace under that prefix", `<tenant xmlns:xsi="urn:x"/>`, "attribute xmlns:xsi of <tenant> is unknown"},
		{"a document type", "<!DOCTYPE tenant>" + whole, "document type"},
		{"an entity that somebody declares", `<!DOCTYPE tenant [<!ENTITY e "x">]><tenant><name>&e;</name></tenant>`, "document type"},
		{"a declaration of an element, within", "<tenant><!ELEMENT a ANY></tenant>", "document type"},
		{"an entity that nobody declared", "<tenant><name>&nbsp;</name></tenant>", "invalid character entity &nbsp;"},
		{"an instruction", "<?made by hand?>" + whole, "processing instruction"},
		{"a declaration behind", whole + `<?xml version="1.0"?>`, "processing instruction"},
		{"a declaration behind white space", ` <?xml version="1.0"?>` + whole, "processing instruction"},
		{"another version", `<?xml version="1.1"?>` + whole, "version"},
		{"another encoding", `<?xml version="1.0" encoding="ISO-8859-1"?>` + whole, "no other encoding"},
		{"an encoding of no name", `<?xml version="1.0" encoding=""?>` + whole, "no other encoding"},
		{"a declaration without a version", `<?xml encoding="UTF-8"?>` + whole, "no other encoding"},
		{"UTF-16", "\xff\xfe<\x00t\x00", "byte 0 of the body"},
		{"UTF-16 without a mark", "<\x00t\x00", "byte 1 of the body"},
		{"not UTF-8", simpleWith("<userData>\xc0\xaf</userData>"), "of the body is no character"},
		{"half of a pair in UTF-8", simpleWith("<userData>\xed\xa0\x80</userData>"), "of the body is no character"},
		{"NUL in a comment", "<!-- \x00 -->" + whole, "byte 5 of the body"},
		{"a control character", simpleWith("<userData>\x01</userData>"), "of the body is no character"},
		{"U+FFFE", simpleWith("<userData>\uFFFE</userData>"), "of the body is no character"},
		{"a reference to a control character", simpleWith("<userData>&#1;</userData>"), "illegal character code"},
		{"a reference to half of a pair", simpleWith("<userData>&#xD800;</userData>"), "surrogate"},
		{"a reference to the other half, in decimals", simpleWith("<userData>x&#65;&#57343;</userData>"), "surrogate"},
		{"a reference beyond Unicode", simpleWith("<userData>&#x110000;</userData>"), "invalid character entity"},
		{"a reference with more zeros than anybody needs", "<tenant><name>&#x00000000000041;</name></tenant>", "of at most 16 bytes"},
		{"a reference without an end", "<tenant><name>a & b</name></tenant>", "write &amp;"},
		{"an attribute without a value", "<tenant a/>", "attribute name without ="},
		{"a value without quotes", "<tenant a=1/>", "unquoted"},
		{"a comment with two hyphens", "<!-- a -- b -->" + whole, `"--" not allowed`},
		{"the end of CDATA in text", simpleWith("<userData>]]></userData>"), "unescaped ]]>"},
		{"CDATA without an end", "<tenant><name><![CDATA[acme</name></tenant>", "unexpected EOF in CDATA"},
		{"a tag that is too long", `<tenant a="` + strings.Repeat("x", maxTag) + `"/>`, "longer than 1024 bytes"},
		{"too many comments", strings.Repeat("<!---->", maxComments+1) + whole, "more than 100 comments"},
		{"a name that is too long", "<tenant><name>" + strings.Repeat("x", maxName+1) + "</name></tenant>", "<name> is longer than 256 bytes"},
		{"user data that is too long", simpleWith("<userData>" + strings.Repeat("<![CDATA["+strings.Repeat("x", 1000)+"]]>", maxText/1000+1) + "</userData>"), "<userData> is longer than 65536 bytes"},

		{"no name", "<tenant><type>Simple</type></tenant>", "must have a <name>"},
		{"a name of white space", "<tenant><name> \n</name><type>Simple</type></tenant>", "must have a <name>"},
		{"another type", "<tenant><name>acme</name><type>simple</type></tenant>", "want Complete or Simple"},
		{"complete without an account", "<tenant><name>acme</name><type>Complete</type></tenant>", "a complete tenant must have"},
		{"complete with a name only", "<tenant><name>acme</name><vKsc><user><name>boss</name></user></vKsc></tenant>", "a complete tenant must have"},
		{"complete with a password only", "<tenant><name>acme</name><vKsc><user><password>c2VjcmV0IQ==</password></user></vKsc></tenant>", "a complete tenant must have"},
		{"two accounts", "<tenant><name>acme</name>" + account + account + "</tenant>", "<vKsc> is given twice"},
		{"a password in the other base64", strings.Replace("<tenant><name>acme</name>"+account+"</tenant>", "c2VjcmV0IQ==", "c2Vj_-V0", 1), "in base64"},
		{"a password without padding", strings.Replace("<tenant><name>acme</name>"+account+"</tenant>", "c2VjcmV0IQ==", "c2VjcmV0IQ", 1), "in base64"},
		{"an address with a path", simpleWith("<preferredViisAddress>https://is.example/</preferredViisAddress>"), "<preferredViisAddress> must be"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := readTenant([]byte(tt.body))
			refusedAs(t, err, tt.says)
		})
	}
}

func refusedAs(t *testing.T, err error, says string) {
	t.Helper()
	var f *failure
	switch {
	case err == nil:
		t.Error("it was taken")
	case !errors.As(err, &f) || f.status != 400 || f.code != codeBadRequest:
		t.Errorf("refused as %#v, want 400 %s", err, codeBadRequest)
	case !strings.Contains(f.message, says):
		t.Errorf("refused with %q, want %q in it", f.message, says)
	case len(f.message) > 500:
		t.Errorf("refused with %d bytes", len(f.message))
	}
}

// TestRefusalTellsNoPassword breaks a body around its password in every way that ends
// within it.
func TestRefusalTellsNoPassword(t *testing.T) {
	const secret = "S3cretS3cret"
	for _, text := range []string{
		secret, secret + "!", "!" + secret, secret + "&" + secret + ";", secret + "<", secret + "]]>", secret + "</" + secret + ">",
		strings.Repeat(secret, maxPassword), secret + "<" + secret + "/>", "<" + secret + "/>", "<![CDATA[" + secret,
	} {
		body := "<tenant><name>acme</name><vKsc><user><name>boss</name><password>" + text + "</password></user></vKsc><end></tenant>"
		if _, _, err := readTenant([]byte(body)); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("password %.40s: %v", text, err)
		}
	}
}

func TestReadVM(t *testing.T) {
	for _, bios := range []string{aBIOS, strings.ToUpper(aBIOS), "{" + aBIOS + "}", " " + strings.ReplaceAll(aBIOS, "-", "") + "\n"} {
		vm, err := readVM([]byte(`<vm id="17" biosId='` + bios + `' created="" updated=""><userData>rack 7</userData><name>web</name></vm>`))
		if err != nil || vm.BIOS.String() != aBIOS || vm.Name != "web" || vm.UserData != "rack 7" {
			t.Errorf("BIOS ID %q: %+v, %v", bios, vm, err)
		}
	}
	for _, tt := range []struct{ body, says string }{
		{"<vm/>", "want a UUID"},
		{`<vm biosId=""/>`, "want a UUID"},
		{`<vm biosId="17"/>`, "want a UUID"},
		{`<vm biosId="00000000-0000-0000-0000-000000000000"/>`, "want a UUID"},
		{`<vm biosId="` + aBIOS + `" biosId="` + aBIOS + `"/>`, "given twice"},
		{`<vm biosId="` + aBIOS + `" colour="1"/>`, "attribute colour of <vm> is unknown"},
		{`<vm x:biosId="` + aBIOS + `"/>`, "attribute x:biosId of <vm> is unknown"},
		{`<vm biosId="` + aBIOS + `"><os/></vm>`, "<os> is unknown in <vm>, which may have <name>, <userData>"},
		{`<tenant biosId="` + aBIOS + `"/>`, "must be <vm>"},
	} {
		_, err := readVM([]byte(tt.body))
		refusedAs(t, err, tt.says)
	}
}

func TestAddresses(t *testing.T) {
	label := strings.Repeat("x", 63)
	for s, want := range map[string]bool{
		"192.0.2.1": true, "192.0.2.1:7271": true, "2001:db8::1": true, "[2001:db8::1]": true, "[2001:db8::1]:7271": true, "is": true,
		"is.example": true, "is.example.:80": true, label + ".example": true,
		"": false, "a b": false, ".": false, "is..example": false, "-is": false, "is:": false, "is:0": false, "is:65536": false, "is:1:2": false, "[is]": false,
		"[192.0.2.1]": false, "[2001:db8::1": false, "http://is": false, "is/": false, "user@is": false, "x" + label: false, "é.example": false,
		strings.Repeat(label+".", 4) + "x": false,
	} {
		if got := isAddress(s); got != want {
			t.Errorf("isAddress(%q) = %v, want %v", s, got, want)
		}
	}
}

// TestTextInPieces: user data that fits is read again as it is written, however often it
// has what ends a CDATA section.
func TestTextInPieces(t *testing.T) {
	for piece, want := range map[string]bool{"]]]]><![CDATA[>": true, "]]><![CDATA[": false} {
		head, tail := "<tenant><name>acme</name><type>Simple</type><userData><![CDATA[", "]]></userData></tenant>"
		body := head + strings.Repeat(piece, (MaxBody-len(head)-len(tail))/len(piece)) + tail
		if _, _, err := readTenant([]byte(body)); (err == nil) != want {
			t.Errorf("%q in %d bytes: %v", piece, len(body), err)
		}
	}
}
