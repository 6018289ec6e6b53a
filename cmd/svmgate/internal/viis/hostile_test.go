package viis

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/viis/hostile"
)

// costly are documents that shall cost this reader more than they cost who sends them.
// They are as large as a body may be, where size makes them worse. Package hostile has
// those that are hostile to any reader.
var costly = []struct{ name, body string }{
	{"a bomb of entities", bomb()},
	{"a bomb of one entity", `<!DOCTYPE t [<!ENTITY a "` + strings.Repeat("x", 100_000) + `">]><tenant><name>` + strings.Repeat("&a;", 50_000) + `</name></tenant>`},
	{"an entity from a file", `<!DOCTYPE t [<!ENTITY a SYSTEM "file:///etc/passwd">]><tenant><name>&a;</name></tenant>`},
	{"a document type from elsewhere", `<!DOCTYPE tenant PUBLIC "-//X//Y" "http://192.0.2.1/t.dtd"><tenant/>`},
	{"a document type without an end", fill("<!DOCTYPE t [", "<!ENTITY a 'b'>", "")},
	{"brackets in a document type", fill("<!DOCTYPE ", "<", "")},
	{"comments in a document type", fill("<!DOCTYPE ", "<!-- -->", "")},
	{"depth", fill("", "<tenant>", "")},
	{"depth of known elements", fill("<tenant><vKsc>", "<user>", "")},
	{"depth of empty names", fill("", "<a>", "")},
	{"100,000 attributes", fill("<tenant ", "a='' ", "/>")},
	{"attributes at the second element", fill("<tenant><name ", "a=''", "/></tenant>")},
	{"attributes of an end", fill("<tenant></tenant ", "a=''", ">")},
	{"namespaces", fill("<tenant ", "xmlns:a='b' ", "/>")},
	{"a huge name", fill("<", "a", "/>")},
	{"a huge name of an attribute", fill("<tenant ", "a", "=''/>")},
	{"a huge name of an end", fill("<tenant></", "a", ">")},
	{"a huge name of an entity", fill("<tenant><name>&", "a", ";</name></tenant>")},
	{"a huge reference", fill("<tenant><name>&#", "9", ";</name></tenant>")},
	{"a huge value", fill("<tenant a='", "a", "'/>")},
	{"a huge text", fill("<tenant><name>", "a", "</name></tenant>")},
	{"a huge text in pieces", fill("<tenant><userData>", "<![CDATA[a]]>", "</userData></tenant>")},
	{"pieces of nothing", fill("<tenant><userData>", "<![CDATA[]]>", "</userData></tenant>")},
	{"text and CDATA in turn", fill("<tenant><userData>", "a<![CDATA[]]>", "</userData></tenant>")},
	{"references", fill("<tenant><userData>", "&#x0000000041;", "</userData></tenant>")},
	{"ends of lines", fill("<tenant><userData>", "\r\n", "</userData></tenant>")},
	{"white space", fill("<tenant>", " \n", "</tenant>")},
	{"white space before", fill("", " \n", "<tenant/>")},
	{"comments", fill("", "<!---->", "<tenant/>")},
	{"comments within", fill("<tenant><name>", "<!---->", "</name></tenant>")},
	{"a huge comment", fill("<!--", "a", "--><tenant/>")},
	{"a comment without an end", fill("<!--", "- ", "")},
	{"instructions", fill("", "<?a?>", "<tenant/>")},
	{"a huge instruction", fill("<?a ", "a", "?><tenant/>")},
	{"a huge declaration", fill("<?xml version='1.0' ", " ", "?><tenant/>")},
	{"CDATA without an end", fill("<tenant><userData><![CDATA[", "]]", "")},
	{"elements", fill("<tenant>", "<name/>", "</tenant>")},
	{"ends", fill("<tenant/>", "</tenant>", "")},
	{"UTF-16, little end first", utf16LE(simpleWith(strings.Repeat(" ", 100_000)))},
	{"UTF-16 declared", `<?xml version="1.0" encoding="UTF-16"?>` + simpleWith("")},
	{"UTF-7", `<?xml version="1.0" encoding="UTF-7"?>+ADw-tenant+AD4-`},
	{"not UTF-8, at the end", fill(simpleWith(""), " ", "\xff")},
	{"NUL", fill("<tenant>", " ", "\x00</tenant>")},
	{"nothing but NUL", fill("", "\x00", "")},
	{"surrogates in UTF-8", fill("<tenant><userData>", "\xed\xa0\x80", "</userData></tenant>")},
	{"noise", noise()},
}

