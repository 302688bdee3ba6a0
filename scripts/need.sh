# Functions for the scripts beside this file, which source it with `set -o pipefail`.

step() { printf '\n== %s\n' "$*"; }

# need VERSION COMMAND PACKAGE...: installs the packages unless COMMAND prints at least that version.
need() {
    local version=$1 command=$2
    shift 2
    if is_at_least "$version" "$command"; then return; fi
    step "installing $*"
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
    # `env` comes after sudo, which clears the environment. apt and dpkg must neither ask nor need a terminal.
    as_root+=(env DEBIAN_FRONTEND=noninteractive)
    if [ -z "${apt_is_updated:-}" ]; then
        "${as_root[@]}" apt-get update -qq </dev/null
        apt_is_updated=yes
    fi
    "${as_root[@]}" apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends "$@" </dev/null >/dev/null
    if is_at_least "$version" "$command"; then return; fi
    echo "$*: \`$command\` does not report version $version or later" >&2
    exit 1
}

is_at_least() { # VERSION COMMAND
    local output found
    output=$(bash -c "$2" 2>&1 </dev/null) || return 1
    # The first release of a Java has a version without a dot. Chromium prints a warning with other numbers before its version.
    found=$(grep -m 1 -oE '[0-9]+(\.[0-9]+)+' <<<"$output" || grep -m 1 -oE '[0-9]+' <<<"$output") || return 1
    printf '%s\n%s\n' "$1" "${found%%$'\n'*}" | sort -C -V
}
