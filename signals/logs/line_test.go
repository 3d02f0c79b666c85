package logs

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// folded are the failures in a text, by their signatures.
func folded(text string) []string {
	var out []string
	f := Folder{Found: func(f Failure) { out = append(out, f.Signature) }}
	for line := range strings.Lines(text) {
		f.Add(start, line)
	}
	f.Flush()
	return out
}

func TestFolder(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"nothing":         {"", nil},
		"plain lines":     {"listening on :8080\nerror handling is on\n0 errors\nGET /errors 200\nusing ErrorBoundary\n", nil},
		"logfmt":          {`ts=2026-03-01T12:00:00Z level=error msg="payment 4711 refused" order=12` + "\n" + `level=info msg="no error"`, []string{`ts= level=error msg="…" order=#`}},
		"json":            {`{"level":"error","ts":1,"msg":"payment 4711 refused"}` + "\n" + `{"level":"info","msg":"ERROR in quotes"}`, []string{"payment # refused"}},
		"json, by Google": {`{"severity":"CRITICAL","message":"boom"}`, []string{"boom"}},
		"json, by Pino":   {`{"level":50,"time":1,"msg":"boom"}` + "\n" + `{"level":30,"msg":"fine"}`, []string{"boom"}},
		"capitals":        {"2026-03-01 12:00:00,123 ERROR shop.views: cart 12 is gone\n2026-03-01 12:00:00,124 WARNING slow\n2026-03-01 12:00:00,125 INFO no ERROR here", []string{"ERROR shop.views: cart # is gone"}},
		"nginx":           {`2026/03/01 12:00:00 [error] 31#31: *1 connect() failed (111: Connection refused)`, []string{"[error] ###: *# connect() failed (#: Connection refused)"}},
		"klog":            {"E0301 12:00:00.000000       1 controller.go:42] cannot sync\nI0301 12:00:00.000000       1 x.go:1] error: none", []string{"E# # controller.go:#] cannot sync"}},
		"python": {`Traceback (most recent call last):
  File "/app/shop/views.py", line 12, in cart
    total = items["12"]
KeyError: '12'
listening`, []string{"KeyError: '…'"}},
		"python, two in a row": {"Traceback (most recent call last):\n  x\nKeyError: 'a'\nTraceback (most recent call last):\n  x\nValueError: b", []string{"KeyError: 'a'", "ValueError: b"}},
		"python, chained":      {"Traceback (most recent call last):\n  x\nKeyError: 'a'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  x\nValueError: b", []string{"ValueError: b"}},
		"python, by a logger": {`ERROR:django.request:Internal Server Error: /cart/12
Traceback (most recent call last):
  File "/usr/lib/python3/django/core/handlers/exception.py", line 55, in inner
    response = get_response(request)
shop.models.Cart.DoesNotExist: Cart matching query does not exist.

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/app/x.py", line 1, in x
ValueError: boom
INFO:root:on`, []string{"ERROR:django.request:Internal Server Error: /cart/#"}},
		"java": {`2026-03-01 12:00:00.000 ERROR 1 --- [nio-8080-exec-1] c.e.Shop : failed
java.lang.IllegalStateException: no stock for 12
	at com.example.Shop.buy(Shop.java:42)
	at com.example.Shop.main(Shop.java:7)
Caused by: java.io.IOException: gone
	... 12 more
2026-03-01 12:00:01.000  INFO 1 --- [main] c.e.Shop : on`, []string{"ERROR # --- [nio-#-exec-#] c.e.Shop : failed", "java.lang.IllegalStateException: no stock for #"}},
		"java, on its own": {"Exception in thread \"main\" java.lang.NullPointerException\n\tat com.example.Main.main(Main.java:3)\nCaused by: x\n", []string{`Exception in thread "main" java.lang.NullPointerException`}},
		"go": {`panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x48f2a5]

goroutine 1 [running]:
main.main()
	/app/main.go:12 +0x1d
exit status 2
`, []string{"panic: runtime error: invalid memory address or nil pointer dereference"}},
		"node": {`TypeError: Cannot read properties of undefined (reading 'id')
    at cart (/app/cart.js:12:5)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)
listening`, []string{"TypeError: Cannot read properties of undefined (reading 'id')"}},
		"two in a row":                {"[ERROR] a\n[ERROR] b\n[ERROR] a", []string{"[ERROR] a", "[ERROR] b", "[ERROR] a"}},
		"one that ends in the middle": {"Traceback (most recent call last):\n  File x", []string{"a traceback without an end"}},
		"a secret":                    {"ERROR cannot connect to postgres://web:hunter2@db/shop", []string{"ERROR cannot connect to postgres://***@db/shop"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := folded(c.text)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSignature: what differs from one time to the next does not tell failures apart.
func TestSignature(t *testing.T) {
	for _, same := range [][2]string{
		{"order 12 of 3f2504e0-4f89-11d3-9a0c-0305e82c3301 failed after 1.5s", "order 4711 of 9c5b94b1-35ad-49bb-b118-8e8fc24abf80 failed after 22.75s"},
		{"2026-03-01T12:00:00Z timeout", "2026-03-02T13:59:59.123+01:00 timeout"},
		{`GET /cart?id=12&x=y failed`, `GET /cart?id=13 failed`},
		{`no user "u12"`, `no user "u4711"`},
		{"at 0xdeadbeef", "at 0x1234"},
	} {
		if a, b := Signature(same[0]), Signature(same[1]); a != b {
			t.Errorf("%q and %q", a, b)
		}
	}
	if a, b := Signature("no such user"), Signature("no such cart"); a == b {
		t.Errorf("both are %q", a)
	}
}

// FuzzFolder: whatever is written, failures are no more than lines, and their signatures are short, valid text.
func FuzzFolder(f *testing.F) {
	for _, s := range []string{"level=error\n  x\n", "Traceback (most recent call last):\n x\nE: y\n", "panic: x\n\ngoroutine 1 [running]:\n", `{"level":"error"}`, "E0301 12:00:00", "\xff\xfe ERROR \xc3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := folded(text)
		if lines := strings.Count(text, "\n") + 1; len(got) > lines {
			t.Errorf("%d failures in %d lines", len(got), lines)
		}
		for _, s := range got {
			if !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxSignature || strings.ContainsAny(s, "\n\t") {
				t.Errorf("%q", s)
			}
		}
	})
}
