#!/usr/bin/env bash
# Sets up what is missing on a Debian 12 or 13 machine, then does one job. Called without a job, it says which there are.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")"

usage() {
    cat <<'USAGE'
usage: ./build.sh run [--persona NAME] [--calls N] [--json]   a real Asterisk calls the appliance; watch the conversation
       ./build.sh test [PYTEST ARGUMENTS]                     every test and linter
       ./build.sh lab [NAME] [--calls N] [--json]             list the lab's scenarios, or run one
       ./build.sh setup                                       only what the others do first

Each job first installs what is missing: Debian packages (as root), .venv, the pjsua2 wheel, the lab's Asterisk.
Logs go to build/log, caches to build. PYTHON=python3.13 chooses another interpreter (3.11 or later).
USAGE
}

# libraries and tools to build the pjsua2 wheel; then what runs beside the Python packages; then the lab and the tests
packages=(
    ca-certificates curl xz-utils patch g++ make pkg-config swig python3-dev python3-venv
    libssl-dev libopus-dev libsrtp2-dev libgsm1-dev libspeex-dev libspeexdsp-dev libbcg729-dev uuid-dev
    libflite1
    mmdebstrap tcpdump mount shellcheck
)

fail() {
    printf 'error: %s\n' "$1" >&2
    [ -z "${2:-}" ] || printf '  hint: %s\n' "$2" >&2
    exit 1
}

# step NAME COMMAND...: run it quietly, say how long it took; when it fails, show it and the end of its output.
step() {
    local name=$1 log start=$SECONDS status=0
    shift
    log=build/log/${name%% (*}.log
    log=${log//[^a-zA-Z0-9.\/]/-}
    printf '==> %-58s' "$name" >&2
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if [ "$status" -eq 0 ]; then
        printf '%5d s\n' $((SECONDS - start)) >&2
        return
    fi
    printf 'FAILED after %d s (exit %d)\n\n' $((SECONDS - start)) "$status" >&2
    tail -n 25 "$log" | sed 's/^/    /' >&2
    printf '\nwhole output: %s\nthe command, to be run in %s:\n    %s\n' "$PWD/$log" "$PWD" "${*@Q}" >&2
    exit "$status"
}

# stamped KEY NAME COMMAND...: the same, but only when KEY differs from the last time it went well in this environment.
stamped() {
    local key=$1 name=$2 stamp
    shift
    stamp=.venv/stamp-${name%% (*}
    [ "$(cat "$stamp" 2>/dev/null)" = "$key" ] && return
    step "$@"
    printf '%s\n' "$key" >"$stamp"
}

hash_of() { cat "$@" | sha256sum | cut -d' ' -f1; }

install_packages() {
    command -v dpkg-query >/dev/null || fail 'this is not Debian' 'use Debian 12 or 13, for instance in a container'
    local -A have=()
    local missing=() p
    while read -r p; do have[$p]=1; done < <(
        dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null | sed -n 's/^installed //p'
    )
    for p in "${packages[@]}"; do [ -n "${have[$p]:-}" ] || missing+=("$p"); done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" -eq 0 ] || fail 'Debian packages are missing' "sudo apt-get install -y --no-install-recommends ${missing[*]}"
    step 'Debian package lists' apt-get -o DPkg::Lock::Timeout=300 update
    step 'Debian packages' env DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}"
}

install_python() {
    local python=${PYTHON:-python3} tag wheel
    command -v "$python" >/dev/null || fail "$python is not installed" 'PYTHON names the interpreter, 3.11 or later'
    tag=$("$python" -c 'import sys; print(f"cp{sys.version_info[0]}{sys.version_info[1]}")')
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$python is older than 3.11" 'PYTHON=/usr/bin/python3 ./build.sh ... chooses another one'

    stamped "$tag $PWD" 'virtual environment' "$python" -m venv --clear .venv
    stamped "$(hash_of requirements.lock)" 'Python packages' \
        .venv/bin/pip install --disable-pip-version-check --require-hashes --no-deps -r requirements.lock

    # shellcheck source=image/pjsua2/source.env
    . image/pjsua2/source.env
    find_wheel() { compgen -G "build/wheels/pjsua2-$PJ_VERSION-$PJ_BUILD-$tag-*_$(uname -m).whl"; }
    find_wheel >/dev/null || step 'pjsua2 wheel (4 minutes on 2 cores)' image/pjsua2/wheel.sh build/wheels .venv/bin/python
    wheel=$(find_wheel) || fail 'the pjsua2 wheel was built under an unexpected name' "ls build/wheels; python tag $tag, $(uname -m)"
    stamped "$wheel" 'pjsua2' .venv/bin/pip install --disable-pip-version-check --no-index --no-deps --force-reinstall "$wheel"

    stamped "$(hash_of pyproject.toml appliance/__init__.py)" 'sidetone' \
        .venv/bin/pip install --disable-pip-version-check --no-index --no-deps --no-build-isolation -e .
}

install_lab() {
    local dialer
    for dialer in asterisk16 asterisk22; do
        [ ! -x "build/lab/$dialer/usr/sbin/asterisk" ] || return 0
    done
    if [ "$(id -u)" -ne 0 ]; then
        echo "note: the lab needs root, its tests are skipped and it cannot run: sudo $self $job" >&2
        return
    fi
    (step "lab's Asterisk 16 (300 MB)" tests/lab/asterisk/rootfs.sh asterisk16) && return
    echo 'note: Debian bullseye cannot be had here; the lab takes the Asterisk 22 of sid instead' >&2
    step "lab's Asterisk 22 (300 MB)" tests/lab/asterisk/rootfs.sh asterisk22
}

setup() {
    mkdir -p build/log build/wheels
    exec 9>build/setup.lock
    flock 9
    install_packages
    install_python
    install_lab
    exec 9>&-
}

job=${1:-}
[ $# -eq 0 ] || shift
case $job in
    run)
        setup
        exec .venv/bin/python -m tests.lab run "$@"
        ;;
    lab)
        setup
        exec .venv/bin/python -m tests.lab "$@"
        ;;
    test)
        setup
        exec .venv/bin/python -m pytest "$@"
        ;;
    setup) setup ;;
    '' | -h | --help | help) usage ;;
    *)
        usage >&2
        fail "there is no job '$job'"
        ;;
esac
