/* SPDX-License-Identifier: GPL-2.0 */
/* internal.h - in place of the module's own when it is built for the fuzzer */
#include "../hooks/points.h"
#include "internal_ronbus.h"
