#!/bin/sh
# Usage: check_no_libm.sh FILE...   (objects or static libraries)
# Fails if one imports a transcendental function of the C library: its results differ between
# versions and processors, and the same text must come out everywhere. sqrt and fma are exact and
# allowed. What tern uses instead is in tern/base/math.h and tern/kernels.
set -eu
[ $# -gt 0 ] || { echo "usage: $0 FILE..." >&2; exit 2; }
names='exp|exp2|exp10|expm1|log|log2|log10|log1p|pow|cbrt|hypot|sin|cos|sincos|tan|asin|acos|atan|atan2|sinh|cosh|tanh|asinh|acosh|atanh|erf|erfc|tgamma|lgamma|lgamma_r'
bad=$("${NM:-nm}" -A --undefined-only "$@" | grep -E " U (__)?($names)[fl]?(_finite)?(@.*)?\$" || true)
[ -z "$bad" ] || { echo "functions of libm whose results differ between machines:" >&2; printf '%s\n' "$bad" >&2; exit 1; }
