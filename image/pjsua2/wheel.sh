#!/usr/bin/env bash
# Build the pjsua2 wheel for PYTHON from pinned pjproject source into OUTDIR. About 4 minutes on 2 cores.
# usage: wheel.sh OUTDIR PYTHON      PYTHON needs setuptools and wheel
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=image/pjsua2/source.env
. "$here/source.env"
mkdir -p "$1"
out=$(cd "$1" && pwd)
python=$(realpath --no-symlinks "$(command -v "$2")")
source_file=$out/pjproject-$PJ_VERSION.src
[ -s "$source_file" ] || "$here/fetch.sh" "$source_file"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -xf "$source_file" -C "$work" --strip-components=1
cd "$work"
cp "$here/config_site.h" pjlib/include/pj/config_site.h
patch --strip=1 --fuzz=0 <"$here/pinned-media.patch"
# Debian strips this file from its tarball; the build only needs it to exist.
: >pjmedia/src/pjmedia-audiodev/bdimad_dev.c
# NDEBUG: a malformed packet must come back as an error, not as an assertion that ends the process.
export CFLAGS="-O2 -fPIC -DNDEBUG" CXXFLAGS="-O2 -fPIC -DNDEBUG"
./configure --enable-epoll --with-external-srtp --with-external-speex --with-external-gsm \
    --disable-resample --disable-sound --disable-video --disable-ilbc-codec --disable-g7221-codec \
    --disable-libyuv --disable-libwebrtc --disable-libwebrtc-aec3
make dep
make -j"$(nproc)" lib
cd pjsip-apps/src/swig/python
make pjsua2_wrap.cpp
# The build number is in the file's name: a wheel in the cache is looked up by it.
"$python" setup.py bdist_wheel --build-number "$PJ_BUILD" --dist-dir "$work/dist"
mv "$work"/dist/*.whl "$out"
