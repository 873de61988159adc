// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * inline.c - symbols of the functions that are inline in the header, for other languages
 */
#define RONBUS_INLINE
#include "internal.h"
