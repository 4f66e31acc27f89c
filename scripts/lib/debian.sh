# Debian packages: those the machine lacks, installed; those of newer suites, unpacked into the cache without touching
# the machine. Needs lib/common.sh.

# at_least VERSION WANTED: whether VERSION is WANTED or newer.
at_least() { dpkg --compare-versions "$1" ge "$2"; }

# install_packages PACKAGE...: by apt, only what is missing.
install_packages() {
  local package missing=()
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return
  [ "$(id -u)" = 0 ] || die "these packages are missing, and only root can install them: ${missing[*]}"
  say "install ${missing[*]}"
  apt-get -qq update
  # A machine that has just started may be installing its updates.
  DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install --no-install-recommends -y "${missing[@]}" >/dev/null
}

# debian_mirror: the address from which this machine itself gets its release of Debian.
debian_mirror() {
  local release mirror
  release=$(. /etc/os-release && echo "$VERSION_CODENAME")
  # shellcheck disable=SC2016  # apt fills these in
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' |
    awk -v release="$release" '$2 == release && $3 == "main" && !seen++ { print $1 }')
  [ -n "$mirror" ] || die "apt has no source for Debian $release main: add one to /etc/apt/sources.list.d"
  echo "$mirror"
}

# unpack_from_debian SUITE PACKAGE... FOLDER: the packages' files (not those they depend on) below FOLDER, with the
# versions in FOLDER/versions.
unpack_from_debian() {
  local suite=$1 folder=${*: -1} packages=("${@:2:$#-2}") state deb
  state=$(mktemp -d)
  mkdir -p "$state"/{lists/partial,archives/partial,debs}
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(debian_mirror) $suite main" >"$state/sources.list"
  local options=(-qq -o "Dir::State::lists=$state/lists" -o Dir::State::status=/dev/null -o "Dir::Cache=$state"
    -o "Dir::Etc::sourcelist=$state/sources.list" -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update
  (cd "$state/debs" && apt-get "${options[@]}" download "${packages[@]}")
  for deb in "$state"/debs/*.deb; do
    dpkg-deb -x "$deb" "$folder"
    dpkg-deb -W --showformat='${Package} ${Version}\n' "$deb" >>"$folder/versions"
  done
  rm -rf "$state"
}
