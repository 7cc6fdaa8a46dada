package logtoauth

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

func revocationPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("docs/revocation.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The webhook that docs/revocation.md sends by hand puts somebody on the list,
// whenever a reader does so: one with a fixed date would be over some day.
func TestDocsSendAWebhookThatCounts(t *testing.T) {
	body := regexp.MustCompile(`(?m)^    body='(.*)'\n`).FindStringSubmatch(revocationPage(t))
	const now = `'$(date -u +%FT%TZ)'`
	if len(body) != 2 || strings.Count(body[1], now) != 1 {
		t.Fatalf("no body with the time of now: %q", body)
	}
	m := newMembers(t, revocable)
	octets := []byte(strings.Replace(body[1], now, systemClock().UTC().Format(time.RFC3339), 1))
	if answer := m.send(octets, hookSignature(octets)); answer.StatusCode != http.StatusNoContent {
		t.Errorf("answered with %d", answer.StatusCode)
	}
	if listed := m.listed(); len(listed) != 1 || listed[0].Subject != "82wtl6z03cep" {
		t.Errorf("listed are %+v", listed)
	}
}

// The page shows what check prints of its own Caddyfile.
func TestDocsShowWhatCheckPrintsOfAWebhook(t *testing.T) {
	t.Setenv("LOGTO_WEBHOOK_KEY", hookKey)
	tenant := newPeople(t)
	here := strings.NewReplacer("https://your-tenant.logto.app", tenant.URL)
	_, sample, found := strings.Cut(revocationPage(t), "\n    webhook of ")
	if !found {
		t.Fatal("no report is shown")
	}
	sample, _, _ = strings.Cut("    webhook of "+sample, "\n\n")
	sample = strings.ReplaceAll("\n"+sample, "\n    ", "\n") + "\n"
	checked := 0
	for _, block := range regexp.MustCompile("(?s)```caddyfile\n(.*?)```").FindAllStringSubmatch(revocationPage(t), -1) {
		if strings.Contains(block[1], "webhook_secret") {
			checked++
			tell(t, "", []string{"check", "--config", writeCaddyfile(t, here.Replace(block[1]))}, 0, here.Replace(sample))
		}
	}
	if checked != 1 {
		t.Errorf("%d sites take webhooks", checked)
	}
}
