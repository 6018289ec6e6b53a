package viis

import (
	"bytes"
	"encoding/xml"
	"testing"
)

// FuzzReadTenant: a body that is taken says to a plain reader of XML what it says to
// ours, and says it again when it is written.
func FuzzReadTenant(f *testing.F) {
	for _, body := range []string{
		simpleWith(""), "<tenant><name>acme</name>" + account + "</tenant>",
		"\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?><!-- a --><tenant><name>a<![CDATA[b]]>&#65;</name><type>Simple</type>\r\n</tenant>",
		simpleWith("<userData>]]&gt;<![CDATA[]]]]><![CDATA[>]]></userData><description>&lt;</description>"),
		simpleWith("<preferredViisAddress>[::1]:1</preferredViisAddress>"), "<!DOCTYPE t [<!ENTITY e 'x'>]><tenant>&e;</tenant>",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		n, address, err := readTenant(body)
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Errorf("refused with %d bytes", len(err.Error()))
			}
			return
		}
		var plain struct {
			Name        string `xml:"name"`
			Description string `xml:"description"`
			UserData    string `xml:"userData"`
			User        string `xml:"vKsc>user>name"`
		}
		if err := xml.Unmarshal(bytes.TrimPrefix(body, utf8Mark), &plain); err != nil {
			t.Fatalf("taken, and yet: %v", err)
		}
		got := n.Tenant
		if got.Name != plain.Name || got.Description != plain.Description || got.UserData != plain.UserData ||
			got.Administration.User != "" && got.Administration.User != plain.User {
			t.Errorf("read %+v, want %+v", got, plain)
		}
		again := append(appendElement([]byte("<tenant>"), "name", got.Name), "<type>Simple</type>"...)
		again = appendElement(appendUserData(again, got.UserData), "description", got.Description)
		again = append(appendElement(again, "preferredViisAddress", address), "</tenant>"...)
		second, where, err := readTenant(again)
		if err != nil || second.Tenant.Name != got.Name || second.Tenant.UserData != got.UserData || second.Tenant.Description != got.Description || where != address {
			t.Errorf("wrote\n%s\nread %+v, %v", again, second.Tenant, err)
		}
	})
}
