#!/usr/bin/env bash
# What drives the browser and looks whether everybody can use a page, from npm. `.parts/browser/`
. "$(dirname "$0")/lib.sh"

under_lock browser npm_part browser "the browser's driver is"
