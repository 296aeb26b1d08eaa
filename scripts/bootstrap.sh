#!/usr/bin/env bash
# Sets up what the other commands need, from nothing but CPython >= 3.11 and the package index.
#
#   bootstrap.sh python            prints the interpreter that environments are made with
#   bootstrap.sh uv                prints the path of uv, fetched into .tools/ if there is none
#   bootstrap.sh env DIR LOCK      makes or updates the environment DIR from LOCK, only if something has changed;
#                                  with EDITABLE=1 the package itself is installed in it, editable
#   bootstrap.sh npm DIR TO FROM   installs what FROM/package-lock.json names into TO, by the npm of the environment DIR
#   bootstrap.sh clean-db DIR      gives DIR's Airflow home a fresh, migrated database
#
# PYTHON=/path/to/python chooses the interpreter. No interpreter is ever downloaded.
set -euo pipefail
cd "$(dirname "$0")/.."

# Without byte code every start of Airflow takes three times as long; the others would point into foreign environments.
unset PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME VIRTUAL_ENV
export UV_PYTHON_DOWNLOADS=never

say() { printf '%s\n' "bootstrap: $*" >&2; }
die() { say "$*"; exit 1; }

NO_WHEEL=python-nvd3  # of Airflow 2, and the only one

# Prints the interpreter itself, whatever shim or virtual environment its name leads to; fails below 3.11.
probe() {
    "$1" -c 'import sys, sysconfig
bad = sys.version_info < (3, 11) or sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED")
sys.exit(1) if bad else print(getattr(sys, "_base_executable", None) or sys.executable)' 2>/dev/null
}

# 3.11 and 3.13 first: the emulator's recogniser, pocketsphinx, has wheels for these only.
choose_python() {
    local name
    if [ -n "${PYTHON:-}" ]; then
        probe "$PYTHON" || die "PYTHON=$PYTHON is not a CPython >= 3.11"
        return
    fi
    for name in python3.11 python3.13 python3.12 python3.14 python3 python; do
        probe "$name" && return
    done
    die "no CPython >= 3.11 found on the PATH; name one with PYTHON=/path/to/python"
}

new_enough() {  # is this uv 0.8 or newer?
    "$1" --version 2>/dev/null | awk '{ split($2, v, "."); exit !(v[1] > 0 || v[2] >= 8) }'
}

find_uv() {
    local own=.tools/uv/bin/uv
    if [ ! -x $own ]; then
        if command -v uv >/dev/null && new_enough uv; then
            command -v uv
            return
        fi
        say "fetching uv into .tools/ ..."
        mkdir -p .tools
        "$(choose_python)" -m venv --clear .tools/uv >&2 ||
            die "this Python cannot make virtual environments (on Debian and Ubuntu: apt-get install python3-venv)"
        .tools/uv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: \
            --require-hashes --requirement requirements/tools.lock >&2 || die "uv could not be installed"
    fi
    printf '%s\n' "$PWD/$own"
}

minor_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

explain_failure() {
    say "installing $1 on Python $(minor_of "$2/bin/python") failed: see the message above"
    case "$(minor_of "$2/bin/python")" in
    3.11 | 3.13) ;;
    *) say "the emulator's recogniser (pocketsphinx) has no wheel for this Python; install CPython 3.11 or 3.13 and run" \
        "the command again" ;;
    esac
    exit 1
}

make_env() {
    local dir=$1 lock=$2 python uv want exceptions=()
    python=$(choose_python)
    # The editable install depends on pyproject.toml too; where a wheel is tested, only the lock counts.
    want="$(cat "$lock" ${EDITABLE:+pyproject.toml} scripts/bootstrap.sh | sha256sum) $python $("$python" -V) ${EDITABLE:-}"
    [ "$(cat "$dir/.stamp" 2>/dev/null)" != "$want" ] || return 0
    uv=$(find_uv)
    say "installing $lock into $dir ..."
    rm -f "$dir/.stamp"
    if [ ! -x "$dir/bin/python" ] || [ "$(minor_of "$dir/bin/python")" != "$(minor_of "$python")" ]; then
        "$uv" venv --quiet --clear --python "$python" "$dir"
    fi
    # A source distribution would be built with whatever its own requirements resolve to today, locked or not.
    if grep -q "^$NO_WHEEL==" "$lock"; then
        sed -n '/^setuptools==/,/[^\\]$/p' "$lock" >"$dir/build.lock"
        "$uv" pip install --quiet --python "$dir" --only-binary :all: --require-hashes --requirement "$dir/build.lock"
        exceptions=(--no-binary "$NO_WHEEL" --no-build-isolation)
    fi
    "$uv" pip sync --quiet --python "$dir" --only-binary :all: ${exceptions[@]+"${exceptions[@]}"} \
        --require-hashes --compile-bytecode "$lock" || explain_failure "$lock" "$dir"
    if [ -n "${EDITABLE:-}" ]; then
        "$uv" pip install --quiet --python "$dir" --no-deps --no-build-isolation --compile-bytecode --editable .
    fi
    rm -rf "$dir/home"  # a database of another Airflow
    printf '%s' "$want" >"$dir/.stamp"
}

make_node_modules() {
    local bin=$PWD/$1/bin to=$2 from=$3 want
    want="$(cat "$from/package-lock.json" | sha256sum) $("$bin/node" --version)"
    [ "$(cat "$to/.stamp" 2>/dev/null)" != "$want" ] || return 0
    say "installing $from into $to ..."
    rm -rf "$to"
    mkdir -p "$to"
    cp "$from"/package*.json "$to"
    PATH=$bin:$PATH npm --prefix "$to" ci --ignore-scripts --omit=optional --no-audit --no-fund --silent >&2 ||
        die "$from could not be installed: see the message above"
    printf '%s' "$want" >"$to/.stamp"
}

# Every run starts from a pristine database, so no run sees another's; migrating takes seconds, copying does not.
clean_db() {
    local dir=$1 home=$PWD/$1/home
    local pristine=$home/pristine.db
    if [ ! -f "$pristine" ]; then
        rm -rf "$home"
        mkdir -p "$home"
        AIRFLOW_HOME=$home AIRFLOW__CORE__LOAD_EXAMPLES=False "$dir/bin/airflow" db migrate >"$home/migrate.log" 2>&1 ||
            { tail -n 30 "$home/migrate.log" >&2; die "airflow db migrate failed in $dir"; }
        mv "$home/airflow.db" "$pristine"
    fi
    rm -f "$home"/airflow.db*
    cp "$pristine" "$home/airflow.db"
}

mkdir -p .tools
if [ "${1:-}" = env ] && command -v flock >/dev/null; then
    exec 9>".tools/$(basename "$2").lock"  # two commands at once take turns
    flock 9
fi
case "${1:-}" in
python) choose_python ;;
uv) find_uv ;;
env) make_env "$2" "$3" ;;
npm) make_node_modules "$2" "$3" "$4" ;;
clean-db) clean_db "$2" ;;
*) die "unknown command '${1:-}': python, uv, env, npm or clean-db" ;;
esac
