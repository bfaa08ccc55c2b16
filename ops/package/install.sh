#!/bin/sh
# Installs a release on this machine: sh install.sh (as root). DESTDIR=/some/root installs below another root and makes no user.
# Nothing is started and no configuration is written: eport init, or eport node join, does that.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=${DESTDIR:-}

# The files are looked at first: a damaged copy is not installed.
(cd "$here" && sha256sum --quiet -c SHA256SUMS)

put() { # MODE FROM TO
  mkdir -p "$root$(dirname "$3")"
  install -m "$1" "$here/$2" "$root$3"
}
put 0755 bin/eportd /usr/bin/eportd
put 0755 bin/eport /usr/bin/eport
put 0644 systemd/eportd.service /usr/lib/systemd/system/eportd.service
put 0644 systemd/eport.sysusers /usr/lib/sysusers.d/eport.conf
put 0644 config/eportd.example.toml /usr/share/doc/eport/eportd.example.toml
put 0644 LICENSE /usr/share/doc/eport/LICENSE
put 0644 completions/eport.bash /usr/share/bash-completion/completions/eport
put 0644 completions/_eport /usr/share/zsh/vendor-completions/_eport
put 0644 completions/eport.fish /usr/share/fish/vendor_completions.d/eport.fish
if [ -f "$here/eport.release" ]; then put 0644 eport.release /usr/lib/eport/eport.release; fi
for page in "$here"/man/*.1; do put 0644 "man/$(basename "$page")" "/usr/share/man/man1/$(basename "$page")"; done
for page in "$here"/man/*.8; do put 0644 "man/$(basename "$page")" "/usr/share/man/man8/$(basename "$page")"; done

if [ -z "$root" ]; then
  getent group eport >/dev/null || groupadd --system eport
  getent passwd eport >/dev/null ||
    useradd --system --gid eport --home-dir /var/lib/eport --no-create-home --shell /usr/sbin/nologin eport
  install -d -o eport -g eport -m 0750 /etc/eport /var/lib/eport
  if command -v systemctl >/dev/null && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
fi
echo "installed: next, as the user eport: eport init, or eport node join --token @FILE --config-out /etc/eport/eportd.toml --home /var/lib/eport"
