#!/bin/sh
# license-hooks pre-push 1: `cargo xtask hook status` explains it, `cargo xtask hook uninstall` removes it
lines=$(cat)
say() { printf '%s' "${lines:+$lines
}" 2>/dev/null; }
if [ "${LICENSE_HOOK-}" = 0 ]; then echo 'license: LICENSE_HOOK=0, so that this push is not checked' >&2; else
x="${0%/*}/../license/xtask"; [ -x "$x" ] || { echo 'license: the program of this hook is gone, so that nothing is pushed; `cargo xtask hook install` brings it back, `git push --no-verify` pushes without it' >&2; exit 1; }
say | "$x" pre-push "$@" || exit
fi
[ -x "${0%/*}/pre-push.legacy" ] || exit 0
say | "${0%/*}/pre-push.legacy" "$@"
