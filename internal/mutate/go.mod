module github.com/caddy-logto/caddy-logto-auth/internal/mutate

go 1.26.0
