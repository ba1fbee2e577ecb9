#!/bin/sh
# license-hooks pre-push 1: `cargo xtask hook status` explains it, `cargo xtask hook uninstall` removes it
[ "${LICENSE_HOOK-}" != 0 ] || { echo 'license: LICENSE_HOOK=0, so that this push is not checked' >&2; exit 0; }
x="${0%/*}/../license/xtask"; [ -x "$x" ] || { echo 'license: the program of this hook is gone, so that nothing is pushed; `cargo xtask hook install` brings it back, `git push --no-verify` pushes without it' >&2; exit 1; }
exec "$x" pre-push "$@"
