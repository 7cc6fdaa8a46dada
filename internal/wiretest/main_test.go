package wiretest_test

import (
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

func TestMain(m *testing.M) { caddytest.Main(m) }
