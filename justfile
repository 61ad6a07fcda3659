# Short names for what is run often. Nothing depends on `just`: each recipe is one command.

# Every check, or those named: `just check format lint`. CI runs the same.
check *names:
    scripts/check {{names}}

# The tests, tidy among them.
test *args:
    cargo test {{args}}

# The benches.
bench *args:
    cargo bench {{args}}