// fill repeats middle between begin and end until the body is as large as may be.
func fill(begin, middle, end string) string {
	return begin + strings.Repeat(middle, (MaxBody-len(begin)-len(end))/len(middle)) + end
}

func bomb() string {
	var b strings.Builder
	b.WriteString(`<!DOCTYPE t [<!ENTITY e0 "ha">`)
	for i := range 30 {
		fmt.Fprintf(&b, `<!ENTITY e%d "%s">`, i+1, strings.Repeat(fmt.Sprintf("&e%d;", i), 10))
	}
	b.WriteString(`]><tenant><name>&e30;</name></tenant>`)
	return b.String()
}

func utf16LE(s string) string {
	var b strings.Builder
	b.WriteString("\xff\xfe")
	for i := range len(s) {
		b.WriteString(s[i:i+1] + "\x00")
	}
	return b.String()
}

func noise() string {
	b := make([]byte, MaxBody)
	for i := range b {
		b[i] = `<>/?!&;'" ax=-[]`[(i*i+i/7)%16]
	}
	return string(b)
}

// mostTime bounds how long reading a body may take, with room for a machine that is busy:
// BenchmarkHostile tells what it takes.
const mostTime = 10 * hostile.Longest

func TestHostileBodiesCostLittle(t *testing.T) {
	refuses := func(t *testing.T, body []byte) {
		t.Helper()
		allocated, took := cost(func() {
			raw, err := received(body)
			if err != nil {
				return
			}
			if _, _, err := readTenant(raw); err == nil {
				t.Error("it was taken for a tenant")
			}
			if _, err := readVM(raw); err == nil {
				t.Error("it was taken for a VM")
			}
		})
		if allocated > hostile.Most || took > mostTime {
			t.Errorf("refused after %v and %d KiB", took, allocated>>10)
		}
	}
	for _, d := range costly {
		t.Run(d.name, func(t *testing.T) {
			if len(d.body) > MaxBody {
				t.Errorf("the body has %d bytes", len(d.body))
			}
			refuses(t, []byte(d.body))
		})
	}
	for name, frame := range map[string]hostile.Frame{"tenant": hostile.Tenant, "VM": hostile.VM} {
		for _, d := range hostile.In(frame) {
			t.Run(name+": "+d.Name, func(t *testing.T) { refuses(t, d.Body) })
		}
	}
	_, _, err := readTenant(hostile.Plain(hostile.Tenant))
	check(t, err)
	_, err = readVM(hostile.Plain(hostile.VM))
	check(t, err)
}

// received is a body as the handlers get it, if they do.
func received(body []byte) ([]byte, error) {
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetMethod("POST")
	ctx.Request.SetBodyStream(bytes.NewReader(body), len(body))
	return (&call{ctx: &ctx}).body()
}

// TestLargestBodiesCostLittle is for those that are taken.
func TestLargestBodiesCostLittle(t *testing.T) {
	half := maxText / 2
	for name, text := range map[string]string{
		"plain":      strings.Repeat("x", maxText),
		"references": strings.Repeat("&#x41;", maxText/2),
		"CDATA":      strings.Repeat("<![CDATA[xxx]]>", maxPieces-2),
	} {
		body := []byte("<tenant><name>acme</name><type>Simple</type><userData>" + text + "</userData></tenant>")
		allocated, took := cost(func() {
			if n, _, err := readTenant(body); err != nil || len(n.Tenant.UserData) < min(half, len(text)/13) {
				t.Errorf("%s: %d bytes of user data, %v", name, len(n.Tenant.UserData), err)
			}
		})
		if allocated > hostile.Most || took > mostTime {
			t.Errorf("%s: read in %v and %d KiB", name, took, allocated>>10)
		}
	}
}

// cost returns the fewest bytes and the least time of some runs of fn: others may
// allocate meanwhile, or have the processor.
func cost(fn func()) (allocated uint64, took time.Duration) {
	allocated, took = 1<<62, time.Hour
	var before, after runtime.MemStats
	for run := 0; run < 3 || run < 20 && (allocated > hostile.Most || took > mostTime); run++ {
		runtime.ReadMemStats(&before)
		start := time.Now()
		fn()
		took = min(took, time.Since(start))
		runtime.ReadMemStats(&after)
		allocated = min(allocated, after.TotalAlloc-before.TotalAlloc)
	}
	return allocated, took
}

func BenchmarkHostile(b *testing.B) {
	for _, d := range costly {
		body := []byte(d.body)
		b.Run("body="+strings.ReplaceAll(d.name, " ", "-"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := readTenant(body); err == nil {
					b.Fatal("it was taken")
				}
			}
		})
	}
}
