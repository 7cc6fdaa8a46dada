package session

import (
	"strings"
	"testing"
	"time"
)

// What another version, or somebody by hand, has written is not guessed at.
func TestObjectsThatAreNoEntries(t *testing.T) {
	const sound = `{"format":1,"kind":"jti","subject":"x","not_before":5,"expires":9999999999999}`
	if _, err := decodeEntry([]byte(sound)); err != nil {
		t.Fatal(err)
	}
	for name, object := range map[string]string{
		"another format":        strings.Replace(sound, `"format":1`, `"format":2`, 1),
		"no format":             strings.Replace(sound, `"format":1,`, "", 1),
		"a time that is a text": strings.Replace(sound, "5", `"5"`, 1),
		"no kind":               strings.Replace(sound, `"jti"`, `""`, 1),
		"no subject":            strings.Replace(sound, `"x"`, `""`, 1),
		"more behind it":        sound + "}",
	} {
		if e, err := decodeEntry([]byte(object)); err == nil {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// What is written is read, up to the last octet.
func TestTheLargestEntry(t *testing.T) {
	e := Entry{Kind: ByToken, Subject: "x", NotBefore: testTime, Expires: testTime.Add(time.Hour)}
	_, object, err := encodeEntry(e)
	if err != nil {
		t.Fatal(err)
	}
	e.Subject = strings.Repeat("x", 1+maxEntrySize-len(object))
	if _, object, err = encodeEntry(e); err != nil || len(object) != maxEntrySize {
		t.Fatalf("%d octets, %v", len(object), err)
	}
	if got, err := decodeEntry(object); err != nil || got != e {
		t.Errorf("%d octets do not decode: %v", len(object), err)
	}
	e.Subject += "x"
	if _, _, err := encodeEntry(e); err == nil {
		t.Error("one more is written")
	}
}
