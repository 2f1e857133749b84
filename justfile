# Shorter ways to what scripts and cargo do. `just` alone lists them.

_list:
    @just --list --unsorted

# Everything that must pass.
test:
    scripts/test

# The binary `sealgate`, optimised: `just run --help`.
run *args:
    cargo run --release --bin sealgate -- {{args}}

# Layout of the code.
fmt:
    cargo fmt --all

# Lints, as errors.
lint:
    cargo clippy --workspace --all-targets --all-features -- -D warnings

# Documentation of all crates.
doc:
    cargo doc --workspace --no-deps --all-features

# Licences, advisories, bans and sources (needs cargo-deny).
deny:
    cargo deny check

# The invariants of absence (ARCHITECTURE.md).
absences:
    #!/usr/bin/env bash
    set -euo pipefail
    fail() { echo "absence broken: $1" >&2; exit 1; }
    for crate in sealgate-ledger sealgate-ods; do
        if cargo tree --package "$crate" --edges normal,build --prefix none | grep -q '^ark-groth16 '; then
            fail "$crate builds the prover"
        fi
    done
    named() { # pattern, files that may name it
        grep -rlE --include='*.rs' "$1" circuits ledger ods-adapter gateway | grep -vE "$2" || true
    }
    others=$(named 'ark_groth16|ark_relations' '^circuits/src/prover(\.rs|/)')
    [ -z "$others" ] || fail "ark-groth16 is named in $others"
    others=$(named '\b(bellman|groth16)::' '^circuits/src/verifier(\.rs|/)')
    [ -z "$others" ] || fail "bellman or groth16 is named in $others"
    others=$(named '\bwarp::' '^gateway/src/(api(\.rs|/)|console/visiting\.rs)')
    [ -z "$others" ] || fail "HTTP server types are named in $others"
    others=$(named '\breqwest::' '^gateway/src/client(\.rs|/)')
    [ -z "$others" ] || fail "the HTTP client is named in $others"
    echo "all absences hold"

# Every heading of docs/spec that code or pages cite exists.
links:
    #!/usr/bin/env bash
    set -euo pipefail
    missing=0
    cited=$(grep -rohE 'docs/spec/[a-z]+\.md(#[a-z0-9-]+)?' --include='*.rs' --include='*.md' . --exclude-dir=target | sort -u)
    for cite in $cited; do
        file=${cite%%#*}; heading=${cite#"$file"}; heading=${heading#\#}
        [ -f "$file" ] || { echo "no page: $cite"; missing=1; continue; }
        [ -z "$heading" ] && continue
        grep -E '^#+ ' "$file" | sed -E 's/^#+ //' | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9\n-' | grep -qxF "$heading" \
            || { echo "no heading: $cite"; missing=1; }
    done
    exit $missing
