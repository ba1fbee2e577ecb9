#!/bin/sh
# license-hooks pre-push 3 0c8fd7c2c7a5086d: `cargo xtask hook status` explains it, `cargo xtask hook uninstall` removes it
[ "${LICENSE_HOOK-}" != 0 ] || { echo 'license: LICENSE_HOOK=0, so that this push is not checked' >&2; [ -t 0 ] || cat >/dev/null; exit 0; }
x="${0%/*}/../license/xtask"
said=$("$x" pre-push --say passed -- "$@")
code=$?
[ "$code:$said" != 0:passed ] || exit 0
case $code in 3 | 10 | 11 | 30 | 31) exit $code ;; esac
echo 'license: the program of this hook is missing or broken, so that nothing is pushed; `cargo xtask hook install` brings it back, `git push --no-verify` pushes without it' >&2
exit 1
