package logtoauth
import ("context";"time";"crypto")
const appName="logto_auth"
type App struct{}
type tenantConfig struct { Endpoint string; Issuers []string; JWKSURI, JWKSFile, TrustedCA string; InsecureHTTP bool; RefreshInterval, RefreshCooldown, MaxStale, FetchTimeout time.Duration; CacheSize int }
type KeySet struct{}
type snapshot struct{issuers []string}
type verificationKey struct{public crypto.PublicKey}
func (*verificationKey) allows(string) bool {return false}
func (*snapshot) key(string) *verificationKey {return nil}
func (*KeySet) current(time.Time) *snapshot {return nil}
func (*KeySet) await(context.Context) *snapshot {return nil}
func (*KeySet) awaitKey(context.Context,string) *snapshot {return nil}
func (*KeySet) retryAfter(time.Time) int {return 1}
func (*App) keySet(tenantConfig) (*KeySet, error) {return nil,nil}
