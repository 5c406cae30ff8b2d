#!/bin/sh
# deploy/install.sh [DOMAIN]: makes this checkout a service of the machine: user, packages, .env, systemd units, Caddy, log rotation.
# For Debian 12 and Ubuntu 24.04 or newer, as root. May be run again at any time: it mends what is missing, brings packages
# and units up to date and restarts; your .env, your data and a Caddyfile of your own are left as they are.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0")")/.." && pwd -P)
domain=${1-}
user=frontdesk
data=/var/lib/frontdesk
backups=/var/backups/frontdesk
# Where things go; another folder in front of them is for trying this script out.
to=${DESTDIR-}
units=$to/etc/systemd/system

say() { printf 'frontdesk: %s\n' "$1"; }
stop() { printf 'frontdesk: %s\n' "$1" >&2; exit 2; }

main() {
    check
    install_packages
    make_user_and_folders
    "$root/bin/setup"
    make_env
    install_units
    install_caddy
    install -m 644 "$root/deploy/logrotate" "$to/etc/logrotate.d/frontdesk"
    let_redis_fork
    start
}

check() {
    [ "$(id -u)" = 0 ] || stop "it wants to be run as root: sudo $0 $domain"
    case $domain in *[!A-Za-z0-9.-]* | .* | -*) stop "'$domain' is no domain; run: $0 your.domain" ;; esac
    case $root in
        /home/* | /root | /root/* | /tmp/* | /run/user/*)
            [ "$to" ] || stop "the checkout lies in $root, which services may not read; move it to /opt/frontdesk and run this there" ;;
        *[!A-Za-z0-9._/-]*) stop "the checkout lies in '$root'; move it to a path without special characters, such as /opt/frontdesk" ;;
    esac
    # shellcheck source=/dev/null
    . /etc/os-release
    case $ID in
        debian) least=12 ;;
        ubuntu) least=24.04 ;;
        *) stop "this is $ID; the script knows Debian 12 and Ubuntu 24.04 or newer. docs/going-live.md says what it does" ;;
    esac
    # sid has no VERSION_ID
    dpkg --compare-versions "${VERSION_ID:-999}" ge "$least" || stop "this is $ID $VERSION_ID; it needs $least or newer"
}

install_packages() {
    had_redis=$(command -v redis-server || true)
    missing=
    for package in python3 python3-venv redis-server caddy logrotate ca-certificates procps; do
        is_installed "$package" || missing="$missing $package"
    done
    [ "$missing" ] || return 0
    say "Installing$missing ..."
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
    # The package starts a Redis of its own on port 6379, which nobody here uses.
    if [ ! "$had_redis" ] && has_systemd; then systemctl disable --quiet --now redis-server; fi
}

is_installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

has_systemd() { [ -d /run/systemd/system ] && [ ! "$to" ]; }

make_user_and_folders() {
    getent passwd $user >/dev/null ||
        useradd --system --user-group --home-dir $data --no-create-home --shell /usr/sbin/nologin $user
    install -d -m 700 -o $user -g $user "$to$data" "$to$backups"
    install -d -m 750 -o $user -g $user "$to/var/log/frontdesk"
    install -d -m 755 "$units/frontdesk-.service.d" "$to/etc/logrotate.d" "$to/etc/caddy" "$to/etc/sysctl.d"
}

# Only what differs from the defaults; everything else is in docs/settings.md.
make_env() {
    env_file=$root/.env
    if [ ! -e "$env_file" ]; then
        say "Making $env_file ..."
        (umask 077 && cat >"$env_file" <<EOF
FRONTDESK_ENV=production
DATA_DIR=$data
BACKUP_DIR=$backups
TRUSTED_PROXIES=1
SQLITE_SYNCHRONOUS=full
# The token that you type into Meta's webhook form:
WHATSAPP_VERIFY_TOKEN=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
# The app secret of your Meta app (App settings > Basic):
WHATSAPP_APP_SECRETS=
EOF
        )
    fi
    chown root:$user "$env_file"
    chmod 640 "$env_file"
}

install_units() {
    for file in "$root"/deploy/systemd/*.service "$root"/deploy/systemd/*.target "$root"/deploy/systemd/*.d/*.conf; do
        sed "s#/opt/frontdesk#$root#g" "$file" >"$units/${file#"$root"/deploy/systemd/}"
    done
    chmod 644 "$units"/frontdesk*.service "$units"/frontdesk.target "$units"/frontdesk-.service.d/*.conf
    has_systemd || return 0
    systemctl daemon-reload
    systemctl enable --quiet frontdesk.target
}

# The package's own Caddyfile is only an example; one that somebody wrote is theirs.
install_caddy() {
    [ "$domain" ] || return 0
    file=$to/etc/caddy/Caddyfile
    if [ -e "$file" ] && ! grep -qs '^# Caddy gets and renews the certificate by itself' "$file" && ! is_the_package_s "$file"; then
        say "$file is yours and stays; add to it what $root/deploy/Caddyfile has."
        return 0
    fi
    sed "s/:example\.com}/:$domain}/" "$root/deploy/Caddyfile" >"$file.new"
    chmod 644 "$file.new"
    caddy validate --adapter caddyfile --config "$file.new" >/dev/null 2>&1 || stop "Caddy refuses $file.new; look with: caddy validate --adapter caddyfile --config $file.new"
    mv "$file.new" "$file"
    if has_systemd; then systemctl reload-or-restart caddy || say "Caddy does not start; journalctl -u caddy -n 20 says why."; fi
}

# Redis writes its file anew in a copy of itself, which the kernel must not refuse for want of memory that is never touched.
let_redis_fork() {
    echo 'vm.overcommit_memory = 1' >"$to/etc/sysctl.d/90-frontdesk.conf"
    if has_systemd; then sysctl -q -p "$to/etc/sysctl.d/90-frontdesk.conf" || true; fi
}

is_the_package_s() {
    kept=$(dpkg-query -W -f '${Conffiles}\n' caddy 2>/dev/null | awk '$1 == "/etc/caddy/Caddyfile" { print $2 }')
    [ "$kept" ] && [ "$(md5sum <"$1" | cut -d' ' -f1)" = "$kept" ]
}

start() {
    if ! grep -Eq '^WHATSAPP_APP_SECRETS=.' "$root/.env"; then
        say "Almost done. Set WHATSAPP_APP_SECRETS in $root/.env, then: systemctl start frontdesk.target"
        return 0
    fi
    has_systemd || return 0
    systemctl restart frontdesk.target
    say "Frontdesk runs. The first owner's link: journalctl -u frontdesk-prepare -n 5"
    say "What is still to mend: runuser -u $user -- $root/bin/frontdesk doctor"
}

main
